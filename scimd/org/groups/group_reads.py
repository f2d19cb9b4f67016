"""What groups give, and by which rule: for whoever asks why a group does what it does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.people import OrgId, fold
from scimd.db.among import among
from scimd.db.tables import group_effects, groups, sources
from scimd.org.labels import names_in
from scimd.org.tx import Door


@dataclass(frozen=True, slots=True)
class Given:
    """One effect of a group. Rule 0: the source's default, by which each group is a project of its name."""

    rule: int
    kind: str
    target: str
    name: str
    project_role: str | None

    def __str__(self) -> str:
        by = f"rule {self.rule}" if self.rule else "default"
        role = f" as {self.project_role}" if self.project_role else ""
        return f"{self.kind} {self.name}{role} ({by})"


async def given_by(door: Door, org_id: OrgId, group_ids: Collection[str]) -> Mapping[str, tuple[Given, ...]]:
    """What each of these groups gives, by rule; groups that give nothing are left out."""
    return await door.read(lambda conn: _given(conn, org_id, group_ids))


def _given(conn: Connection, org_id: OrgId, group_ids: Collection[str]) -> dict[str, tuple[Given, ...]]:
    if not group_ids:
        return {}
    column = group_effects.c
    query = (
        select(group_effects)
        .where(column.org_id == org_id, among(conn, column.group_id, list(group_ids)))
        .order_by(column.group_id, column.rule, column.kind)
    )
    rows = conn.execute(query).all()
    names = names_in(conn, org_id, {row.target for row in rows if row.kind != "role"})
    found: dict[str, tuple[Given, ...]] = {}
    for row in rows:
        given = Given(row.rule, row.kind, row.target, names.get(row.target, row.target), row.project_role)
        found[row.group_id] = (*found.get(row.group_id, ()), given)
    return found


async def find_group(door: Door, org_id: OrgId, text: str, source: str | None = None) -> str:
    """The id of the group that an id, an external id or a name means. Raises NotFound.

    Raises NotAllowedNow where several are called so: then its source, or its id, has to say which.
    """
    query = (
        select(groups.c.id, sources.c.name)
        .join(sources, (sources.c.org_id == groups.c.org_id) & (sources.c.id == groups.c.source_id))
        .where(
            groups.c.org_id == org_id,
            groups.c.state == "live",
            or_(groups.c.id == text, groups.c.external_id == text, groups.c.display_name_key == fold(text)),
        )
        .order_by(groups.c.id)
    )
    if source is not None:
        query = query.where(sources.c.name == source)
    rows = await door.read(lambda conn: conn.execute(query).all())
    if not rows:
        raise NotFound("group", text)
    if len(rows) > 1:
        which = ", ".join(f"{row.id} of {row.name}" for row in rows)
        raise NotAllowedNow(f"Several groups are called {text!r}: {which}. Give the id.")
    return str(rows[0].id)
