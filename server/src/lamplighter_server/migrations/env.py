"""Run by Alembic: migrates over the connection that `upgrade` hands over."""

from alembic import context

from lamplighter_server.migrations.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    user_module_prefix="",
)
with context.begin_transaction():
    context.run_migrations()
