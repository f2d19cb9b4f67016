"""An index of the events that admins are told of by mail."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TOLD = (
    "kind IN ('config.held', 'run.held', 'seats.over_limit', 'source.alarm', "
    "'source.quarantined', 'source.quarantine_cause', 'source.recovered')"
)


def upgrade() -> None:
    op.create_index(
        "ix_events_told",
        "events",
        ["org_id", "id"],
        unique=False,
        sqlite_where=sa.text(_TOLD),
        postgresql_where=sa.text(_TOLD),
    )
