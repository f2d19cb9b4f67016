"""What is still to be done: questions for an admin, people to settle; who is at it, and how far."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Id, Json, KeyText

unsettled = Table(
    "unsettled",
    metadata,
    columns.org(),
    Column("person_id", Id, primary_key=True),
    columns.integer("turn"),  # 0 leavers, 1 joiners
    columns.time("marked_at"),
    # Whole, in the order of the work: of a large change all marks are of one moment.
    Index("ix_unsettled_turn", "org_id", "turn", "marked_at", "person_id"),
    sqlite_with_rowid=False,  # as group_members, for whose changes most marks are
)

decisions = Table(
    "decisions",
    metadata,
    columns.org(),
    columns.ident(),
    columns.key("kind"),  # collision | ambiguous | return | shared_address | group_name | link
    columns.key("subject"),  # one item however often it comes up: unique among the open ones
    columns.text("question"),
    Column("options", Json, nullable=False),  # [{"answer": "link", "label": …, "effect": …}]
    Column("facts", Json, nullable=False),
    columns.ref("source_id", null=True),
    columns.key("state"),  # open | answered | moot
    columns.key("answer", null=True),
    columns.text("answered_by", null=True),
    columns.time("opened_at"),
    columns.time("answered_at", null=True),
    Index("ix_decisions_state", "org_id", "state", "opened_at"),
)
columns.partial_index(
    "uq_decisions_open",
    decisions.c.org_id,
    decisions.c.kind,
    decisions.c.subject,
    unique=True,
    where=decisions.c.state == "open",
)

leases = Table(
    "leases",
    metadata,
    columns.org(),
    Column("name", KeyText, primary_key=True),  # source:<id>, outbox, publisher, settling
    columns.key("holder"),
    columns.integer("fence"),
    columns.time("until"),
)

walks = Table(
    "walks",
    metadata,
    columns.org(),  # empty: the walk is over all organizations
    Column("name", KeyText, primary_key=True),  # audit
    # The last that was looked at; empty: the walk begins again.
    columns.ref("last_org_id"),
    columns.ref("last_id"),
)
