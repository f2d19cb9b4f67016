"""Requests that are remembered: SCIM's log, and the keys under which a REST write happens once."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Bytes, Json, KeyText

scim_requests = Table(
    "scim_requests",
    metadata,
    columns.org(),
    columns.ident(),  # by time: the order of the log, and what pruning goes by
    columns.time("at"),
    columns.ref("token_id", null=True),
    columns.text("token_name"),
    columns.ref("source_id", null=True),
    columns.text("source_name"),
    columns.key("profile"),
    Column("scopes", Json, nullable=False),  # of the token: ["users:read"]
    columns.key("correlation_id"),
    columns.key("method"),
    columns.key("pattern"),  # the path with {id} for ids
    columns.text("path"),  # from here on values are pseudonyms: core/request_pseudonyms
    columns.text("query", null=True),
    columns.integer("status"),
    columns.key("scim_type", null=True),
    columns.text("detail", null=True),
    columns.integer("duration_us"),
    Column("headers", Json, nullable=False),  # what a replay needs: If-Match, ETag, Content-Type
    Column("transforms", Json, nullable=False),  # [{"name": "entra.manager-forms", "did": …}]
    Column("ignored", Json, nullable=False),  # [{"name": "shoeSize", "why": …}]
    columns.key("resource_kind", null=True),  # User | Group
    columns.ref("resource_id", null=True),  # scimd's own id, where there is such a resource
    columns.text("request", null=True),  # JSON; text, since the order of keys is part of it
    columns.text("response", null=True),
    Column("omitted", Json, nullable=False),  # bodies that were too large: ["response"]
    columns.integer("bytes"),
    columns.integer("dropped"),  # entries before this one for which there was no room
    Index("ix_scim_requests_correlation", "org_id", "correlation_id"),
)

# Made in the transaction of the write itself; the answer follows, sealed (org/idempotency.py).
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    columns.org(),
    Column("actor_id", KeyText, primary_key=True),
    Column("key", KeyText, primary_key=True),
    Column("digest", Bytes, nullable=False),  # of method, address and body
    columns.key("attempt"),  # the sending that carried it out
    Column("status", Integer, nullable=True),
    Column("answer", Bytes, nullable=True),
    columns.time("at"),
    columns.time("until"),
    Index("ix_idempotency_keys_until", "until"),
)
