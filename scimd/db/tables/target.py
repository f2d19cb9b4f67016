"""What can be given: projects, teams, licences, roles."""

from __future__ import annotations

from sqlalchemy import Column, Table, UniqueConstraint

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Json, KeyText

projects = Table(
    "projects",
    metadata,
    columns.org(),
    columns.ident(),
    columns.text("name"),
    columns.key("name_key"),
    columns.ref("made_by_group_id", null=True),  # its name follows that group's
    columns.flag("orphaned"),
    columns.time("archived_at", null=True),
    columns.time("created_at"),
)
columns.partial_index(
    "uq_projects_name_key",
    projects.c.org_id,
    projects.c.name_key,
    unique=True,
    where=projects.c.archived_at.is_(None),
)

teams = Table(
    "teams",
    metadata,
    columns.org(),
    columns.ident(),
    columns.text("name"),
    columns.key("name_key"),
    columns.time("created_at"),
    UniqueConstraint("org_id", "name_key"),
)

licences = Table(
    "licences",
    metadata,
    columns.org(),
    columns.ident(),
    columns.text("name"),
    columns.key("name_key"),
    columns.time("created_at"),
    UniqueConstraint("org_id", "name_key"),
)

roles = Table(
    "roles",
    metadata,
    columns.org(),
    Column("name", KeyText, primary_key=True),
    columns.text("label"),
    Column("permissions", Json, nullable=False),
    columns.flag("may_hold_projects"),
    columns.flag("built_in"),
)
