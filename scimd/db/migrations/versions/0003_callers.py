"""Who calls: sources, tokens, sessions, and their requests."""

import sqlalchemy as sa
from alembic import op

from scimd.db import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.Column("secret_id", types.Id(), nullable=False),
        sa.Column("hash", types.Bytes(), nullable=False),
        sa.Column("scopes", types.Json(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_access_tokens")),
    )
    op.create_index("ix_access_tokens_expires", "access_tokens", ["expires_at"], unique=False)
    op.create_index("uq_access_tokens_hash", "access_tokens", ["hash"], unique=True)
    op.create_table(
        "api_tokens",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", types.Bytes(), nullable=False),
        sa.Column("permissions", types.Json(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_api_tokens")),
    )
    op.create_index("ix_api_tokens_person", "api_tokens", ["org_id", "person_id"], unique=False)
    op.create_index("uq_api_tokens_hash", "api_tokens", ["hash"], unique=True)
    op.create_table(
        "credentials",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("short", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("changed_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "person_id", "kind", name=op.f("pk_credentials")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("actor_id", types.KeyText(), nullable=False),
        sa.Column("key", types.KeyText(), nullable=False),
        sa.Column("digest", types.Bytes(), nullable=False),
        sa.Column("attempt", types.KeyText(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", types.Bytes(), nullable=True),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "actor_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_until", "idempotency_keys", ["until"], unique=False)
    op.create_table(
        "jwt_issuers",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("issuer", types.KeyText(), nullable=False),
        sa.Column("audience", types.KeyText(), nullable=False),
        sa.Column("config", types.Json(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_jwt_issuers")),
    )
    op.create_index("uq_jwt_issuers_issuer_audience", "jwt_issuers", ["issuer", "audience"], unique=True)
    op.create_index("uq_jwt_issuers_source", "jwt_issuers", ["org_id", "source_id"], unique=True)
    op.create_table(
        "links",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("purpose", types.KeyText(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_links")),
    )
    op.create_index("ix_links_person", "links", ["org_id", "person_id"], unique=False)
    op.create_table(
        "login_attempts",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", types.KeyText(), nullable=False),
        sa.Column("ip", sa.Text(), nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("success", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_login_attempts")),
    )
    op.create_index(
        "ix_login_attempts_address", "login_attempts", ["org_id", "address_key", "at"], unique=False
    )
    op.create_index("ix_login_attempts_at", "login_attempts", ["org_id", "at"], unique=False)
    op.create_index("ix_login_attempts_network", "login_attempts", ["network", "at"], unique=False)
    op.create_table(
        "oauth_clients",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("profile", types.KeyText(), nullable=False),
        sa.Column("scopes", types.Json(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_oauth_clients")),
    )
    op.create_index("ix_oauth_clients_source", "oauth_clients", ["org_id", "source_id"], unique=False)
    op.create_table(
        "oauth_secrets",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.Column("hash", types.Bytes(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_oauth_secrets")),
    )
    op.create_index("ix_oauth_secrets_client", "oauth_secrets", ["org_id", "client_id"], unique=False)
    op.create_index("uq_oauth_secrets_hash", "oauth_secrets", ["hash"], unique=True)
    op.create_table(
        "recovery_codes",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("sealed", types.Bytes(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_recovery_codes")),
    )
    op.create_index("ix_recovery_codes_person", "recovery_codes", ["org_id", "person_id"], unique=False)
    op.create_table(
        "rules",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", types.Json(), nullable=False),
        sa.Column("since_generation", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("until_generation", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_rules")),
    )
    op.create_index("ix_rules_source", "rules", ["org_id", "source_id", "until_generation"], unique=False)
    op.create_table(
        "run_changes",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("run_id", types.Id(), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("situation", types.KeyText(), nullable=False),
        sa.Column("action", types.KeyText(), nullable=False),
        sa.Column("removal", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("external_id", types.KeyText(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("target_id", types.Id(), nullable=True),
        sa.Column("old", types.Json(), nullable=True),
        sa.Column("new", types.Json(), nullable=True),
        sa.Column("payload", types.Json(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", types.KeyText(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("inverse", types.Json(), nullable=True),
        sa.Column("applied_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "run_id", "n", name=op.f("pk_run_changes")),
    )
    op.create_index("ix_run_changes_outcome", "run_changes", ["org_id", "run_id", "outcome"], unique=False)
    op.create_table(
        "runs",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("trigger", types.KeyText(), nullable=False),
        sa.Column("state", types.KeyText(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("planned_at", types.UtcDateTime(), nullable=True),
        sa.Column("finished_at", types.UtcDateTime(), nullable=True),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("full", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("complete", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("counts", types.Json(), nullable=False),
        sa.Column("trips", types.Json(), nullable=False),
        sa.Column("seats", types.Json(), nullable=False),
        sa.Column("fingerprint", types.KeyText(), nullable=True),
        sa.Column("config_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rules_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("place", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_kind", types.KeyText(), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_source", "runs", ["org_id", "source_id", "started_at"], unique=False)
    op.create_index("ix_runs_state", "runs", ["org_id", "state"], unique=False)
    op.create_table(
        "scim_requests",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("token_id", types.Id(), nullable=True),
        sa.Column("token_name", sa.Text(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=True),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("profile", types.KeyText(), nullable=False),
        sa.Column("scopes", types.Json(), nullable=False),
        sa.Column("correlation_id", types.KeyText(), nullable=False),
        sa.Column("method", types.KeyText(), nullable=False),
        sa.Column("pattern", types.KeyText(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("scim_type", types.KeyText(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("duration_us", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("headers", types.Json(), nullable=False),
        sa.Column("transforms", types.Json(), nullable=False),
        sa.Column("ignored", types.Json(), nullable=False),
        sa.Column("resource_kind", types.KeyText(), nullable=True),
        sa.Column("resource_id", types.Id(), nullable=True),
        sa.Column("request", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("omitted", types.Json(), nullable=False),
        sa.Column("bytes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("dropped", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_scim_requests")),
    )
    op.create_index(
        "ix_scim_requests_correlation", "scim_requests", ["org_id", "correlation_id"], unique=False
    )
    op.create_table(
        "second_factors",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", types.Bytes(), nullable=False),
        sa.Column("credential_id", types.Bytes(), nullable=True),
        sa.Column("counter", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'passkey') = (credential_id IS NOT NULL)", name=op.f("ck_second_factors_credential")
        ),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_second_factors")),
    )
    op.create_index("ix_second_factors_person", "second_factors", ["org_id", "person_id"], unique=False)
    op.create_index("uq_second_factors_credential", "second_factors", ["credential_id"], unique=True)
    op.create_index(
        "uq_second_factors_totp",
        "second_factors",
        ["org_id", "person_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'totp'"),
        postgresql_where=sa.text("kind = 'totp'"),
    )
    op.create_table(
        "sessions",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("hash", types.Bytes(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("ip", sa.Text(), nullable=False),
        sa.Column("how", types.KeyText(), server_default=sa.text("'password'"), nullable=False),
        sa.Column("strong", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("proved_at", types.UtcDateTime(), nullable=False),
        sa.Column("started_at", types.UtcDateTime(), nullable=False),
        sa.Column("last_active_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_person", "sessions", ["org_id", "person_id", "ended_at"], unique=False)
    op.create_index("uq_sessions_hash", "sessions", ["hash"], unique=True)
    op.create_table(
        "sources",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", types.KeyText(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("connector", types.KeyText(), nullable=True),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", types.KeyText(), nullable=False),
        sa.Column("invite", types.KeyText(), nullable=False),
        sa.Column("ceiling", types.KeyText(), nullable=False),
        sa.Column("declared_in", types.KeyText(), nullable=False),
        sa.Column("config", types.Json(), nullable=False),
        sa.Column("config_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("user_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("group_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("user_moves", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("group_moves", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unknown_named", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("leaving_since", types.UtcDateTime(), nullable=True),
        sa.Column("leaving_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("leaving_of", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_success_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_full_at", types.UtcDateTime(), nullable=True),
        sa.Column("next_run_at", types.UtcDateTime(), nullable=True),
        sa.Column("quarantined_since", types.UtcDateTime(), nullable=True),
        sa.Column("quarantine_cause", sa.Text(), nullable=True),
        sa.Column("paused_from", types.KeyText(), nullable=True),
        sa.Column("paused_by_quarantine", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("released_at", types.UtcDateTime(), nullable=True),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_sources")),
        sa.UniqueConstraint("org_id", "name", name=op.f("uq_sources_org_id_name")),
    )
    op.create_table(
        "spent_tickets",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("hash", types.Bytes(), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "hash", name=op.f("pk_spent_tickets")),
    )
    op.create_index("ix_spent_tickets_until", "spent_tickets", ["org_id", "until"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", types.Bytes(), nullable=False),
        sa.Column("profile", types.KeyText(), nullable=False),
        sa.Column("scopes", types.Json(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("given_until", types.UtcDateTime(), nullable=True),
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("trace_until", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_tokens")),
    )
    op.create_index("ix_tokens_source", "tokens", ["org_id", "source_id"], unique=False)
    op.create_index("uq_tokens_hash", "tokens", ["hash"], unique=True)
