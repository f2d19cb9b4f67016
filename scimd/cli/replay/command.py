"""``scimd replay BUNDLE``: the command around it.

Exit codes: 0 every answer is as it was · 1 error · 2 some answer differs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from scimd import log
from scimd.cli.common import JsonOption, fail, guarded, out, print_json
from scimd.cli.doctor.command import BadTarget, checked_url, read_token
from scimd.cli.replay import bundle as bundles
from scimd.cli.replay.play import Outcome, TokenFor, instance, played
from scimd.core.errors import InvalidValue


def register(app: typer.Typer) -> None:
    app.command("replay")(replay)


def replay(
    bundle: Annotated[Path, typer.Argument(help="What `scimd scim-log export` wrote.")],
    url: Annotated[
        str | None, typer.Option(help="An empty SCIM endpoint to play it on; else one is made for it.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="The token for --url, or better env:NAME or file:PATH.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Play recorded requests again, in their order, and compare the answers.

    Exit code 0: all are as they were; 2: some differ.
    """
    log.configure("error", "text")
    try:
        target = _target(url, token)
    except BadTarget as exc:
        fail(str(exc))
    try:
        outcomes = guarded(lambda: asyncio.run(_play(bundle, target, quiet=json)))
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        fail(f"The endpoint does not answer: {exc or type(exc).__name__}")
    _finish(outcomes, as_json=json)


def _target(url: str | None, token: str | None) -> tuple[str, str] | None:
    if (url is None) != (token is None):
        raise BadTarget("--url and --token belong together")
    return None if url is None or token is None else (checked_url(url), read_token(token))


async def _play(path: Path, target: tuple[str, str] | None, *, quiet: bool) -> list[Outcome]:
    header, requests = bundles.read(path)
    if target is None:
        async with instance(header) as (url, token_for):
            return await _collected(header, requests, url, token_for, quiet=quiet)
    url, given = target

    async def the_token(_: str, __: Sequence[str]) -> str:
        return given

    return await _collected(header, requests, url.rstrip("/"), the_token, quiet=quiet, one_token=True)


async def _collected(
    header: bundles.Header,
    requests: Any,
    url: str,
    token_for: TokenFor,
    *,
    quiet: bool,
    one_token: bool = False,
) -> list[Outcome]:
    outcomes = []
    async for outcome in played(header, requests, url, token_for, one_token=one_token):
        outcomes.append(outcome)
        if not quiet:
            _tell(outcome)
    if not outcomes:
        raise InvalidValue("bundle", "there is no request in it")
    return outcomes


def _tell(outcome: Outcome) -> None:
    each = outcome.recorded
    line = f"{outcome.number:>5} {each.method} {each.path}"
    if outcome.passed_over:
        out.print(f"{line}  passed over: {outcome.passed_over}", style="dim", markup=False)
    elif outcome.differs:
        out.print(f"{line}  {outcome.status}", style="red", markup=False)
        for difference in outcome.differs:
            out.print(f"        {difference}", markup=False)


def _finish(outcomes: list[Outcome], *, as_json: bool) -> None:
    counts = Counter(_verdict(each) for each in outcomes)
    if as_json:
        print_json(
            {
                "requests": len(outcomes),
                **{name: counts[name] for name in ("same", "differs", "passed over")},
                "differences": [
                    {
                        "number": each.number,
                        "correlation_id": each.recorded.correlation_id,
                        "method": each.recorded.method,
                        "path": each.recorded.path,
                        "status": each.status,
                        "differs": each.differs,
                    }
                    for each in outcomes
                    if each.differs
                ],
            }
        )
    else:
        out.print(
            f"{len(outcomes)} requests: {counts['same']} as they were, {counts['differs']} differ, "
            f"{counts['passed over']} passed over.",
            markup=False,
        )
    if counts["differs"]:
        raise typer.Exit(2)


def _verdict(outcome: Outcome) -> str:
    return "passed over" if outcome.passed_over else "differs" if outcome.differs else "same"
