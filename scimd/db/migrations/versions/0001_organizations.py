"""Organizations, what they give, and how much of it."""

import sqlalchemy as sa
from alembic import op

from scimd.db import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
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
        "organizations",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("slug", types.KeyText(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", types.KeyText(), nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
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
