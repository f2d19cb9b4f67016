"""What SQLite is told of the sizes of tables, and two indexes that large organizations need."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_people_status", table_name="people")
    op.create_index("ix_people_status", "people", ["org_id", "status", "has_seat"], unique=False)
    op.create_index(
        "ix_people_expires",
        "people",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.get_bind().exec_driver_sql("ANALYZE sqlite_master")
        op.get_bind().exec_driver_sql("DELETE FROM sqlite_stat1")
        op.get_bind().exec_driver_sql(
            """
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('assertions', 'ix_assertions_display_name', '100000000 1000000 500000 10'),
    ('assertions', 'ix_assertions_email', '100000000 1000000 500000 2'),
    ('assertions', 'ix_assertions_employee_number', '100000000 1000000 2'),
    ('assertions', 'ix_assertions_other_email', '1000000 10000 10000 2'),
    ('assertions', 'ix_assertions_page', '100000000 1000000 500000 10 1 1'),
    ('assertions', 'ix_assertions_person', '100000000 1000000 2 1 1 1'),
    ('assertions', 'ix_assertions_sign_in', '100000000 1000000 2'),
    ('assertions', 'sqlite_autoindex_assertions_1', '100000000 1000000 500000 1'),
    ('assertions', 'uq_assertions_external_id', '100000000 1000000 500000 2 1'),
    ('assertions', 'uq_assertions_user_name_key', '100000000 1000000 500000 2 1'),
    ('grants', 'ix_grants_person', '100000000 1000000 10 10'),
    ('grants', 'ix_grants_target', '100000000 1000000 1000000 1000 1000'),
    ('grants', 'sqlite_autoindex_grants_1', '100000000 1000000 1'),
    ('group_members', 'group_members', '100000000 1000000 100 1'),
    ('group_members', 'ix_group_members_child', '1000 1000 10 1'),
    ('group_members', 'ix_group_members_kept', '1000 1000 10 1'),
    ('group_members', 'ix_group_members_nested', '1000 1000 10 1'),
    ('group_members', 'ix_group_members_person', '100000000 1000000 10 1'),
    ('group_members', 'ix_group_members_unknown', '1000 1000 1000 10'),
    ('groups', 'ix_groups_display_name', '1000000 10000 10000 2'),
    ('groups', 'ix_groups_page', '1000000 10000 10000 10 1'),
    ('groups', 'ix_groups_source', '1000000 10000 10000 1'),
    ('groups', 'sqlite_autoindex_groups_1', '1000000 10000 1'),
    ('groups', 'uq_groups_external_id', '1000000 10000 10000 1'),
    ('groups', 'uq_groups_unique_name_key', '1000000 10000 10000 1'),
    ('invitations', 'ix_invitations_by_hand', '1000000 10000 10'),
    ('invitations', 'ix_invitations_status', '100000000 1000000 100000 10'),
    ('invitations', 'sqlite_autoindex_invitations_1', '100000000 1000000 1'),
    ('invitations', 'uq_invitations_pending', '100000000 1000000 2 1'),
    ('people', 'ix_people_deleted', '10000 10'),
    ('people', 'ix_people_expires', '10000 10'),
    ('people', 'ix_people_local', '1000000 10000 10 1'),
    ('people', 'ix_people_not_in_yet', '10000 1000 1'),
    ('people', 'ix_people_status', '100000000 1000000 500000 250000'),
    ('people', 'sqlite_autoindex_people_1', '100000000 1000000 1'),
    ('people', 'uq_people_local_user_name', '100000000 1000000 1'),
    ('people', 'uq_people_sign_in_key', '100000000 1000000 1')
"""
        )
        op.get_bind().exec_driver_sql("ANALYZE sqlite_master")
