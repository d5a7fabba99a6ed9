"""What Alembic runs: the steps, on the connection that `ivr.migrations.upgrade` hands over."""

from alembic import context

from ivr.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # the transaction is the caller's, on SQLite too, which can undo DDL as well
    transactional_ddl=False,
)
context.run_migrations()
