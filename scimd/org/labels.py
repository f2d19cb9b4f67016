"""What the ids in explanations and in the audit are called now, for whoever reads them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, select

from scimd.core.people import OrgId
from scimd.db.among import among
from scimd.db.tables import groups, licences, people, projects, sources, teams
from scimd.org.tx import Door

_NAMED: tuple[tuple[ColumnElement[str], ColumnElement[str], ColumnElement[str]], ...] = (
    (projects.c.org_id, projects.c.id, projects.c.name),
    (teams.c.org_id, teams.c.id, teams.c.name),
    (licences.c.org_id, licences.c.id, licences.c.name),
    (sources.c.org_id, sources.c.id, sources.c.name),
    (groups.c.org_id, groups.c.id, groups.c.display_name),
    (people.c.org_id, people.c.id, people.c.display_name),
)


async def names_of(door: Door, org_id: OrgId, ids: Collection[str]) -> dict[str, str]:
    """Names of projects, teams, licences, sources, groups and people; ids of nothing are left out."""
    if not ids:
        return {}
    return await door.read(lambda conn: _names(conn, org_id, ids))


def _names(conn: Connection, org_id: OrgId, ids: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for org_column, id_column, name_column in _NAMED:
        query = select(id_column, name_column).where(org_column == org_id, among(conn, id_column, ids))
        found.update({row[0]: row[1] for row in conn.execute(query)})
    return found
