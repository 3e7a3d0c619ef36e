"""What Alembic runs: the migrations, in the transaction that `kronos.store.schema` began."""

from alembic import context

from kronos.store.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
