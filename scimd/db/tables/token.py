"""Who may call: bearer tokens, OAuth clients, issuers of signed tokens, tokens of the REST API."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table

from scimd.db.tables import columns
from scimd.db.tables.columns import metadata
from scimd.db.types import Bytes, Json

tokens = Table(
    "tokens",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("source_id"),
    columns.text("name"),
    Column("hash", Bytes, nullable=False),  # SHA-256 of 256 random bits
    columns.key("profile"),
    Column("scopes", Json, nullable=False),
    columns.time("created_at"),
    columns.time("expires_at", null=True),
    columns.time("given_until", null=True),  # its end when it was made, which a rotation brings nearer
    columns.time("revoked_at", null=True),
    columns.time("last_used_at", null=True),
    columns.time("trace_until", null=True),  # until then its successful reads are in scim_requests too
    Index("uq_tokens_hash", "hash", unique=True),
    Index("ix_tokens_source", "org_id", "source_id"),
)

# Who may fetch access tokens (RFC 6749 §4.4). The id is the client_id.
oauth_clients = Table(
    "oauth_clients",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("source_id"),
    columns.text("name"),
    columns.key("profile"),
    Column("scopes", Json, nullable=False),
    columns.time("created_at"),
    columns.time("revoked_at", null=True),
    columns.time("last_used_at", null=True),
    Index("ix_oauth_clients_source", "org_id", "source_id"),
)

# A client's secrets: two live ones at most, so that one can be changed without a gap.
oauth_secrets = Table(
    "oauth_secrets",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("client_id"),
    Column("hash", Bytes, nullable=False),
    columns.time("created_at"),
    columns.time("expires_at", null=True),
    columns.time("revoked_at", null=True),
    Index("uq_oauth_secrets_hash", "hash", unique=True),
    Index("ix_oauth_secrets_client", "org_id", "client_id"),
)

# Alive while its client and the secret that fetched it are.
access_tokens = Table(
    "access_tokens",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("client_id"),
    columns.ref("secret_id"),
    Column("hash", Bytes, nullable=False),
    Column("scopes", Json, nullable=False),
    columns.time("created_at"),
    columns.time("expires_at"),
    Index("uq_access_tokens_hash", "hash", unique=True),
    Index("ix_access_tokens_expires", "expires_at"),
)

# Whose signed tokens speak for a source: (issuer, audience) is one source's, over all organizations.
jwt_issuers = Table(
    "jwt_issuers",
    metadata,
    columns.org(),
    columns.ident(),
    columns.ref("source_id"),
    columns.key("issuer"),
    columns.key("audience"),
    Column("config", Json, nullable=False),  # config.Jwt
    columns.time("created_at"),
    columns.time("last_used_at", null=True),
    Index("uq_jwt_issuers_issuer_audience", "issuer", "audience", unique=True),
    Index("uq_jwt_issuers_source", "org_id", "source_id", unique=True),
)

# Of a person (at most what the person may), or of a service (what stands in permissions).
api_tokens = Table(
    "api_tokens",
    metadata,
    columns.org(),
    columns.ident(),
    columns.key("kind"),  # personal | service
    columns.ref("person_id", null=True),
    columns.text("name"),
    Column("hash", Bytes, nullable=False),
    Column("permissions", Json, nullable=True),  # NULL, of a personal one: whatever the person may
    columns.text("created_by"),
    columns.time("created_at"),
    columns.time("expires_at", null=True),
    columns.time("revoked_at", null=True),
    columns.text("revoked_by", null=True),
    columns.time("last_used_at", null=True),
    Index("uq_api_tokens_hash", "hash", unique=True),
    Index("ix_api_tokens_person", "org_id", "person_id"),
)
