"""Copies of a store: a backup is an SQLite file with every row, whatever it was made from."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from kronos.errors import InvalidRequest, StoreDamaged
from kronos.store.schema import TABLES
from kronos.store.store import Store, add_rows

__all__ = ["back_up", "restore"]

_CHUNK = 500
"""Rows per transaction."""


def back_up(store: Store, path: str | Path) -> dict[str, int]:
    """Writes every row as it is at one moment; others may go on writing meanwhile.

    The file is a store itself. It is there when it is complete, or not at all.

    Returns:
        Rows of every table.

    Raises:
        InvalidRequest: The file exists already, or cannot be written.
        StoreError: The store cannot be used.
    """
    path = Path(path).expanduser().absolute()
    if path.exists():
        raise InvalidRequest(f"{path} exists already. Name a file that does not.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".backup-") as folder:
            partial = Path(folder) / "backup.sqlite3"
            with Store(str(partial)) as copy:
                _copy(store, copy)
                counts = copy.counts()
            _seal(partial)
            # Unlike a rename, this fails if somebody has made the file in the meantime.
            os.link(partial, path)
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be written: {error.strerror}. Choose another file."
        ) from error
    return counts


def restore(store: Store, path: str | Path) -> dict[str, int]:
    """Adds the rows of a backup that the store does not have; what it has stays as it is.

    The backup is only read, and may have been made by an earlier version.

    Returns:
        Rows added to every table.

    Raises:
        InvalidRequest: The file cannot be read.
        StoreDamaged: The file is no store, or is damaged.
        StoreError: The store cannot be used.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise InvalidRequest(f"{path} cannot be read: there is no such file.")
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "backup.sqlite3"
        try:
            with (
                closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as original,
                closing(sqlite3.connect(copied)) as target,
            ):
                original.backup(target)
                sound = target.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
                names = {row[0] for row in target.execute("SELECT name FROM sqlite_master")}
        except sqlite3.Error as error:
            raise StoreDamaged(f"{path} is no backup that can be read: {error}.") from error
        if not sound or TABLES[0].name not in names:
            raise StoreDamaged(f"{path} is damaged, or no backup of a store of forecasts.")
        with Store(str(copied)) as backup:
            return _copy(backup, store)


def _copy(source: Store, target: Store) -> dict[str, int]:
    """Adds the rows of one store to another, and counts those that were not there."""
    added = dict.fromkeys((table.name for table in TABLES), 0)
    with source.database.reading() as connection:
        for table in TABLES:
            query = sa.select(table).order_by(*table.primary_key.columns)
            rows = connection.execute(query.execution_options(yield_per=_CHUNK)).mappings()
            for some in rows.partitions():
                fresh = [dict(row) for row in some]

                def work(
                    writing: sa.Connection,
                    table: sa.Table = table,
                    fresh: list[dict[str, object]] = fresh,
                ) -> int:
                    return len(add_rows(writing, table, fresh))

                added[table.name] += target.database.write(work)
    return added


def _seal(path: Path) -> None:
    """Makes a closed store one file, all of it on the disk."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with path.open("rb+") as opened:
        os.fsync(opened.fileno())
