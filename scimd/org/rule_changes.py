"""A source's rules, changed by hand: who would gain and who would lose, and the change itself.

A preview makes the change in a transaction that is rolled back, so that it cannot come out otherwise
than the change: the same binding, the same facts, the same pure standing. Rules that the config file
declares are changed there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError
from sqlalchemy import select, update

from scimd.config import Rule
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.people import OrgId, PersonId, RoleName
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.standing import Grant, standing
from scimd.db.tables import assertions, sources
from scimd.org import bindings, by_hand, held_changes, permissions, standing_rows, value_bindings
from scimd.org.facts import gather, people_rows
from scimd.org.generation import bump
from scimd.org.labels import names_in
from scimd.org.sources import SourceRecord, find, mark_source, write_rules
from scimd.org.tx import Context, Door, Tx

#: A rule as the config file has it.
Body: TypeAlias = Mapping[str, Any]
#: From the rules as they are to those that are wanted.
Edit: TypeAlias = Callable[[Sequence[Body]], Sequence[Body]]
_AT_ONCE = 500
#: So many people a preview looks at, and so many it names.
LOOKED_AT, NAMED = 20_000, 200
_MATCHES = ("group", "pattern", "scim_role", "entitlement")


@dataclass(frozen=True, slots=True)
class Moved:
    """One person, with what they gain and lose, such as ``project Alpha as owner``."""

    person_id: PersonId
    display_name: str
    gains: tuple[str, ...]
    loses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """Who would gain and lose; ``people`` names the first of them.

    ``looked_at`` is less than ``concerned`` where the source has more people than a preview looks at;
    all other figures are of those looked at.
    """

    concerned: int
    looked_at: int
    gaining: int
    losing: int
    new_admins: int
    seats_more: int
    seats_fewer: int
    people: tuple[Moved, ...]


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
        raise InvalidValue(where, first["msg"].removeprefix("Value error, ")) from exc


# ------------------------------------------------------------------------------ the change


async def list_rules(door: Door, org_id: OrgId, source: str) -> Sequence[Body]:
    """The rules of the source, by number. Raises NotFound."""
    return await door.read(lambda conn: _rules(find(conn, org_id, source)))


def _rules(source: SourceRecord) -> list[Body]:
    return sorted(source.config.get("rule") or (), key=lambda rule: int(rule["number"]))


class _RolledBack(Exception):
    """The way out of a transaction that must not stay."""

    def __init__(self, preview: Preview) -> None:
        self.preview = preview


async def preview(door: Door, ctx: Context, source: str, edit: Edit) -> Preview:
    """Who would gain and lose by the edit; changes nothing. Also of a source that the file declares.

    Raises NotFound, InvalidValue, Forbidden.
    """
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> None:
        found = find(tx.conn, tx.org_id, source)
        _write(tx, found, edit)
        raise _RolledBack(_look(tx, found))

    try:
        await door.run(ctx, body)
    except _RolledBack as exc:
        return exc.preview
    raise AssertionError("a preview is always rolled back")


async def apply(
    door: Door, ctx: Context, source: str, edit: Edit, *, sure: bool = False, file: str = "the config file"
) -> Preview:
    """Make the edit, and tell who gains and loses by it.

    Over the source's limits only when ``sure``: else NotAllowedNow with the figures, as for a source
    that ``file`` declares. Raises NotFound, InvalidValue, Forbidden, Protected for the last Account Admin.
    """
    permissions.require(ctx, "sources.manage")

    def body(tx: Tx) -> Preview:
        found = find(tx.conn, tx.org_id, source)
        if found.declared_in == "file":
            raise NotAllowedNow(f"The rules of {found.name} stand in {file}. Change them there.")
        before = _rules(found)
        _write(tx, found, edit)
        after = _rules(find(tx.conn, tx.org_id, found.id))
        told = _look(tx, found)
        if not sure:
            _hold_back(tx, found, told)
        tx.record(
            Event(
                EventKind.RULES_CHANGED,
                "source",
                found.id,
                before={"rules": before},
                after={"rules": after, "gaining": told.gaining, "losing": told.losing},
            )
        )
        return told

    return await door.run(ctx, body)


def _write(tx: Tx, source: SourceRecord, edit: Edit) -> None:
    wanted = sorted(edit(_rules(source)), key=lambda rule: int(rule["number"]))
    for rule in wanted:
        _must_be_known(tx, rule)
    tx.conn.execute(
        update(sources)
        .where(sources.c.org_id == tx.org_id, sources.c.id == source.id)
        .values(config={**source.config, "rule": wanted})
    )
    if write_rules(tx, source.id, wanted, bump(tx)):
        value_bindings.bind_values(tx, source.id)
        tx.forget_book()
        bindings.rebind(tx, source.id)
        mark_source(tx, source.id)


def _must_be_known(tx: Tx, rule: Body) -> None:
    """Nobody gives by a rule what they may not give by hand. Raises InvalidValue, Forbidden."""
    if rule.get("role"):
        role = tx.book.rules.roles.get(RoleName(rule["role"]))
        if role is None:
            raise InvalidValue("role", f"there is no role {rule['role']!r} here")
        by_hand.must_hold(tx, role)
    if rule["project_role"] not in tx.book.rules.project_ranks:
        raise InvalidValue("project_role", f"there is no project role {rule['project_role']!r}")


def _hold_back(tx: Tx, source: SourceRecord, told: Preview) -> None:
    held_changes.hold_back(tx, "Mend it, or confirm it (--yes).")
    most = source.declared().limits.new_admins
    if told.new_admins > most:
        raise NotAllowedNow(
            f"The change would make {told.new_admins} new Account Admins, and the limit is {most}. "
            "It is held, and the old version stays. Mend it, or confirm it (--yes)."
        )


# ------------------------------------------------------------------------------ who moves


def _look(tx: Tx, source: SourceRecord) -> Preview:
    ids = _concerned(tx, source)
    moved: list[_Difference] = []
    for first in range(0, min(len(ids), LOOKED_AT), _AT_ONCE):
        moved += _differences(tx, ids[first : min(first + _AT_ONCE, LOOKED_AT)])
    shown = [each for each in moved if each.gains or each.loses]
    targets = {grant[1] for each in shown[:NAMED] for grant in (*each.gains, *each.loses)}
    names = names_in(tx.conn, tx.org_id, targets)
    return Preview(
        concerned=len(ids),
        looked_at=min(len(ids), LOOKED_AT),
        gaining=sum(bool(each.gains) for each in moved),
        losing=sum(bool(each.loses) for each in moved),
        new_admins=sum(("role", ACCOUNT_ADMIN, None) in each.gains for each in moved),
        seats_more=sum(each.seats > 0 for each in moved),
        seats_fewer=sum(each.seats < 0 for each in moved),
        people=tuple(each.told(names) for each in shown[:NAMED]),
    )


def _concerned(tx: Tx, source: SourceRecord) -> list[PersonId]:
    column = assertions.c
    query = select(column.person_id).where(
        column.org_id == tx.org_id, column.source_id == source.id, column.state != "history"
    )
    return [PersonId(each) for each in tx.conn.execute(query.order_by(column.person_id)).scalars()]


_Thing: TypeAlias = tuple[str, str, RoleName | None]


@dataclass(frozen=True, slots=True)
class _Difference:
    person_id: PersonId
    display_name: str
    gains: frozenset[_Thing]
    loses: frozenset[_Thing]
    seats: int

    def told(self, names: Mapping[str, str]) -> Moved:
        def text(thing: _Thing) -> str:
            kind, target, role = thing
            return f"{kind} {names.get(target, target)}{f' as {role}' if role else ''}"

        gains, loses = (tuple(sorted(map(text, things))) for things in (self.gains, self.loses))
        return Moved(self.person_id, self.display_name, gains, loses)


def _differences(tx: Tx, person_ids: Sequence[PersonId]) -> Iterator[_Difference]:
    loaded = gather(tx.conn, tx.book, people_rows(tx.conn, tx.org_id, person_ids))
    for person_id, row in loaded.rows.items():
        after = standing(loaded.facts[person_id], tx.book.rules)
        stored = map(standing_rows.grant_of, loaded.grants.get(person_id, ()))
        old, new = _live(stored), _live(after.grants)
        seats = int(after.wants_seat) - int(row.wants_seat)
        if old != new or seats:
            yield _Difference(person_id, row.display_name, new - old, old - new, seats)


def _live(grants: Iterator[Grant] | frozenset[Grant]) -> frozenset[_Thing]:
    return frozenset((grant.kind, grant.target, grant.project_role) for grant in grants if not grant.dormant)
