"""The same report three ways: for eyes in a terminal, as one JSON document, as one HTML file to share.

None of them holds the token or a password, or an answer about people whom the doctor did not make. The
HTML file fetches nothing from anywhere.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
from rich.console import Console
from rich.markup import escape

from scimd.cli.doctor.play import Outcome, Play, Result

_MARKS: Final[dict[Outcome, str]] = {
    "passed": "[green]passed [/green]",
    "noted": "[cyan]noted  [/cyan]",
    "warned": "[yellow]warned [/yellow]",
    "failed": "[red]failed [/red]",
    "not run": "[dim]not run[/dim]",
}


def verdict(play: Play) -> str:
    counts = play.counts
    parts = [f"{counts[outcome]} {outcome}" for outcome in _MARKS if counts[outcome] or outcome == "passed"]
    return ", ".join(parts) + "."


def print_result(console: Console, result: Result) -> None:
    """One step, as it happens; what is wrong stands under it."""
    why = f"  {result.why}" if result.outcome in ("not run", "noted") and result.why else ""
    console.print(f"{_MARKS[result.outcome]}  {escape(result.step.does)}[dim]{escape(why)}[/dim]")
    for finding in result.findings:
        console.print(f"         {escape(finding.severity)}: {escape(finding.complaint)}")
        console.print(f"         [dim]{escape(finding.request)}[/dim]")
        console.print(f"         change: {escape(finding.mend)}")


def print_end(console: Console, play: Play) -> None:
    console.print()
    console.print(f"[bold]{escape(play.sequence.title)}[/bold]: {escape(verdict(play))}")
    console.print(escape(_clean_up(play)))
    for what in play.clean_up.left:
        console.print(f"  {escape(what)}")
    if beyond := _of_groups(play):
        console.print(f"[dim]{escape(beyond)}[/dim]")


def _of_groups(play: Play) -> str:
    """What no SCIM request shows, and so no clean-up finds."""
    if not play.stage.made_groups or play.keeps:
        return ""
    mark = play.stage.names.group("…")
    return (
        f"Groups were made: an endpoint may keep projects or teams that it made of them; look for “{mark}”."
    )


def _clean_up(play: Play) -> str:
    removed, left = play.clean_up.removed, play.clean_up.left
    if play.keeps:
        return f"Kept, as asked: {len(left)} of what was made." if left else "Nothing was left to keep."
    if left:
        return f"Removed {removed} of what was made; {len(left)} could not be removed, please do it by hand:"
    return (
        f"Removed {removed} that the sequence left behind; nothing remains."
        if removed
        else "Nothing remains."
    )


def as_document(play: Play, *, interrupted: bool = False) -> dict[str, Any]:
    return {
        "as": play.sequence.key,
        "title": play.sequence.title,
        "url": play.stage.client.url,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": "interrupted" if interrupted else "failed" if play.failed else "passed",
        "counts": {outcome: play.counts[outcome] for outcome in _MARKS},
        "steps": [_step(result, play) for result in play.results],
        "clean_up": {
            "removed": play.clean_up.removed,
            "left": play.clean_up.left,
            "kept": play.keeps,
            "of_groups": _of_groups(play),
        },
    }


def _step(result: Result, play: Play) -> dict[str, Any]:
    source, mark, redaction = result.step.source, play.stage.names.random, play.stage.client.redaction
    return {
        "name": result.step.name,
        "does": result.step.does,
        "source": {"title": source.title, "page": source.address, "read": source.read},
        "outcome": result.outcome,
        "why": result.why,
        "findings": [
            {"severity": f.severity, "what": f.complaint, "change": f.mend, "request": f.request}
            for f in result.findings
        ],
        "requests": [
            {
                "method": reply.method,
                "path": redaction.text(reply.path),
                "sent": redaction.value(reply.sent),
                "status": reply.status,
                "content_type": redaction.text(reply.content_type),
                "ms": round(reply.seconds * 1000),
                "answer": reply.excerpt if reply.status >= 400 or mark in reply.excerpt else "",
            }
            for reply in result.replies
        ],
    }


def write_html(path: Path, play: Play, *, interrupted: bool = False) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    page = environment.get_template("report.html.j2")
    text = page.render(
        report=as_document(play, interrupted=interrupted), summary=verdict(play), clean_up=_clean_up(play)
    )
    path.write_text(text, encoding="utf-8")
