"""What happened, what is owed, and whose turn it is."""

import sqlalchemy as sa
from alembic import op

from scimd.db import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
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
        sa.Column("unanswered", sa.Integer(), server_default=sa.text("0"), nullable=False),
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
        "leases",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("name", types.KeyText(), nullable=False),
        sa.Column("holder", types.KeyText(), nullable=False),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("until", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "name", name=op.f("pk_leases")),
    )
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
        "published",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event_id", types.Id(), nullable=False),
        sa.Column("chain", types.Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "seq", name=op.f("pk_published")),
    )
    op.create_index("uq_published_event", "published", ["org_id", "event_id"], unique=True)
    op.create_table(
        "signing_keys",
        sa.Column("since", types.UtcDateTime(), nullable=False),
        sa.Column("key_id", types.KeyText(), nullable=False),
        sa.PrimaryKeyConstraint("since", name=op.f("pk_signing_keys")),
    )
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
        "walks",
        sa.Column("org_id", types.Id(), nullable=False),
        sa.Column("name", types.KeyText(), nullable=False),
        sa.Column("last_org_id", types.Id(), nullable=False),
        sa.Column("last_id", types.Id(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "name", name=op.f("pk_walks")),
    )
