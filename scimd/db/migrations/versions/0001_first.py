"""The first schema."""

import sqlalchemy as sa
from alembic import op

from scimd.db import types

revision = "0001"
down_revision = None
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
        "assertions",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("external_id", types.KeyText(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("user_name_key", types.KeyText(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("state", types.KeyText(), nullable=False),
        sa.Column(
            "is_live",
            sa.SmallInteger(),
            sa.Computed("CASE WHEN state = 'live' THEN 1 END", persisted=True),
            nullable=True,
        ),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("document", types.Bytes(), nullable=False),
        sa.Column("meta", types.Bytes(), nullable=False),
        sa.Column("person_rest", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("in_groups", sa.Text(), nullable=True),
        sa.Column("folded", types.Json(), nullable=False),
        sa.Column("display_name_key", types.KeyText(), nullable=True),
        sa.Column("family_name_key", types.KeyText(), nullable=True),
        sa.Column("given_name_key", types.KeyText(), nullable=True),
        sa.Column("email_key", types.KeyText(), nullable=True),
        sa.Column("other_email_key", types.KeyText(), nullable=True),
        sa.Column("sign_in_key", types.KeyText(), nullable=True),
        sa.Column("employee_number_key", types.KeyText(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("digest", types.Bytes(), nullable=True),
        sa.Column("entry_name", sa.Text(), nullable=True),
        sa.Column("seen_run_id", types.Id(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("changed_at", types.UtcDateTime(), nullable=False),
        sa.Column("gone_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "source_id", "person_id", name=op.f("pk_assertions")),
    )
    op.create_index(
        "ix_assertions_display_name", "assertions", ["org_id", "source_id", "display_name_key"], unique=False
    )
    op.create_index("ix_assertions_email", "assertions", ["org_id", "source_id", "email_key"], unique=False)
    op.create_index(
        "ix_assertions_employee_number", "assertions", ["org_id", "employee_number_key"], unique=False
    )
    op.create_index(
        "ix_assertions_other_email",
        "assertions",
        ["org_id", "source_id", "other_email_key"],
        unique=False,
        sqlite_where=sa.text("other_email_key IS NOT NULL"),
        postgresql_where=sa.text("other_email_key IS NOT NULL"),
    )
    op.create_index(
        "ix_assertions_page",
        "assertions",
        ["org_id", "source_id", "created_at", "person_id", "state"],
        unique=False,
    )
    op.create_index(
        "ix_assertions_person",
        "assertions",
        ["org_id", "person_id", "source_id", "state", "user_name"],
        unique=False,
    )
    op.create_index("ix_assertions_sign_in", "assertions", ["org_id", "sign_in_key"], unique=False)
    op.create_index(
        "uq_assertions_external_id",
        "assertions",
        ["org_id", "source_id", "external_id", "is_live"],
        unique=True,
    )
    op.create_index(
        "uq_assertions_user_name_key",
        "assertions",
        ["org_id", "source_id", "user_name_key", "is_live"],
        unique=True,
    )
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
        "decisions",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("subject", types.KeyText(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("options", types.Json(), nullable=False),
        sa.Column("facts", types.Json(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=True),
        sa.Column("state", types.KeyText(), nullable=False),
        sa.Column("answer", types.KeyText(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("opened_at", types.UtcDateTime(), nullable=False),
        sa.Column("answered_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_decisions")),
    )
    op.create_index("ix_decisions_state", "decisions", ["org_id", "state", "opened_at"], unique=False)
    op.create_index(
        "uq_decisions_open",
        "decisions",
        ["org_id", "kind", "subject"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "deliveries",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("template", types.KeyText(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=True),
        sa.Column("invitation_id", types.Id(), nullable=True),
        sa.Column("link_id", types.Id(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("params", types.Json(), nullable=False),
        sa.Column("state", types.KeyText(), nullable=False),
        sa.Column("first_change_at", types.UtcDateTime(), nullable=False),
        sa.Column("due_at", types.UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("sent_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["state", "due_at"], unique=False)
    op.create_index(
        "ix_deliveries_person", "deliveries", ["org_id", "person_id", "invitation_id"], unique=False
    )
    op.create_table(
        "domains",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("domain_key", types.KeyText(), nullable=False),
        sa.Column("verified_by", types.KeyText(), nullable=False),
        sa.Column("verified_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "domain_key", name=op.f("pk_domains")),
    )
    op.create_index(
        "uq_domains_domain_key",
        "domains",
        ["domain_key"],
        unique=True,
        sqlite_where=sa.text("verified_at IS NOT NULL"),
        postgresql_where=sa.text("verified_at IS NOT NULL"),
    )
    op.create_table(
        "events",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("actor_kind", types.KeyText(), nullable=False),
        sa.Column("actor_id", types.KeyText(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("door", types.KeyText(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("target_kind", types.KeyText(), nullable=False),
        sa.Column("target_id", types.KeyText(), nullable=False),
        sa.Column("correlation_id", types.KeyText(), nullable=False),
        sa.Column("audience", types.KeyText(), nullable=False),
        sa.Column("digest", types.Bytes(), nullable=False),
        sa.Column("salt", types.Bytes(), nullable=True),
        sa.Column("body", types.Json(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_correlation", "events", ["org_id", "correlation_id", "id"], unique=False)
    op.create_index("ix_events_target", "events", ["org_id", "target_id", "id"], unique=False)
    op.create_table(
        "gates",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("source_id", types.Id(), server_default=sa.text("('')"), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "person_id", "kind", "source_id", name=op.f("pk_gates")),
    )
    op.create_table(
        "grants",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("target", types.KeyText(), nullable=False),
        sa.Column("project_role", types.KeyText(), nullable=True),
        sa.Column("origin", types.KeyText(), nullable=False),
        sa.Column("origin_by", sa.Text(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=True),
        sa.Column("group_id", types.Id(), nullable=True),
        sa.Column("rule", sa.Integer(), nullable=True),
        sa.Column("dormant", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("rules_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_person", "grants", ["org_id", "person_id", "until"], unique=False)
    op.create_index("ix_grants_target", "grants", ["org_id", "kind", "target", "until"], unique=False)
    op.create_table(
        "group_effects",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("group_id", types.Id(), nullable=False),
        sa.Column("rule", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("target", types.KeyText(), nullable=False),
        sa.Column("project_role", types.KeyText(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "group_id", "rule", "kind", name=op.f("pk_group_effects")),
    )
    op.create_index("ix_group_effects_target", "group_effects", ["org_id", "kind", "target"], unique=False)
    op.create_table(
        "group_members",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("group_id", types.Id(), nullable=False),
        sa.Column("member_key", types.KeyText(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=True),
        sa.Column("child_id", types.Id(), nullable=True),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "group_id", "member_key", name=op.f("pk_group_members")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_group_members_child",
        "group_members",
        ["org_id", "child_id", "group_id"],
        unique=False,
        sqlite_where=sa.text("child_id IS NOT NULL"),
        postgresql_where=sa.text("child_id IS NOT NULL"),
    )
    op.create_index(
        "ix_group_members_nested",
        "group_members",
        ["org_id", "group_id", "child_id"],
        unique=False,
        sqlite_where=sa.text("child_id IS NOT NULL"),
        postgresql_where=sa.text("child_id IS NOT NULL"),
    )
    op.create_index(
        "ix_group_members_person", "group_members", ["org_id", "person_id", "group_id"], unique=False
    )
    op.create_index(
        "ix_group_members_unknown",
        "group_members",
        ["org_id", "source_id", "member_key"],
        unique=False,
        sqlite_where=sa.text("person_id IS NULL AND child_id IS NULL"),
        postgresql_where=sa.text("person_id IS NULL AND child_id IS NULL"),
    )
    op.create_table(
        "groups",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("external_id", types.KeyText(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("display_name_key", types.KeyText(), nullable=False),
        sa.Column("unique_name_key", types.KeyText(), nullable=True),
        sa.Column("document", types.Bytes(), nullable=False),
        sa.Column("folded", types.Json(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("state", types.KeyText(), nullable=False),
        sa.Column("digest", types.Bytes(), nullable=True),
        sa.Column("entry_name", sa.Text(), nullable=True),
        sa.Column("seen_run_id", types.Id(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("changed_at", types.UtcDateTime(), nullable=False),
        sa.Column("gone_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_groups")),
    )
    op.create_index(
        "ix_groups_display_name", "groups", ["org_id", "source_id", "display_name_key"], unique=False
    )
    op.create_index("ix_groups_page", "groups", ["org_id", "source_id", "created_at", "id"], unique=False)
    op.create_index("ix_groups_source", "groups", ["org_id", "source_id", "id"], unique=False)
    op.create_index(
        "uq_groups_external_id",
        "groups",
        ["org_id", "source_id", "external_id"],
        unique=True,
        sqlite_where=sa.text("state = 'live' AND external_id IS NOT NULL"),
        postgresql_where=sa.text("state = 'live' AND external_id IS NOT NULL"),
    )
    op.create_index(
        "uq_groups_unique_name_key",
        "groups",
        ["org_id", "source_id", "unique_name_key"],
        unique=True,
        sqlite_where=sa.text("state = 'live' AND unique_name_key IS NOT NULL"),
        postgresql_where=sa.text("state = 'live' AND unique_name_key IS NOT NULL"),
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
        "invitations",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("status", types.KeyText(), nullable=False),
        sa.Column(
            "is_pending",
            sa.SmallInteger(),
            sa.Computed("CASE WHEN status = 'pending' THEN 1 END", persisted=True),
            nullable=True,
        ),
        sa.Column("staged", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("reactivates", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("sent_at", types.UtcDateTime(), nullable=True),
        sa.Column("hidden_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_invitations")),
    )
    op.create_index(
        "ix_invitations_by_hand",
        "invitations",
        ["org_id", "created_at"],
        unique=False,
        sqlite_where=sa.text("source_id IS NULL"),
        postgresql_where=sa.text("source_id IS NULL"),
    )
    op.create_index("ix_invitations_status", "invitations", ["org_id", "status", "expires_at"], unique=False)
    op.create_index(
        "uq_invitations_pending", "invitations", ["org_id", "person_id", "is_pending"], unique=True
    )
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
        "leases",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("name", types.KeyText(), nullable=False),
        sa.Column("holder", types.KeyText(), nullable=False),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "name", name=op.f("pk_leases")),
    )
    op.create_table(
        "licences",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", types.KeyText(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_licences")),
        sa.UniqueConstraint("org_id", "name_key", name=op.f("uq_licences_org_id_name_key")),
    )
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
    op.create_index("ix_login_attempts_ip", "login_attempts", ["ip", "at"], unique=False)
    op.create_table(
        "merged_people",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.Column("moved", types.Json(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_merged_people")),
    )
    op.create_index("ix_merged_people_person", "merged_people", ["org_id", "person_id"], unique=False)
    op.create_table(
        "notifications",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("key", types.KeyText(), nullable=False),
        sa.Column("what", types.KeyText(), nullable=False),
        sa.Column("subject", types.KeyText(), nullable=False),
        sa.Column("holds", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("noted_at", types.UtcDateTime(), nullable=False),
        sa.Column("told_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "key", name=op.f("pk_notifications")),
    )
    op.create_index(
        "ix_notifications_subject", "notifications", ["org_id", "subject", "told_at"], unique=False
    )
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
        "organizations",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("slug", types.KeyText(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("default_project_id", types.Id(), nullable=True),
        sa.Column("seats_on_scim", types.KeyText(), nullable=False),
        sa.Column("get_more_seats_url", sa.Text(), nullable=True),
        sa.Column("approval_required", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("settings", types.Json(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
        sa.UniqueConstraint("slug", name=op.f("uq_organizations_slug")),
    )
    op.create_table(
        "partner_queues",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("customer_id", types.Id(), nullable=False),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "customer_id", name=op.f("pk_partner_queues")),
    )
    op.create_index("ix_partner_queues_customer", "partner_queues", ["customer_id"], unique=False)
    op.create_table(
        "people",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("local_user_name", types.KeyText(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("sign_in_address", sa.Text(), nullable=True),
        sa.Column("sign_in_key", types.KeyText(), nullable=True),
        sa.Column("address_verified_at", types.UtcDateTime(), nullable=True),
        sa.Column("approved", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("accepted", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("welcome", types.KeyText(), server_default=sa.text("'invitation'"), nullable=False),
        sa.Column("profile", types.Json(), nullable=False),
        sa.Column("status", types.KeyText(), nullable=False),
        sa.Column("causes", types.Json(), nullable=False),
        sa.Column("owner_source_id", types.Id(), nullable=True),
        sa.Column("primary_role", types.KeyText(), nullable=False),
        sa.Column("roles", types.Json(), nullable=False),
        sa.Column("team_id", types.Id(), nullable=True),
        sa.Column("wants_seat", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("has_seat", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("lapsed", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("rules_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("extension", types.Bytes(), nullable=True),
        sa.Column("rest", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("changed_at", types.UtcDateTime(), nullable=False),
        sa.Column("expires_at", types.UtcDateTime(), nullable=True),
        sa.Column("deleted_at", types.UtcDateTime(), nullable=True),
        sa.CheckConstraint("NOT has_seat OR status <> 'inactive'", name=op.f("ck_people_seat")),
        sa.CheckConstraint("status IN ('active','pending','inactive')", name=op.f("ck_people_status")),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_people")),
    )
    op.create_index(
        "ix_people_deleted",
        "people",
        ["deleted_at"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_people_local",
        "people",
        ["org_id", "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("owner_source_id IS NULL AND sign_in_key IS NOT NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text(
            "owner_source_id IS NULL AND sign_in_key IS NOT NULL AND deleted_at IS NULL"
        ),
    )
    op.create_index(
        "ix_people_not_in_yet",
        "people",
        ["org_id", "id"],
        unique=False,
        sqlite_where=sa.text("welcome = 'set_password' AND NOT accepted"),
        postgresql_where=sa.text("welcome = 'set_password' AND NOT accepted"),
    )
    op.create_index("ix_people_status", "people", ["org_id", "status"], unique=False)
    op.create_index(
        "uq_people_local_user_name",
        "people",
        ["org_id", "local_user_name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "uq_people_sign_in_key",
        "people",
        ["org_id", "sign_in_key"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL AND sign_in_key IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NULL AND sign_in_key IS NOT NULL"),
    )
    op.create_table(
        "pictures",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("image", types.Bytes(), nullable=False),
        sa.Column("changed_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "person_id", name=op.f("pk_pictures")),
    )
    op.create_table(
        "pools",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("target", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("pool_limit", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_pools_used")),
        sa.PrimaryKeyConstraint("org_id", "target", "kind", name=op.f("pk_pools")),
    )
    op.create_table(
        "projects",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", types.KeyText(), nullable=False),
        sa.Column("made_by_group_id", types.Id(), nullable=True),
        sa.Column("orphaned", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("archived_at", types.UtcDateTime(), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_projects")),
    )
    op.create_index(
        "uq_projects_name_key",
        "projects",
        ["org_id", "name_key"],
        unique=True,
        sqlite_where=sa.text("archived_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL"),
    )
    op.create_table(
        "published",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_id", types.Id(), nullable=False),
        sa.Column("chain", types.Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "seq", name=op.f("pk_published")),
    )
    op.create_index("uq_published_event", "published", ["org_id", "event_id"], unique=True)
    op.create_table(
        "recovery_codes",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("hash", types.Bytes(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.Column("used_at", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_recovery_codes")),
    )
    op.create_index("uq_recovery_codes_hash", "recovery_codes", ["org_id", "person_id", "hash"], unique=True)
    op.create_table(
        "roles",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("name", types.KeyText(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("permissions", types.Json(), nullable=False),
        sa.Column("may_hold_projects", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("built_in", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "name", name=op.f("pk_roles")),
    )
    op.create_table(
        "rules",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", types.Json(), nullable=False),
        sa.Column("since_generation", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("until_generation", sa.Integer(), nullable=True),
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
        sa.Column("rules_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
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
        "seat_days",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("day", types.KeyText(), nullable=False),
        sa.Column("used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("seat_limit", sa.Integer(), nullable=True),
        sa.Column("waited_for", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "day", name=op.f("pk_seat_days")),
    )
    op.create_table(
        "seat_pools",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("seat_limit", sa.Integer(), nullable=True),
        sa.Column("used", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("allow_overage", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_seat_pools_used")),
        sa.PrimaryKeyConstraint("org_id", name=op.f("pk_seat_pools")),
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
        "slots",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("target", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("held", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.Column("place", types.KeyText(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "kind", "target", "person_id", name=op.f("pk_slots")),
    )
    op.create_index(
        "ix_slots_order",
        "slots",
        ["org_id", "kind", "target", "held", "since", "place", "person_id"],
        unique=False,
    )
    op.create_index(
        "ix_slots_person", "slots", ["org_id", "person_id", "kind", "target", "held"], unique=False
    )
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
        "status_spans",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("status", types.KeyText(), nullable=False),
        sa.Column("causes", types.Json(), nullable=False),
        sa.Column("rules_version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "person_id", "id", name=op.f("pk_status_spans")),
    )
    op.create_table(
        "teams",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", types.KeyText(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_teams")),
        sa.UniqueConstraint("org_id", "name_key", name=op.f("uq_teams_org_id_name_key")),
    )
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
        sa.Column("revoked_at", types.UtcDateTime(), nullable=True),
        sa.Column("last_used_at", types.UtcDateTime(), nullable=True),
        sa.Column("trace_until", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "id", name=op.f("pk_tokens")),
    )
    op.create_index("ix_tokens_source", "tokens", ["org_id", "source_id"], unique=False)
    op.create_index("uq_tokens_hash", "tokens", ["hash"], unique=True)
    op.create_table(
        "unsettled",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("turn", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("marked_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "person_id", name=op.f("pk_unsettled")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_unsettled_turn", "unsettled", ["org_id", "turn", "marked_at", "person_id"], unique=False
    )
    op.create_table(
        "value_effects",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("source_id", types.Id(), nullable=False),
        sa.Column("rule", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("target", types.KeyText(), nullable=False),
        sa.Column("project_role", types.KeyText(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "source_id", "rule", "kind", name=op.f("pk_value_effects")),
    )
    op.create_table(
        "waiting",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.Column("place", types.KeyText(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "person_id", name=op.f("pk_waiting")),
    )
    op.create_index("ix_waiting_order", "waiting", ["org_id", "since", "place", "person_id"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        op.get_bind().exec_driver_sql(
            """
CREATE TRIGGER pools_never_overbooked BEFORE UPDATE OF used ON pools
        WHEN NEW.used > OLD.used AND NEW.used > NEW.pool_limit
        BEGIN SELECT RAISE(ABORT, 'pools_never_overbooked'); END
"""
        )
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(
            """
CREATE FUNCTION pools_never_overbooked() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.used > OLD.used AND NEW.used > NEW.pool_limit THEN
            RAISE EXCEPTION 'pools_never_overbooked'
              USING ERRCODE = '23514', CONSTRAINT = 'pools_never_overbooked';
          END IF;
          RETURN NEW;
        END $$
"""
        )
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(
            """
CREATE TRIGGER pools_never_overbooked BEFORE UPDATE OF used ON pools FOR EACH ROW EXECUTE
FUNCTION pools_never_overbooked()
"""
        )
    if op.get_bind().dialect.name == "sqlite":
        op.get_bind().exec_driver_sql(
            """
CREATE TRIGGER seats_never_overbooked BEFORE UPDATE OF used ON seat_pools
        WHEN NEW.used > OLD.used AND NEW.seat_limit IS NOT NULL AND NEW.used > NEW.seat_limit
         AND NOT NEW.allow_overage
        BEGIN SELECT RAISE(ABORT, 'seats_never_overbooked'); END
"""
        )
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(
            """
CREATE FUNCTION seats_never_overbooked() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.used > OLD.used AND NEW.seat_limit IS NOT NULL AND NEW.used > NEW.seat_limit
             AND NOT NEW.allow_overage THEN
            RAISE EXCEPTION 'seats_never_overbooked'
              USING ERRCODE = '23514', CONSTRAINT = 'seats_never_overbooked';
          END IF;
          RETURN NEW;
        END $$
"""
        )
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(
            """
CREATE TRIGGER seats_never_overbooked BEFORE UPDATE OF used ON seat_pools FOR EACH ROW EXECUTE
FUNCTION seats_never_overbooked()
"""
        )
