"""Alembic's migrations of the store; `kronos.store.schema` runs them."""
