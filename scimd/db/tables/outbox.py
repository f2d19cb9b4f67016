"""Mails that are owed, and what admins were told of."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Json, KeyText

deliveries = Table(
    "deliveries",
    metadata,
    columns.org(),
    columns.ident(),
    columns.key("kind"),  # mail
    columns.key("template"),
    columns.ref("person_id", null=True),
    columns.ref("invitation_id", null=True),
    columns.ref("link_id", null=True),
    columns.text("address"),
    Column("params", Json, nullable=False),  # never a token: links are derived when the mail is made
    columns.key("state"),  # staged | due | sent | refused | cancelled
    columns.time("first_change_at"),
    columns.time("due_at"),
    columns.integer("attempts"),  # how often it was taken for sending
    columns.integer("unanswered"),  # how often it was handed over, and what the server said is not known
    columns.text("last_error", null=True),
    columns.time("sent_at", null=True),
    columns.time("created_at"),
    Index("ix_deliveries_due", "state", "due_at"),
    # Those of an invitation are found by its person.
    Index("ix_deliveries_person", "org_id", "person_id", "invitation_id"),
)

# What the organization's own people were told of. A row outlives the mail, so that nothing is told twice.
notifications = Table(
    "notifications",
    metadata,
    columns.org(),
    Column("key", KeyText, primary_key=True),
    columns.key("what"),
    columns.key("subject"),
    columns.flag("holds"),  # a state that still is so; one that ends may begin again
    columns.time("noted_at"),
    columns.time(
        "told_at", null=True
    ),  # NULL: nobody wants to know, or the subject was written about that day
    Index("ix_notifications_subject", "org_id", "subject", "told_at"),
)
