"""Changes of documents and of groups that leave the standing as it is: the short way through settling.

Of an entry, standing counts who asserts it, whether it is active, whether the person has an address,
and the values that a rule names (``core.facts.Facts``). A document that changes none of these, of
somebody settled under the present rules, changes no status, grant or seat: what is left is their name,
and the mail that every change puts off. Of a group, standing counts what it gives, and what those give
in which it is: where that is nothing, only the groups that SCIM shows of the person change. Whatever is
not proven here is settled in full; tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from scimd.core.people import GroupId, Keys, PersonId, SourceId
from scimd.core.standing import CauseKind
from scimd.db.among import one_of
from scimd.db.prepared import Locking, Prepared
from scimd.db.tables import group_effects, group_members, groups, people
from scimd.org import invitation_upkeep, standing_rows
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
    .values(display_name=bindparam("_name"), changed_at=bindparam("_now"))
)


def follow(tx: Tx, source_id: SourceId, many: Sequence[tuple[Row[Any], Keys]]) -> None:
    """What settling would write for people whose new documents keep their standing."""
    _NAME.many(
        tx.beside,
        [
            {"_org_id": tx.org_id, "_id": old.person_id, "_name": keys.display_name, "_now": tx.now}
            for old, keys in many
            if old.owner_source_id == source_id and old.display_name != keys.display_name
        ],
    )
    invitation_upkeep.put_off(tx, [PersonId(old.person_id) for old, _ in many if old.causes == [_INVITED]])


# ------------------------------------------------------------------------------ groups

_g, _m, _p = groups.c, group_members.c, people.c
_above = select(_m.group_id).where(_m.org_id == _g.org_id, _m.child_id == _g.id)
_given = select(group_effects.c.rule).where(
    group_effects.c.org_id == _g.org_id, group_effects.c.group_id == _g.id
)
_GIVING_NOTHING = Prepared(
    select(_g.id).where(_g.org_id == bindparam("org_id"), one_of(_g.id), ~_above.exists(), ~_given.exists())
)
_WHO = Locking(
    select(_p.id, _p.rest, _p.causes)
    .where(
        _p.org_id == bindparam("org_id"),
        one_of(_p.id),
        _p.rules_version == bindparam("version"),
        _p.wants_seat == _p.has_seat,
        # Somebody without an address is given that of their owner, should it be free by now.
        _p.sign_in_key.is_not(None),
    )
    .order_by(_p.id)
)
_REST = Prepared(
    update(people)
    .where(_p.org_id == bindparam("_org_id"), _p.id == bindparam("_person_id"))
    .values(rest=bindparam("_rest"))
)


def giving_nothing(tx: Tx, group_ids: Collection[GroupId]) -> set[GroupId]:
    """Those of the groups that give nothing and are in no other group, as far as it is worth asking."""
    if tx.book.rules.limited:  # whoever waits for what is limited may be given it at any settling
        return set()
    if tx.book.source(tx.ctx.source_id).groups_are_projects:  # all but a few give one
        return set()
    return set(_GIVING_NOTHING.column(tx.conn, {"org_id": tx.org_id, "keys": group_ids}))


def regroup(tx: Tx, person_ids: Collection[PersonId]) -> set[PersonId]:
    """Do for those who came into such groups, or left them, what settling would; gives the others.

    No other change of this body may be about them.
    """
    if not person_ids:
        return set()
    of_version = {"org_id": tx.org_id, "keys": person_ids, "version": tx.book.rules.version}
    rows = _WHO.all(tx.conn, of_version)
    raised = [{"_org_id": tx.org_id, "_person_id": row.id, "_rest": row.rest + 1} for row in rows]
    _REST.many(tx.conn, raised)
    standing_rows.REGROUP.many(tx.conn, raised)
    invitation_upkeep.put_off(tx, [PersonId(row.id) for row in rows if row.causes == [_INVITED]])
    return set(person_ids).difference(row.id for row in rows)
