"""Sources of people, their rules, and what their connectors' runs found and did."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, UniqueConstraint, text

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Id, Json

sources = Table(
    "sources",
    metadata,
    columns.org(),
    columns.ident(),
    columns.key("name"),
    columns.key("kind"),  # scim | connector
    columns.key("connector", null=True),  # the entry point's name
    columns.integer("priority"),
    columns.key("state"),  # shadow | staged | active | paused
    columns.key("invite"),  # immediate | never
    columns.key("ceiling"),  # an org role
    columns.key("declared_in"),  # file | database
    Column("config", Json, nullable=False),  # settings without secrets' values, mapping, limits, schedule
    columns.integer("config_version", 1),  # raised when mapping, scope or joins change: digests are void
    # Counters of live assertions and groups: totals without a filter are read, not counted.
    columns.integer("user_count"),
    columns.integer("group_count"),
    # How many came into these lists or left them so far: while it stands, so does every place in them.
    Column("user_moves", BigInteger, nullable=False, server_default=text("0")),
    Column("group_moves", BigInteger, nullable=False, server_default=text("0")),
    # How often changes of groups have named members who were nobody's yet: whoever brings a name and has
    # looked whether a group waits for it looks again where this rose meanwhile
    # (org/sources/source_counts.py).
    Column("unknown_named", BigInteger, nullable=False, server_default=text("0")),
    # SCIM deactivations of an hour: since when, how many, of how many people. Only for the alarm.
    columns.time("leaving_since", null=True),
    columns.integer("leaving_count"),
    columns.integer("leaving_of"),
    # How the last runs went.
    columns.integer("failures"),  # in a row
    columns.time("last_success_at", null=True),
    columns.time("last_full_at", null=True),
    columns.time("next_run_at", null=True),
    columns.time("quarantined_since", null=True),
    columns.text("quarantine_cause", null=True),
    columns.key("paused_from", null=True),  # of a paused one the state before, in which it would go on
    columns.flag("paused_by_quarantine"),
    columns.text("cursor", null=True),
    columns.time("released_at", null=True),
    # An end that was begun: what becomes of its people, of how many, by whom (org/sources/source_ends.py).
    Column("ending", Json, nullable=True),
    columns.time("ended_at", null=True),
    columns.time("created_at"),
    UniqueConstraint("org_id", "name"),
)

rules = Table(
    "rules",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("source_id"),
    Column("number", Integer, nullable=False),
    Column("body", Json, nullable=False),
    columns.counter("since_generation"),
    columns.counter("until_generation", None),
    Index("ix_rules_source", "org_id", "source_id", "until_generation"),
)

runs = Table(
    "runs",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("source_id"),
    columns.key("trigger"),  # schedule | manual | cli
    # reading | planned | held | applying | done | partial | failed | refused | expired
    columns.key("state"),
    columns.text("started_by"),
    columns.time("started_at"),
    columns.time("planned_at", null=True),
    columns.time("finished_at", null=True),
    columns.time("expires_at", null=True),
    columns.flag("full", True),
    columns.flag("complete"),
    Column("counts", Json, nullable=False),  # by situation, by action and by outcome
    Column("trips", Json, nullable=False),  # the limits that tripped, each with its figures
    Column("seats", Json, nullable=False),  # before, freed, wanted, after, waiting
    columns.key("fingerprint", null=True),
    columns.integer("config_version"),
    columns.counter("rules_version"),
    columns.integer("place"),  # changes applied so far
    columns.text("cursor", null=True),
    columns.text("error", null=True),
    columns.key("error_kind", null=True),
    columns.text("approved_by", null=True),
    columns.time("approved_at", null=True),
    Index("ix_runs_source", "org_id", "source_id", "started_at"),
    Index("ix_runs_state", "org_id", "state"),
)

run_changes = Table(
    "run_changes",
    metadata,
    columns.org(),
    Column("run_id", Id, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    columns.key("kind"),  # user | group
    columns.key("situation"),
    columns.key("action"),  # create update link deactivate drop delete rename members skip fail wait
    columns.flag("removal"),
    columns.key("external_id", null=True),
    columns.text("name"),
    columns.ref("target_id", null=True),  # a person or a group
    Column("old", Json, nullable=True),
    Column("new", Json, nullable=True),
    Column("payload", Json, nullable=True),  # what apply needs beyond old and new
    columns.text("reason"),
    columns.key("outcome"),  # planned | staged | applied | waiting | skipped | failed
    columns.text("detail", null=True),
    Column("inverse", Json, nullable=True),
    columns.time("applied_at", null=True),
    Index("ix_run_changes_outcome", "org_id", "run_id", "outcome"),
)
