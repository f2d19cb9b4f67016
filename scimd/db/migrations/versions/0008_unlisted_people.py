"""An index of the people who are in no list of people."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_UNLISTED = "(deleted_at IS NOT NULL OR lapsed)"


def upgrade() -> None:
    op.create_index(
        "ix_people_unlisted",
        "people",
        ["org_id", "id"],
        unique=False,
        sqlite_where=sa.text(_UNLISTED),
        postgresql_where=sa.text(_UNLISTED),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.get_bind().exec_driver_sql(
            """
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('people', 'ix_people_unlisted', '10000 1000 1')
"""
        )
        op.get_bind().exec_driver_sql("ANALYZE sqlite_master")
