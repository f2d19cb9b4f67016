"""Items to decide: the list, with the runs to approve; one question, its facts side by side; the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from scimd.core.people import DecisionId
from scimd.http.guard import signed_in
from scimd.http.keys import DOOR
from scimd.http.visits import visit_of
from scimd.org import labels
from scimd.org.decisions import decisions
from scimd.web import forms, words
from scimd.web.pages import PAGE, page, see_other


@dataclass(frozen=True, slots=True)
class Side:
    """One of the things that are compared: the entry, the person who has the address, …"""

    name: str
    facts: Mapping[str, str]


@signed_in(*decisions.SEEING)
async def index(request: web.Request) -> web.StreamResponse:
    door, visit = request.app[DOOR], await visit_of(request)
    every = bool(request.query.get("all"))
    found = await decisions.list_decisions(
        door,
        visit.org_id,
        state=None if every else "open",
        kinds=decisions.seen_with(visit.holder.permissions),
        limit=PAGE + 1,
        after=request.query.get("after") or None,
    )
    shown = found[:PAGE]
    more = visit.url("/decide", all="1" if every else "", after=shown[-1].id) if len(found) > PAGE else None
    return await page(
        request,
        visit,
        "decisions.html",
        "To decide",
        section="/decide",
        decisions=shown,
        more=more,
        every=every,
    )


@signed_in(*decisions.SEEING)
async def show(request: web.Request) -> web.StreamResponse:
    door, visit = request.app[DOOR], await visit_of(request)
    kinds = decisions.seen_with(visit.holder.permissions)
    item = await decisions.get(door, visit.org_id, DecisionId(request.match_info["id"]), kinds)
    facts = item.facts
    names = await labels.names_of(door, visit.org_id, labels.ids_in([item.question, words.text(facts)]))
    sides, plain = split(facts, names)
    answers = {option.answer: option.label for option in item.options}
    return await page(
        request,
        visit,
        "decision.html",
        "To decide",
        section="/decide",
        item=item,
        sides=sides,
        side_rows=list(dict.fromkeys(name for side in sides for name in side.facts)),
        facts=plain,
        names=names,
        answer_label=answers.get(item.answer or "", item.answer or ""),
        may_answer=visit.may(decisions.needed_for(item.kind)),
    )


def split(facts: Mapping[str, Any], names: Mapping[str, str]) -> tuple[list[Side], list[tuple[str, str]]]:
    """Facts that are objects stand side by side as columns; the plain ones go in a list below."""
    sides = [
        Side(_name(name), {_name(key): labels.named(words.text(each), names) for key, each in value.items()})
        for name, value in facts.items()
        if isinstance(value, Mapping) and value
    ]
    plain = [
        (_name(name), labels.named(words.text(value), names))
        for name, value in facts.items()
        if not isinstance(value, Mapping) and value not in (None, [], "")
    ]
    return sides, plain


def _name(key: str) -> str:
    return key.removesuffix("_id").replace("_", " ").capitalize()


@signed_in("users.manage", "projects.manage")
async def answer(request: web.Request) -> web.StreamResponse:
    door, visit = request.app[DOOR], await visit_of(request)
    form = await forms.fields(request, "answer")
    item_id = DecisionId(request.match_info["id"])
    await decisions.answer(door, visit.context(door), item_id, form["answer"])
    return see_other(visit.url(f"/decide/{item_id}", said="answered"))
