"""Invitations."""

from __future__ import annotations

from sqlalchemy import Index, Table

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata

invitations = Table(
    "invitations",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("person_id"),
    columns.text("address"),
    columns.key("status"),  # pending | accepted | declined | expired | cancelled
    columns.flag("staged"),  # its mail waits for the source's release
    columns.flag("reactivates"),  # of somebody whom an admin deactivated: accepting lifts that
    columns.integer("generation", 1),
    columns.text("message", null=True),
    columns.text("invited_by"),
    columns.ref("source_id", null=True),
    columns.time("created_at"),
    columns.time("expires_at"),
    columns.time("used_at", null=True),
    columns.time("ended_at", null=True),
    columns.text("ended_by", null=True),
    columns.time("sent_at", null=True),
    columns.time("hidden_at", null=True),
    Index("ix_invitations_person", "org_id", "person_id", "created_at"),
    Index("ix_invitations_status", "org_id", "status", "expires_at"),
    Index("ix_invitations_created", "created_at", "org_id"),
)
# One at a time; and what a settled person may have is found without reading all that are pending.
columns.partial_index(
    "uq_invitations_pending",
    invitations.c.org_id,
    invitations.c.person_id,
    unique=True,
    where=invitations.c.status == "pending",
)
