"""Invitations."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table

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
    columns.one_where("is_pending", "status = 'pending'"),
    columns.flag("staged"),  # its mail waits for the source's release
    columns.flag("reactivates"),  # of somebody whom an admin deactivated: accepting lifts that
    columns.flag("void"),  # of whoever bore the name before: says nothing of who bears it now
    columns.integer("generation", 1),
    columns.text("message", null=True),
    columns.text("invited_by"),
    columns.text("invited_by_id", null=True),  # the actor's, which no name can pass for
    columns.ref("source_id", null=True),
    Column("valid_s", Integer, nullable=True),  # as the hand that invited said; NULL: as the config says
    columns.time("created_at"),
    columns.time("expires_at"),
    columns.time("used_at", null=True),
    columns.time("ended_at", null=True),
    columns.text("ended_by", null=True),
    columns.time("sent_at", null=True),
    columns.time("hidden_at", null=True),
    # One at a time is pending; those that are over are found by their person too.
    Index("uq_invitations_pending", "org_id", "person_id", "is_pending", unique=True),
    Index("ix_invitations_status", "org_id", "status", "expires_at"),
)
# So many an hour are made by hand; how many a source makes is not asked.
columns.partial_index(
    "ix_invitations_by_hand",
    invitations.c.org_id,
    invitations.c.created_at,
    where=invitations.c.source_id.is_(None),
)
columns.tell_sqlite(
    invitations,
    primary="100000000 1000000 1",
    uq_invitations_pending="100000000 1000000 2 1",
    ix_invitations_status="100000000 1000000 100000 10",
    ix_invitations_by_hand="1000000 10000 10",
)
#: The order of one person's. The open one is the newest, also where another was made while a clock was ahead.
NEWEST_LAST = (invitations.c.status == "pending", invitations.c.created_at, invitations.c.id)
