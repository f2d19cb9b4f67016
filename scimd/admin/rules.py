"""The rules of a source: what its groups and values give, and who gains and loses by other ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Flag, Input, Listed, Name, Output, Query
from scimd.admin.runs import SEATS
from scimd.admin.sources import source_of
from scimd.core.errors import (
    InvalidValue,
    NotAllowedNow,
    NotFound,
    Protected,
    StateMoved,
)
from scimd.core.roles import MEMBER
from scimd.org.sources import rule_changes
from scimd.org.sources.rule_changes import Body, Edit
from scimd.org.sources.rule_previews import LOOKED_AT
from scimd.org.windows import part

_NEEDS = ("sources.manage",)
_REFUSES = (NotFound, InvalidValue, NotAllowedNow, StateMoved, Protected)
WAY_OUT = "Correct it, or confirm it with over_limits=true."
Number = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]


class Rule(Output):
    """A group, or a value of `roles` or `entitlements`, gives something. The lowest number decides first."""

    number: int
    group: str | None = Field(description="The external id of the group that it is about, or …")
    pattern: str | None = Field(description="… of groups whose names fit, such as `eng-*`, or …")
    scim_role: str | None = Field(description="… of users with this value of `roles`, or …")
    entitlement: str | None = Field(description="… of `entitlements`.")
    project: str | None = Field(description="The name of a project; `{name}` is the group's.")
    project_role: str
    role: str | None
    team: str | None
    licence: str | None
    may_give_account_admin: bool


class _Given(Input):
    group: Name | None = Field(None, description="An external id. Of the first four exactly one.")
    pattern: Name | None = None
    scim_role: Name | None = None
    entitlement: Name | None = None
    project: Name | None = Field(None, description="A name; made where it is missing.")
    role: Name | None = None
    team: Name | None = Field(None, description="A name; made where it is missing.")
    licence: Name | None = Field(None, description="A name; made where it is missing.")


class NewRule(_Given):
    number: Number | None = Field(None, description="Null: the last.")
    project_role: Name = MEMBER
    may_give_account_admin: bool = Field(False, description="Whether it may give the role account-admin.")


class RuleChange(_Given):
    """What is left out stays. Another match takes the place of the one that was."""

    project_role: Name = MEMBER
    may_give_account_admin: bool = False


class Moved(Output):
    person_id: str
    display_name: str
    gains: list[str]
    loses: list[str]


class RulePreview(Output):
    """Who gains and loses. All figures but `concerned` are of those who were looked at."""

    concerned: int = Field(description="People of the source.")
    looked_at: int = Field(
        description=f"Less where it may move more of them: a preview looks at {LOOKED_AT} of these at most."
    )
    moving: int = Field(description="Who gain or lose something.")
    gaining: int
    losing: int
    new_admins: int
    seats: dict[str, int | None] = Field(description=SEATS)
    held: list[str] = Field(description="A sentence for each of the source's limits that it is over.")
    people: list[Moved] = Field(description="The first 200 of them.")


class EditQuery(Query):
    over_limits: Flag = Field(False, description="Also where the source's limits hold it.")


class NumberedChange(RuleChange):
    number: Number


class RuleEdit(Input):
    """One of these."""

    add: NewRule | None = None
    change: NumberedChange | None = None
    remove: Number | None = Field(None, description="A rule's number.")


def _number(call: Call) -> int:
    text = call.path["number"]
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise NotFound("rule", text)
    return int(text)


def _key(rule: Body) -> str:
    return f"{rule['number']:08}"


@endpoint("GET", "/sources/{id}/rules", needs=("sources.manage", "users.read"))
async def index(call: Call) -> Listed[Rule]:
    """List a source's rules, the first to decide first."""
    found = await rule_changes.list_rules(call.door, call.org_id, (await source_of(call)).id)
    return Listed.of(part(found, call.window, _key), Rule.of)


@endpoint("GET", "/sources/{id}/rules/{number}", needs=("sources.manage", "users.read"), etag=True)
async def show(call: Call) -> Rule:
    """Show a rule."""
    found = await rule_changes.list_rules(call.door, call.org_id, (await source_of(call)).id)
    return Rule.of(_one(found, _number(call)))


def _one(rules: Sequence[Body], number: int) -> Body:
    for rule in rules:
        if rule["number"] == number:
            return rule
    raise NotFound("rule", str(number))


@endpoint("POST", "/sources/{id}/rules/preview", needs=_NEEDS, refuses=(NotFound, InvalidValue))
async def preview(call: Call, body: RuleEdit) -> RulePreview:
    """Show who would gain and who would lose by a change of rules.

    Nothing is changed, and nobody waits for it. Also of a source that the file declares.
    """
    source = await source_of(call)
    given = [name for name in ("add", "change", "remove") if getattr(body, name) is not None]
    if len(given) != 1:
        raise InvalidValue("body", "give exactly one of add, change and remove")
    try:
        found = await rule_changes.preview(call.door, call.ctx, source.id, _edit_of(body), LOOKED_AT)
    except InvalidValue as exc:
        raise InvalidValue(_within(body, given[0], exc.attribute), exc.why) from exc
    return RulePreview.of(found)


def _within(body: RuleEdit, name: str, attribute: str) -> str:
    rule = getattr(body, name)
    return f"{name}.{attribute}" if isinstance(rule, Input) and attribute in type(rule).model_fields else name


def _edit_of(body: RuleEdit) -> Edit:
    if body.add is not None:
        return rule_changes.add(_rule(body.add))
    if body.change is not None:
        values = body.change.given()
        return rule_changes.change(values.pop("number"), values)
    return rule_changes.remove(body.remove or 0)


def _rule(body: NewRule) -> Body:
    return {name: value for name, value in body.model_dump().items() if value is not None}


@endpoint("POST", "/sources/{id}/rules", needs=_NEEDS, refuses=_REFUSES, status=201)
async def add(call: Call, query: EditQuery, body: NewRule) -> Rule:
    """Add a rule.

    Over the source's limits it is refused with the figures, unless `over_limits`. Rules of a source that
    the file declares are written there. Nobody gives by a rule what they lack themselves.
    """
    return await _applied(call, query, rule_changes.add(_rule(body)))


@endpoint("PATCH", "/sources/{id}/rules/{number}", needs=_NEEDS, refuses=_REFUSES, etag=True)
async def change(call: Call, query: EditQuery, body: RuleChange) -> Rule:
    """Change a rule.

    Nobody changes or removes rules of a source that give what they lack themselves.
    """
    number = _number(call)
    return await _applied(
        call, query, _unless_changed(call, number, rule_changes.change(number, body.given())), number
    )


@endpoint("DELETE", "/sources/{id}/rules/{number}", needs=_NEEDS, refuses=_REFUSES)
async def remove(call: Call, query: EditQuery) -> None:
    """Remove a rule.

    Its people lose what no other rule gives them: nobody takes by a rule what they lack themselves.
    """
    number = _number(call)
    await _apply(call, query, _unless_changed(call, number, rule_changes.remove(number)))


def _unless_changed(call: Call, number: int, edit: Edit) -> Edit:
    check: Callable[[Body], None] = call.unchanged(Rule.of)

    def checked(rules: Sequence[Body]) -> Sequence[Body]:
        check(_one(rules, number))
        return edit(rules)

    return checked


async def _applied(call: Call, query: EditQuery, edit: Edit, number: int | None = None) -> Rule:
    """The rule as it is then; without a number the one that was added."""
    found: list[Body] = []

    def noted(rules: Sequence[Body]) -> Sequence[Body]:
        wanted = edit(rules)
        found[:] = [
            each for each in wanted if (each not in rules if number is None else each["number"] == number)
        ]
        return wanted

    await _apply(call, query, noted)
    return Rule.of(found[0])


async def _apply(call: Call, query: EditQuery, edit: Edit) -> None:
    source = await source_of(call)
    await rule_changes.apply(call.door, call.ctx, source.id, edit, sure=query.over_limits, way_out=WAY_OUT)
