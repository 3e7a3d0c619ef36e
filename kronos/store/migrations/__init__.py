"""Alembic's migrations of the store; `kronos.store.upgrade` runs them."""
