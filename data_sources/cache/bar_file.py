"""The SQLite file that bars are kept in: opening it, writing to it, putting a damaged one aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

__all__ = ["is_damage", "opened", "set_aside", "transaction"]

_FORMAT = 1
_WAIT_SECONDS = 10.0
_TABLES = """
CREATE TABLE stretches (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL, symbol TEXT NOT NULL, interval TEXT NOT NULL, adjusted INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL,
    used_at INTEGER NOT NULL, n_bars INTEGER NOT NULL, facts TEXT NOT NULL
);
CREATE INDEX series ON stretches (source, symbol, interval, adjusted);
CREATE TABLE bars (
    stretch INTEGER NOT NULL REFERENCES stretches ON DELETE CASCADE, opened INTEGER NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    volume REAL NOT NULL, amount REAL NOT NULL,
    PRIMARY KEY (stretch, opened)
) WITHOUT ROWID;
"""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of one's own, to a file that is made if there is none.

    Raises:
        sqlite3.Error: The file cannot be used, or is no file of this kind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    with closing(connection) as database:
        database.execute("PRAGMA foreign_keys = ON")
        if database.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
            _make_tables(database)
        yield database


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All writes within, or none of them."""
    # A lock that is taken only with the first write would fail where others write, too.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def is_damage(error: Exception) -> bool:
    """Whether an error means that the file is no good, rather than out of reach for now."""
    if isinstance(error, sqlite3.OperationalError):
        return "no such" in str(error) or "already exists" in str(error)
    return not isinstance(error, OSError)


def set_aside(path: Path) -> Path:
    """Puts a damaged file out of the way, in the place of an earlier one.

    Raises:
        OSError: That is not possible.
    """
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    return path.replace(path.with_name(f"{path.name}.damaged"))


def _make_tables(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    with transaction(database):
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == _FORMAT:  # Another process was faster.
            return
        if version:
            raise sqlite3.DatabaseError(f"the bars are kept in the format {version}")
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {_FORMAT}")
