"""Brings a database to the schema this code knows, by the migrations of Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from kronos.errors import StoreIncompatible
from kronos.store.database import Database
from kronos.store.schema import REVISION, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

__all__ = ["script_directory", "upgrade"]

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_LOCK = 0x6B726F6E6F73
"""Key of the advisory lock under which PostgreSQL is migrated by one process at a time."""


def upgrade(database: Database) -> None:
    """Makes the tables in an empty database, and changes those of an earlier version.

    Everything happens in one transaction: an interrupted upgrade leaves what was there.

    Raises:
        StoreIncompatible: The database was made by a newer version of this program.
        StoreUnavailable: The database cannot be used.
    """
    with database.reading() as connection:
        found = _revision(connection)
    if found != REVISION:
        database.write(_migrate)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    version = sa.table(VERSION_TABLE, sa.column("version_num", sa.Text))
    return connection.execute(sa.select(version.c.version_num)).scalar()


def script_directory() -> ScriptDirectory:
    """The migrations, as Alembic has them."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    # The options are read like an ini file, in which % begins a reference.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _migrate(connection: sa.Connection) -> None:
    from alembic import command

    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    config = _config()
    config.attributes["connection"] = connection
    found = _revision(connection)
    known = {script.revision for script in script_directory().walk_revisions()}
    if found is not None and found not in known:
        raise StoreIncompatible(
            f"The store of forecasts was made by a newer version of this program (its schema is "
            f"{found}, this one knows {REVISION}). Update the program, or name another store."
        )
    command.upgrade(config, "head")
