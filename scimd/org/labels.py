"""What the ids in explanations and in the audit are called now, for whoever reads them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

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
    return await door.read(lambda conn: names_in(conn, org_id, ids))


def names_in(conn: Connection, org_id: OrgId, ids: Collection[str]) -> dict[str, str]:
    """As ``names_of``, in a transaction."""
    found: dict[str, str] = {}
    for org_column, id_column, name_column in _NAMED:
        query = select(id_column, name_column).where(org_column == org_id, among(conn, id_column, ids))
        found.update({row[0]: row[1] for row in conn.execute(query)})
    return found


def of_grant(names: Mapping[str, str], kind: str, target: str, project_role: str | None) -> str:
    """What is given, in words: ``project Alpha as owner``; a role is its own name."""
    return f"{kind} {names.get(target, target)}{f' as {project_role}' if project_role else ''}"


_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ids_in(texts: Iterable[str]) -> set[str]:
    return {found for text in texts for found in _ID.findall(text)}


def parts(text: str, names: Mapping[str, str]) -> list[tuple[str, bool]]:
    """As ``named``, cut where names begin and end: (part, whether it is a name)."""
    found, end = [], 0
    for each in _ID.finditer(text):
        found += [(text[end : each.start()], False), (names.get(each[0], each[0]), True)]
        end = each.end()
    return [*found, (text[end:], False)]


def named(text: str, names: Mapping[str, str]) -> str:
    """The text with each id that has a name replaced by it."""
    return "".join(part for part, _ in parts(text, names))
