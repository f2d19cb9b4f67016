"""A source's rules, changed by hand: who would gain and who would lose, and the change itself.

The look (``org.sources.rule_previews``) comes first and writes nothing; the change is made if what it rests
on is still so. Rules that the config file declares are changed there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from pydantic import ValidationError
from sqlalchemy import Connection, update

from scimd.config import Rule
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, StateMoved
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, RoleName
from scimd.core.words import of_a_check
from scimd.db.locks import lock_row
from scimd.db.tables import sources
from scimd.org import permissions
from scimd.org.declared.declared_keys import THE_FILE
from scimd.org.generation import bump
from scimd.org.grants import bindings, value_bindings
from scimd.org.grants.manual_grants import is_there
from scimd.org.rulebook import RuleBook
from scimd.org.settling import unsettled
from scimd.org.sources import held_changes, rule_previews
from scimd.org.sources.rule_previews import Preview, Wish
from scimd.org.sources.sources import SourceRecord, find, mark_source, write_rules
from scimd.org.tx import Context, Door, Tx
from scimd.org.users import by_hand

#: A rule as the config file has it.
Body: TypeAlias = Mapping[str, Any]
#: From the rules as they are to those that are wanted.
Edit: TypeAlias = Callable[[Sequence[Body]], Sequence[Body]]
_TRIES = 3
_MATCHES = ("group", "pattern", "scim_role", "entitlement")


# ------------------------------------------------------------------------------ edits


def add(rule: Body) -> Edit:
    """Without a number it comes last. Raises InvalidValue for a number that is taken."""

    def edit(rules: Sequence[Body]) -> Sequence[Body]:
        taken = [int(each["number"]) for each in rules]
        number = rule.get("number") or max(taken, default=0) + 1
        if number in taken:
            raise InvalidValue("number", f"there is a rule {number} already")
        return [*rules, _checked({**rule, "number": number})]

    return edit


def change(number: int, given: Body) -> Edit:
    """What is not given stays; another match takes the place of the one that was."""

    def edit(rules: Sequence[Body]) -> Sequence[Body]:
        _known(rules, number)
        drop = _MATCHES if any(name in given for name in _MATCHES) else ()
        return [
            _checked({name: value for name, value in rule.items() if name not in drop} | dict(given))
            if rule["number"] == number
            else rule
            for rule in rules
        ]

    return edit


def remove(number: int) -> Edit:
    """Raises NotFound."""

    def edit(rules: Sequence[Body]) -> Sequence[Body]:
        _known(rules, number)
        return [rule for rule in rules if rule["number"] != number]

    return edit


def _known(rules: Sequence[Body], number: int) -> None:
    if not any(rule["number"] == number for rule in rules):
        raise NotFound("rule", str(number))


def _checked(rule: Body) -> Body:
    try:
        return Rule.model_validate(rule).model_dump(mode="json")
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "rule"
        raise InvalidValue(where, of_a_check(first["msg"])) from exc


# ------------------------------------------------------------------------------ the change


async def list_rules(door: Door, org_id: OrgId, source: str) -> Sequence[Body]:
    """The rules of the source, by number. Raises NotFound."""
    return await door.read(lambda conn: _rules(find(conn, org_id, source)))


def _rules(source: SourceRecord) -> list[Body]:
    return sorted(source.config.get("rule") or (), key=lambda rule: int(rule["number"]))


async def preview(door: Door, ctx: Context, source: str, edit: Edit, at_most: int | None = None) -> Preview:
    """Who would gain and lose by the edit; changes nothing. Also of a source that the file declares.

    Raises NotFound, InvalidValue, Forbidden.
    """
    permissions.require(ctx, "sources.manage")
    wish = await door.read(lambda conn: _wish(door, conn, ctx, source, edit))
    return await rule_previews.look(door, wish, at_most)


class _Changed(Exception):
    """Something that the look rested on was changed before the edit: look again."""


async def apply(
    door: Door,
    ctx: Context,
    source: str,
    edit: Edit,
    *,
    sure: bool = False,
    file: str = THE_FILE,
    way_out: str = "Correct it, or confirm it (--yes).",
) -> Preview:
    """Make the edit, and tell who gains and loses by it.

    Over the source's limits only when ``sure``: else NotAllowedNow with the figures and ``way_out``; as
    for a source that ``file`` declares. Raises NotFound, InvalidValue, Forbidden, Protected for the last
    Account Admin, StateMoved where others keep changing the rules.
    """
    permissions.require(ctx, "sources.manage")
    for _ in range(_TRIES):
        wish = await door.read(lambda conn: _wish(door, conn, ctx, source, edit))
        if wish.source.declared_in == "file":
            raise NotAllowedNow(f"The rules of {wish.source.name} stand in {file}. Change them there.")
        told = await rule_previews.look(door, wish)
        if told.held and not sure:
            raise NotAllowedNow(held_changes.refusal(told.held, way_out))
        try:
            await door.run(ctx, partial(_apply, wish=wish, told=told))
        except _Changed:
            continue
        return told
    raise StateMoved(f"What gives access in {source} changed since the plan was made")


def _wish(door: Door, conn: Connection, ctx: Context, source: str, edit: Edit) -> Wish:
    """Raises Forbidden where a rule, as it is or as it is wanted, gives a role above the caller's power."""
    found, book = find(conn, ctx.org_id, source), door.books.of(conn, ctx.org_id)
    present = _rules(found)
    wanted = sorted(edit(present), key=lambda rule: int(rule["number"]))
    for rule in present:
        if rule.get("role"):
            by_hand.must_hold_role(ctx, book.rules, rule["role"])
    for rule in wanted:
        _must_be_known(ctx, book, rule)
    return rule_previews.wished(conn, book, found, wanted)


def _apply(tx: Tx, *, wish: Wish, told: Preview) -> None:
    lock_row(tx.conn, sources, org_id=tx.org_id, id=wish.source.id)
    given = sorted({rule["role"] for rule in wish.rules if rule.get("role")})
    if tx.book.rules.version != wish.generation or not all(is_there(tx, "role", each) for each in given):
        raise _Changed
    _write(tx, wish.source, wish.rules)
    after = {"rules": _rules(find(tx.conn, tx.org_id, wish.source.id))}
    tx.record(
        Event(
            EventKind.RULES_CHANGED,
            "source",
            wish.source.id,
            before={"rules": _rules(wish.source)},
            after={**after, "gaining": told.gaining, "losing": told.losing},
        )
    )


def _write(tx: Tx, source: SourceRecord, wanted: Sequence[Body]) -> None:
    tx.conn.execute(
        update(sources)
        .where(sources.c.org_id == tx.org_id, sources.c.id == source.id)
        .values(config={**source.config, "rule": list(wanted)})
    )
    before = tx.book.source(source.id)
    if write_rules(tx, source.id, wanted, bump(tx)):
        value_bindings.bind_values(tx, source.id)
        tx.forget_book()
        after = tx.book.source(source.id)
        empowered = bindings.empowered(before, after)
        bindings.rebind(tx, source.id, empowered)
        if attributes := value_bindings.moved(before, after, empowered):
            having = value_bindings.holders(tx.org_id, source.id, attributes)
            unsettled.mark_all(tx, having, unsettled.LEAVERS)
        if tx.conn.dialect.name == "postgresql":
            # Who is put into a group, or given a value, at this moment is seen by neither of these, and is
            # settled by the rules as they were.
            mark_source(tx, source.id, unsettled.JOINERS)


def _must_be_known(ctx: Context, book: RuleBook, rule: Body) -> None:
    """Nobody gives by a rule what they may not give by hand. Raises InvalidValue, Forbidden."""
    if rule.get("role"):
        role = book.rules.roles.get(RoleName(rule["role"]))
        if role is None:
            raise InvalidValue("role", f"there is no role {rule['role']!r} here")
        by_hand.must_hold(ctx, role)
    if rule["project_role"] not in book.rules.project_ranks:
        raise InvalidValue("project_role", f"there is no project role {rule['project_role']!r}")
