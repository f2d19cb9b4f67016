"""What every page shares: who looks at which organization, the templates, what values look like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from aiohttp import web

from scimd import translations
from scimd.core.errors import LinkInvalid, Refusal, TooManyRequests
from scimd.core.languages import ENGLISH, Language, moment
from scimd.core.printable import lines_spelled_out
from scimd.http.keys import CONFIG, DOOR
from scimd.http.visits import SEE_RUNS, Visit
from scimd.org import labels
from scimd.org.authentication.sign_in import SignedIn
from scimd.org.decisions import decisions
from scimd.org.declared import declared_held
from scimd.org.runs import runs
from scimd.org.tx import Door
from scimd.web import security, words

PAGE = 100


# ------------------------------------------------------------------------------ rendering


@dataclass(frozen=True, slots=True)
class NavigationItem:
    path: str
    name: str
    count: int = 0


async def _navigation(door: Door, visit: Visit, held_runs: int) -> list[NavigationItem]:
    if not visit.holder.permissions:
        return [NavigationItem("/", "My access"), NavigationItem("/my", "My profile")]
    items = [NavigationItem("/", "Overview")]
    if visit.may(*SEE_RUNS):
        items.append(NavigationItem("/runs", "Runs"))
    if visit.may("users.read"):
        items.append(NavigationItem("/people", "People"))
    if kinds := decisions.seen_with(visit.holder.permissions):
        waiting = await decisions.count_open(door, visit.org_id, kinds) + held_runs
        items.append(NavigationItem("/decide", "To decide", waiting))
    return items


UNDONE = "You were signed out, so what you sent last was not done. Please do it again."
_SAID = {
    "approved": "Approved.",
    "answered": "Decided. It takes effect at once.",
    "password": "Your password is set.",
    "factor": "Your second factor is set up. You are asked for it when you sign in.",
    "removed": "The second factor is removed.",
    "profile": "Saved.",
    "session": "The session is ended.",
    "mail": "A mail with a link is on its way to that address. It counts once you have opened it.",
    "confirmed": "Your address is confirmed.",
    "undone": UNDONE,
}


async def page(
    request: web.Request, visit: Visit, template: str, title: str, *, section: str = "", **context: Any
) -> web.Response:
    """A page of the signed-in part, in the shell with its navigation, which counts what waits."""
    door = request.app[DOOR]
    held_runs = await runs.to_approve(door, visit.org_id) if visit.may(*SEE_RUNS) else []
    return _response(
        template,
        200,
        ENGLISH,
        title=title,
        section=section,
        visit=visit,
        url=visit.url,
        navigation=await _navigation(door, visit, len(held_runs)),
        held_runs=held_runs,
        said=_SAID.get(request.query.get("said", "")),
        tone="warn" if request.query.get("said") == "undone" else "ok",
        **context,
    )


def narrow(
    template: str, title: str, *, status: int = 200, language: Language = ENGLISH, **context: Any
) -> web.Response:
    """A page on its own: sign-in, invitations, errors."""
    return _response(template, status, language, title=title, **context)


def message(
    title: str,
    *lines: str,
    status: int = 200,
    language: Language = ENGLISH,
    href: str = "",
    go: str = "",
    reference: str = "",
) -> web.Response:
    """A page that says one thing, with one way on."""
    more = {"lines": lines, "href": href, "go": go, "reference": reference}
    return narrow("message.html", title, status=status, language=language, **more)


def see_other(path: str) -> web.Response:
    """Answer a POST: go there by GET, so that reloading repeats nothing."""
    response = web.Response(status=303, headers={"Location": path})
    security.add_headers(response)
    return response


def came_in(request: web.Request, session: SignedIn | str, path: str) -> web.Response:
    """Go on with the session's (new) cookie. Who is to set a password, and wanted nothing else, does that."""
    if isinstance(session, SignedIn):
        path = "/password" if session.asks_password and path == "/" else path
        session = session.session
    response = see_other(path)
    security.set_cookie(response, request.app[CONFIG], session)
    return response


def sentence(refusal: Refusal) -> str:
    """Why it was refused, for a form; a wait in minutes. What is over there is its ticket, and no link."""
    if isinstance(refusal, LinkInvalid):
        return "That took too long, or was done already. Try again."
    if isinstance(refusal, TooManyRequests):
        minutes = max(1, round(refusal.retry_after_s / 60))
        return f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
    return refusal.detail


def _response(template: str, status: int, language: Language, **context: Any) -> web.Response:
    # Names are other people's. Here, so that no template and no sentence is left out.
    body = lines_spelled_out(templates(language).get_template(template).render(context))
    response = web.Response(status=status, text=body, content_type="text/html", charset="utf-8")
    security.add_headers(response)
    return response


@cache
def templates(language: Language = ENGLISH) -> jinja2.Environment:
    """The templates; those of an invitation speak every language, the others English."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("scimd.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["assets"] = _fingerprint()
    environment.filters.update(_FILTERS)
    environment.filters["in_words"] = lambda at: moment(at, language)
    translations.install(environment, language)
    return environment


def _fingerprint() -> str:
    """Changes with the static files, so that browsers may keep them for long."""
    digest = hashlib.sha256()
    for file in sorted(files("scimd.web").joinpath("static").iterdir(), key=lambda each: each.name):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


# ------------------------------------------------------------------------------ what values look like


def _short(moment: datetime) -> str:
    return f"{moment.day} {moment:%b, %H:%M}"


def _moment(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _took(run: Any) -> str:
    if run.finished_at is None:
        return "–"
    return span(run.finished_at - run.started_at)


def span(length: timedelta) -> str:
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _happened(run: Any) -> str:
    """One line: the error, else the figures that are not zero."""
    if run.error:
        return str(run.error)
    parts = [
        f"{_number(figure.value)} {figure.word}"
        for figure in words.figures(run.counts)
        if figure.value and figure.name != "Unchanged"
    ]
    return ", ".join(parts) or ("…" if run.state in words.MOVING else "Nothing to change")


_SEATS = (
    ("limit", "Limit"),
    ("before", "Used before"),
    ("freed", "Freed"),
    ("wanted", "Wanted"),
    ("after", "Used after"),
    ("waiting", "Waiting"),
    ("after_if_held", "Used after, removals held"),
    ("waiting_if_held", "Waiting, removals held"),
)


def _seat_rows(run: Any) -> list[tuple[str, str]]:
    """Seats before and after; where something is held also as it is meanwhile."""
    return [
        (name, "none" if run.seats[key] is None else _number(run.seats[key]))
        for key, name in _SEATS
        if key in run.seats and (run.counts.get("held") or not key.endswith("_if_held"))
    ]


_FILTERS: dict[str, Any] = {
    "short": _short,
    "moment": _moment,
    "number": _number,
    "took": _took,
    "sentence": lambda text: text[:1].upper() + text[1:],
    "happened": _happened,
    "seat_rows": _seat_rows,
    "leading_to": security.leading_to,
    "leads_to_the_web": lambda url: bool(url) and url.startswith(("https://", "http://")),
    "parts": labels.parts,
    "about": words.about,
    "role": words.role,
    "cause": words.cause,
    "action": lambda name: words.ACTIONS.get(name, name),
    "trigger": lambda name: words.TRIGGERS.get(name, name),
    "decision_kind": lambda kind: words.DECISION_KINDS.get(kind, kind),
    "run_state": lambda state: words.badge(words.RUN_STATES, state),
    "held_part": lambda name: declared_held.called([name]),
    "source_state": lambda state: words.badge(words.SOURCE_STATES, state),
    "status": lambda state: words.badge(words.STATUSES, str(state)),
    "outcome": lambda state: words.badge(words.OUTCOMES, state),
    "decision_state": lambda state: words.badge(words.DECISION_STATES, state),
    "differences": lambda change: words.differences(change.old, change.new),
}
