"""What an end of a source that goes on needs to be remembered."""

import sqlalchemy as sa
from alembic import op

from scimd.db import types

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sources", sa.Column("ending", types.Json(), nullable=True))
