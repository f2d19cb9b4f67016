"""The ids of people who were merged: each answers for the person into whom they went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from sqlalchemy import Connection, bindparam, select

from scimd.core.errors import NotFound
from scimd.core.people import OrgId, PersonId
from scimd.db.among import among
from scimd.db.prepared import Prepared
from scimd.db.tables import merged_people
from scimd.org.tx import Door

T = TypeVar("T")
_m = merged_people.c
_INTO = Prepared(select(_m.person_id).where(_m.org_id == bindparam("org_id"), _m.id == bindparam("id")))


def into(conn: Connection, org_id: OrgId, person_id: str) -> PersonId | None:
    """Into whom the person of this id was merged; None for all others."""
    row = _INTO.first(conn, {"org_id": org_id, "id": person_id})
    return None if row is None else PersonId(row.person_id)


def who(conn: Connection, org_id: OrgId, person_id: str) -> PersonId:
    """Who that is now."""
    return into(conn, org_id, person_id) or PersonId(person_id)


def present(conn: Connection, org_id: OrgId, person_ids: Collection[str]) -> dict[str, PersonId]:
    """As ``who``, of many."""
    if not person_ids:
        return {}
    query = select(_m.id, _m.person_id).where(
        _m.org_id == org_id, among(conn, _m.id, sorted(set(person_ids)))
    )
    kept = {row.id: PersonId(row.person_id) for row in conn.execute(query)}
    return {each: kept.get(each, PersonId(each)) for each in person_ids}


async def follow(
    door: Door, org_id: OrgId, person_id: PersonId, work: Callable[[PersonId], Awaitable[T]]
) -> T:
    """Do it to the person of this id; where there is none, to the one into whom they were merged."""
    try:
        return await work(person_id)
    except NotFound:
        kept = await door.glance(lambda conn: into(conn, org_id, person_id))
        if kept is None:
            raise
    return await work(kept)
