"""The audit trail and its chain."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, literal_column

from scimd.core.notifications import OF_EVENT
from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Bytes, Json

events = Table(
    "events",
    metadata,
    columns.org(),
    columns.ident(),  # by microsecond, then as they were recorded: the order of the audit
    columns.time("at"),
    columns.key("actor_kind"),
    columns.key("actor_id"),
    columns.text("actor_name"),
    columns.key("door"),
    columns.key("kind"),
    columns.key("target_kind"),
    columns.key("target_id"),
    columns.key("correlation_id"),
    columns.key("audience"),  # audit | feed
    Column("digest", Bytes, nullable=False),  # SHA-256 over the salt and the values
    # The values, {"before": …, "after": …, "note": …}; NULL, and the salt with them, once they were erased.
    Column("salt", Bytes, nullable=True),
    Column("body", Json, nullable=True),
    Index("ix_events_target", "org_id", "target_id", "id"),
    Index("ix_events_correlation", "org_id", "correlation_id", "id"),
)
# Of which admins are told by mail: few, and looked for once a minute among all of a week.
TOLD = events.c.kind.in_([literal_column(f"'{kind}'") for kind in OF_EVENT])
columns.partial_index("ix_events_told", events.c.org_id, events.c.id, where=TOLD)

published = Table(
    "published",
    metadata,
    columns.org(),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    columns.ref("event_id"),
    Column("chain", Bytes, nullable=False),
    Index("uq_published_event", "org_id", "event_id", unique=True),
)
