"""People, what sources say of them, groups and invitations."""

import sqlalchemy as sa
from alembic import op

from scimd.db import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
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
        sa.Column("person_rest", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("in_groups", sa.Text(), nullable=True),
        sa.Column("folded", types.Json(), nullable=False),
        sa.Column("display_name_key", types.KeyText(), nullable=True),
        sa.Column("family_name_key", types.KeyText(), nullable=True),
        sa.Column("given_name_key", types.KeyText(), nullable=True),
        sa.Column("email_key", types.KeyText(), nullable=True),
        sa.Column("other_email_key", types.KeyText(), nullable=True),
        sa.Column("sign_in_key", types.KeyText(), nullable=True),
        sa.Column("employee_number_key", types.KeyText(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
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
        sa.Column("rules_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
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
        sa.Column("kept", sa.Boolean(), nullable=True),
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
        "ix_group_members_kept",
        "group_members",
        ["org_id", "group_id", "member_key"],
        unique=False,
        sqlite_where=sa.text("kept IS NOT NULL"),
        postgresql_where=sa.text("kept IS NOT NULL"),
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
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
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
        sa.Column("void", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("invited_by_id", sa.Text(), nullable=True),
        sa.Column("source_id", types.Id(), nullable=True),
        sa.Column("valid_s", sa.Integer(), nullable=True),
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
        "people",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("local_user_name", types.KeyText(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("display_name_key", types.KeyText(), nullable=False),
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
        sa.Column("rules_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("extension", types.Bytes(), nullable=True),
        sa.Column("rest", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
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
        "status_spans",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("person_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("status", types.KeyText(), nullable=False),
        sa.Column("causes", types.Json(), nullable=False),
        sa.Column("rules_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("org_id", "person_id", "id", name=op.f("pk_status_spans")),
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
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(
            """
ALTER TABLE assertions SET (fillfactor = 80)
"""
        )
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(
            """
ALTER TABLE groups SET (fillfactor = 80)
"""
        )
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(
            """
ALTER TABLE people SET (fillfactor = 80)
"""
        )
