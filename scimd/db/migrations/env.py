"""Alembic's way in. ``scimd.db.migrate`` gives the connection, inside a transaction that it ends."""

from alembic import context

from scimd.db.migrate import compares, rendered
from scimd.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=compares,
    render_item=rendered,
)
with context.begin_transaction():
    context.run_migrations()
