"""Changes of documents and of groups that leave the standing as it is: the short way through settling.

Of an entry, standing counts who asserts it, whether it is active, whether the person has an address,
and the values that a rule names (``core.facts.Facts``). A document that changes none of these, of
somebody settled under the present rules, changes no status, grant or seat: what is left is their name,
and the mail that every change puts off. Of a group, standing counts what it gives, and what those give
in which it is: where that is nothing, only the groups that SCIM shows of the person change. Where it is
projects, and the person has one before and after, their grants change besides (``core.projects.regive``).
Whatever is not proven here is settled in full; tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Row, bindparam, select, update

from scimd.core.events import Event, grant_changes
from scimd.core.people import GroupId, Keys, PersonId, ProjectId, RoleName, SourceId, fold
from scimd.core.projects import regive
from scimd.core.roles import Effect
from scimd.core.standing import CauseKind, Grant, MembershipFact
from scimd.db import last_changed
from scimd.db.among import one_of, unindexed
from scimd.db.prepared import Locking, Parameters, Prepared, Rewriting
from scimd.db.tables import grants, group_effects, group_members, groups, people, unsettled
from scimd.org.invitations import invitation_upkeep
from scimd.org.settling import standing_rows
from scimd.org.tx import Tx

_INVITED = str(CauseKind.INVITED)


def keeps(tx: Tx, source_id: SourceId, old: Row[Any], keys: Keys) -> bool:
    """Whether this source's new word about the person, stored as ``old``, leaves their standing.

    ``old`` is a row of ``candidates.near``, of a live assertion.
    """
    settled = old.rules_version == tx.book.rules.version and old.wants_seat == old.has_seat
    if not settled or old.active != keys.active:
        return False
    if tx.book.source(source_id).value_effects:
        return False  # a rule looks at what the document says of roles or entitlements
    if old.owner_source_id != source_id:
        # Somebody without an address is given that of their owner, should it be free by now.
        return old.held_sign_in_key is not None
    return bool(old.held_sign_in_key == keys.sign_in_key and old.sign_in_address == keys.sign_in_address)


_NAME = Prepared(
    update(people)
    .where(people.c.org_id == bindparam("_org_id"), people.c.id == bindparam("_id"))
    .values(
        display_name=bindparam("_name"),
        display_name_key=bindparam("_key"),
        changed_at=last_changed.not_before_stored(people.c.changed_at),
    )
)


def follow(tx: Tx, source_id: SourceId, many: Sequence[tuple[Row[Any], Keys]]) -> None:
    """What settling would write for people whose new documents keep their standing."""
    _NAME.many(
        tx.beside,
        [
            {
                "_org_id": tx.org_id,
                "_id": old.person_id,
                "_name": keys.display_name,
                "_key": fold(keys.display_name),
                "_now": tx.now,
            }
            for old, keys in many
            if old.owner_source_id == source_id and old.display_name != keys.display_name
        ],
    )
    invitation_upkeep.put_off(tx, [PersonId(old.person_id) for old, _ in many if old.causes == [_INVITED]])


# ------------------------------------------------------------------------------ groups

_g, _m, _p, _e, _given = groups.c, group_members.c, people.c, group_effects.c, grants.c
_above = select(_m.group_id).where(_m.org_id == _g.org_id, _m.child_id == _g.id)
_GIFTS = Prepared(
    select(_g.id, _e.rule, _e.kind, _e.target, _e.project_role)
    .join_from(groups, group_effects, (_e.org_id == _g.org_id) & (_e.group_id == _g.id), isouter=True)
    .where(_g.org_id == bindparam("org_id"), one_of(_g.id), ~_above.exists())
)
_marked = select(unsettled.c.turn).where(unsettled.c.org_id == _p.org_id, unsettled.c.person_id == _p.id)
_WHO = Locking(
    select(
        _p.id, _p.kind, _p.rest, _p.causes, _p.owner_source_id, _p.primary_role, _p.extension, _p.changed_at
    )
    .where(
        _p.org_id == bindparam("org_id"),
        one_of(_p.id),
        _p.rules_version == bindparam("version"),
        _p.wants_seat == _p.has_seat,
        # Somebody without an address is given that of their owner, should it be free by now.
        _p.sign_in_key.is_not(None),
        _p.deleted_at.is_(None),
        ~_marked.exists(),
    )
    .order_by(_p.id)
)
#: The open grants of some projects, and the default one.
_HELD = Prepared(
    select(
        _given.id, _given.person_id, _given.kind, _given.target, _given.project_role, _given.origin,
        _given.origin_by, _given.source_id, _given.group_id, _given.rule, _given.dormant,
    ).where(
        _given.org_id == bindparam("org_id"),
        one_of(_given.person_id, "people"),
        _given.until.is_(None),
        unindexed(_given.kind) == "project",
        (_given.origin == "default") | one_of(_given.target, "targets"),
    )
)  # fmt: skip
_REST = Rewriting(
    people,
    (_p.org_id == bindparam("_org_id")) & (_p.id == bindparam("_person_id")),
    ("rest", "extension", "changed_at"),
)


class Moved(NamedTuple):
    """Somebody who came into a group, or left it."""

    group_id: GroupId
    came: bool


#: What each group gives.
Gifts: TypeAlias = Mapping[GroupId, tuple[Effect, ...]]


def asked_of_gifts(tx: Tx, group_ids: Sequence[GroupId]) -> tuple[Prepared, Parameters]:
    """What ``gifts`` asks; see ``prepared.ahead``."""
    return _GIFTS, {"org_id": tx.org_id, "keys": group_ids}


def asked_of_moved(tx: Tx, person_ids: Collection[PersonId]) -> tuple[Prepared, Parameters]:
    """What ``regroup`` asks of those who came or went."""
    of_version = {"org_id": tx.org_id, "version": tx.book.rules.version}
    return _WHO, {**of_version, "keys": sorted(person_ids)}


def gifts(tx: Tx, group_ids: Sequence[GroupId]) -> Gifts:
    """What those of the groups give that are in no other group and give projects or nothing."""
    if tx.book.rules.limited:  # whoever waits for what is limited may be given it at any settling
        return {}
    found: dict[GroupId, list[Effect]] = {}
    statement, of_all = asked_of_gifts(tx, group_ids)
    for row in statement.all(tx.conn, of_all):
        effects = found.setdefault(GroupId(row.id), [])
        if row.rule is not None:
            effects.append(Effect(row.rule, row.kind, row.target, row.project_role))
    return {
        group_id: tuple(effects)
        for group_id, effects in found.items()
        if all(effect.kind == "project" for effect in effects)
    }


def regroup(tx: Tx, moves: Mapping[PersonId, Moved], given: Gifts) -> set[PersonId]:
    """Do what settling would for those who came into such groups, or left them; gives the others.

    No other change of this body may be about them.
    """
    if not moves:
        return set()
    statement, of_version = asked_of_moved(tx, moves)
    rows = statement.all(tx.conn, of_version)
    regiven = _regive(tx, [row for row in rows if given[moves[row.id].group_id]], moves, given)
    kept = [row for row in rows if row.id in regiven or not given[moves[row.id].group_id]]
    raised = []
    written: list[tuple[Parameters, Parameters]] = []
    for row in kept:
        raised.append({"_org_id": tx.org_id, "_person_id": row.id, "_rest": row.rest + tx.step})
        values: dict[str, Any] = {"rest": row.rest + tx.step}
        extension = regiven[row.id].extension if row.id in regiven else row.extension
        if extension != row.extension:
            values |= {"extension": extension, "changed_at": last_changed.not_before(row.changed_at, tx.now)}
        written.append(({"_org_id": tx.org_id, "_person_id": row.id}, values))
    _REST.many(tx.conn, written)
    standing_rows.REGROUP.many(tx.conn, raised)
    standing_rows.regive(
        tx,
        [closed for each in regiven.values() for closed in each.closed],
        [(person_id, grant) for person_id, each in regiven.items() for grant in each.opened],
    )
    for each in regiven.values():
        tx.events += each.told
    invitation_upkeep.put_off(tx, [PersonId(row.id) for row in kept if row.causes == [_INVITED]])
    return set(moves).difference(row.id for row in kept)


class _Regiven(NamedTuple):
    """What a membership changes of somebody's grants, all of which are in effect."""

    extension: bytes
    closed: list[str]
    opened: frozenset[Grant]
    told: list[Event]


def _regive(
    tx: Tx, rows: Sequence[Row[Any]], moves: Mapping[PersonId, Moved], given: Gifts
) -> dict[PersonId, _Regiven]:
    """Of these people, those of whom only the projects change, and never all.

    Who is not Inactive, and neither without a project before nor after, stands as before but for
    their grants of what the group gives, and that of the default project.
    """
    shown = {
        PersonId(row.id): standing_rows.projects_of(row.extension)
        for row in rows
        if row.causes in ([], [_INVITED]) and row.owner_source_id == tx.ctx.source_id
    }
    held = _held(tx, {person_id: projects for person_id, projects in shown.items() if projects}, moves, given)
    found: dict[PersonId, _Regiven] = {}
    for row in rows:
        if shown.get(row.id):
            move = moves[row.id]
            regiven = _of_one(tx, row, shown[row.id], held.get(row.id, []), move, given[move.group_id])
            if regiven is not None:
                found[PersonId(row.id)] = regiven
    return found


def _held(
    tx: Tx,
    shown: Mapping[PersonId, Mapping[ProjectId, RoleName]],
    moves: Mapping[PersonId, Moved],
    given: Gifts,
) -> Mapping[PersonId, list[Row[Any]]]:
    """Their grants of what their groups give, and of the default project; whoever comes may have none."""
    alone = {tx.book.rules.default_project}
    targets = {
        person_id: {effect.target for effect in given[moves[person_id].group_id]}
        for person_id, projects in shown.items()
        if not moves[person_id].came
        or projects.keys() <= alone
        or any(effect.target in projects for effect in given[moves[person_id].group_id])
    }
    found: dict[PersonId, list[Row[Any]]] = {}
    if not targets:
        return found
    asked = {"org_id": tx.org_id, "people": targets, "targets": set().union(*targets.values())}
    for row in _HELD.all(tx.conn, asked):
        if row.origin == "default" or row.target in targets[row.person_id]:
            found.setdefault(row.person_id, []).append(row)
    return found


def _of_one(
    tx: Tx,
    row: Row[Any],
    shown: Mapping[ProjectId, RoleName],
    held: Sequence[Row[Any]],
    move: Moved,
    effects: tuple[Effect, ...],
) -> _Regiven | None:
    """None where more than the projects changes, or something is not as it should be."""
    rules = tx.book.rules
    before = {each.id: standing_rows.grant_of(each) for each in held}
    after = regive(
        shown,
        before.values(),
        MembershipFact(SourceId(row.owner_source_id), move.group_id, "", (), effects),
        came=move.came,
        rules=rules,
        role=rules.roles[RoleName(row.primary_role)],
        needs_one=row.kind != "service",
    )
    if after is None:
        return None
    were = frozenset(before.values())
    return _Regiven(
        standing_rows.with_projects(row.extension, after.projects),
        [grant_id for grant_id, grant in before.items() if grant not in after.grants],
        after.grants - were,
        grant_changes(PersonId(row.id), were, after.grants),
    )
