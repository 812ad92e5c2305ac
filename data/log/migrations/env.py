"""What Alembic runs: the steps that a database does not have yet, in the transaction that it was given."""

from alembic import context

from data.log.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
