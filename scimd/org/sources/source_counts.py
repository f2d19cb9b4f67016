"""How many users and groups each source has: written last of all, since every push meets in these rows.

So there meet a change of members that names somebody who is nobody's yet, and the entry that brings the
name at the same moment, of which PostgreSQL shows neither the other before it is committed. Whoever names
counts it in the source's row, and looks again whether all are nobody's still: who got there first is seen
by then. Whoever brings a name finds that count as it was before they looked for those who wait for it, or
looks again. What they find so is for the next try of the body to go by. SQLite's writers follow each other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import BigInteger, Update, bindparam, case, select, update

from scimd.core.people import SourceId
from scimd.db.among import one_of
from scimd.db.engine import KnowsMore
from scimd.db.prepared import Prepared, waits
from scimd.db.tables import group_members, sources
from scimd.org.groups import member_rows
from scimd.org.tx import Listed, Tx

_s, _m = sources.c, group_members.c
_mine = (_s.org_id == bindparam("_org_id")) & (_s.id == bindparam("_id"))


def _count(what: Listed, moves: Any) -> Update:
    n = _s[f"{what}_count"] + bindparam("_n")
    return update(sources).where(_mine).values({f"{what}_count": n, f"{what}_moves": moves})


def _moves(what: Listed) -> Any:
    return _s[f"{what}_moves"] + bindparam("_moves")


_KINDS: tuple[Listed, ...] = ("user", "group")
_COUNT = {what: Prepared(_count(what, _moves(what))) for what in _KINDS}
_as_seen = _s.unknown_named == bindparam("_seen", type_=BigInteger)
#: Refused where groups have named others since: the column takes no NULL.
_COUNT_AS_SEEN = {what: Prepared(_count(what, case((_as_seen, _moves(what))))) for what in _KINDS}
_NAMED = Prepared(update(sources).where(_mine).values(unknown_named=_s.unknown_named + 1))
_SEEN = Prepared(
    select(_s.unknown_named).where(_s.org_id == bindparam("org_id"), _s.id == bindparam("source_id"))
)
#: What waits for these names.
UNKNOWN = Prepared(
    select(_m.group_id, _m.member_key, _m.kept).where(
        _m.org_id == bindparam("org_id"),
        _m.source_id == bindparam("source_id"),
        _m.person_id.is_(None),
        _m.child_id.is_(None),
        one_of(_m.member_key),
    )
)


def will_look(tx: Tx, source_id: SourceId, names: Collection[str]) -> None:
    """The body looks next who waits for these names."""
    if _shared(tx):
        of_source = {"org_id": tx.org_id, "source_id": source_id}
        (seen,) = _SEEN.column(tx.beside, of_source)
        tx.looked_for(source_id, seen, names)


def write(tx: Tx) -> None:
    """Write the counts. Raises KnowsMore where names met."""
    counted = {key for key, moves in tx.moves.items() if moves}
    if _shared(tx):
        counted |= {(source_id, "user") for source_id in tx.looked.keys() - {each for each, _ in counted}}
    for source_id, what in sorted(counted):
        _write(tx, source_id, what)
    if _shared(tx):
        for source_id, names in sorted(tx.unknown.items()):
            if names:
                _name(tx, source_id, names)


def _shared(tx: Tx) -> bool:
    return tx.beside.dialect.name == "postgresql"


def _write(tx: Tx, source_id: SourceId, what: Listed) -> None:
    n, moves = tx.counts[source_id, what], tx.moves[source_id, what]
    of_source = {"_org_id": tx.org_id, "_id": source_id, "_n": n, "_moves": moves and tx.step}
    looked = tx.looked.get(source_id) if _shared(tx) else None
    if looked is None:
        _COUNT[what].post(tx.conn, of_source)
    elif waits(tx.beside):
        _COUNT[what].post(tx.conn, of_source)
        of_source = {"org_id": tx.org_id, "source_id": source_id}
        (now,) = _SEEN.column(tx.beside, of_source)
        if now != looked.unknown_named and UNKNOWN.all(tx.beside, {**of_source, "keys": looked.names}):
            raise KnowsMore
    else:
        _COUNT_AS_SEEN[what].post(tx.conn, {**of_source, "_seen": looked.unknown_named})


def _name(tx: Tx, source_id: SourceId, names: Collection[str]) -> None:
    _NAMED.post(tx.conn, {"_org_id": tx.org_id, "_id": source_id})
    if member_rows.are_known(tx, source_id, names):
        raise KnowsMore
