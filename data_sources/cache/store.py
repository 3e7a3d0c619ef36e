"""The SQLite file of the bar cache: ranges of bars without holes, by series.

Threads and processes may share the file: each operation opens its own connection, and a writer
holds the write lock from its first statement. The tables call a
range a stretch, its name in earlier revisions.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from data_sources.source import Instrument
from kronos.candles import COLUMNS

__all__ = ["MAX_BARS", "BarStore", "CachedRange", "SeriesKey", "Superseded"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAX_BARS = 2_000_000
"""Most bars in the file, about 150 MB; the least recently used ranges are evicted first."""
_FORMAT = 1
_LOCK_SECONDS = 10.0
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
_OF_SERIES = "source = ? AND symbol = ? AND interval = ? AND adjusted = ?"


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What a series is stored under."""

    source: str
    symbol: str
    interval: str
    adjusted: bool

    @property
    def columns(self) -> tuple[str, str, str, int]:
        return self.source, self.symbol, self.interval, int(self.adjusted)


@dataclass(frozen=True, slots=True)
class CachedRange:
    """A range of time of one series for which the file holds every bar that the source has.

    Attributes:
        first: Earliest open time.
        last: Latest open time.
        is_default: Whether it holds what the source gives for a request without a start.
        fetched_at: When its newest bars were fetched, by the source's clock.
        fresh_until: When the source can have newer bars, by this machine's clock; None for a
            range that ends in the past.
        zone: Clock of the exchange.
        calendar: Its calendar.
        symbol: Name to show.
        credit: Origin of the bars.
        instrument: Their instrument.
        notes: The source's notes on them.
        id: Row in the file; 0 for a range that is not in it yet.
    """

    first: pd.Timestamp
    last: pd.Timestamp
    is_default: bool
    fetched_at: pd.Timestamp
    fresh_until: pd.Timestamp | None
    zone: str
    calendar: str
    symbol: str
    credit: str
    instrument: Instrument
    notes: tuple[str, ...]
    id: int = 0

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> CachedRange:
        """The range of a row: id, first and last time, facts."""
        facts = json.loads(row[3])
        for name in ("fetched_at", "fresh_until"):
            facts[name] = None if facts[name] is None else _timestamp(facts[name])
        facts["instrument"] = Instrument(**facts["instrument"])
        facts["notes"] = tuple(facts["notes"])
        return cls(id=row[0], first=_timestamp(row[1]), last=_timestamp(row[2]), **facts)

    @property
    def span(self) -> tuple[int, int]:
        """First and last time in nanoseconds."""
        return self.first.value, self.last.value

    def facts(self) -> str:
        """All fields that have no column of their own, as JSON."""
        facts = asdict(self)
        for name in ("id", "first", "last"):
            del facts[name]
        for name in ("fetched_at", "fresh_until"):
            facts[name] = None if facts[name] is None else facts[name].value
        return json.dumps(facts)


class Superseded(sqlite3.OperationalError):
    """Another thread or process has deleted the range that was to be changed."""


class BarStore:
    """The file.

    Every method but `attempt` may raise `sqlite3.Error`.

    Args:
        path: Its place; it is created on first use.
        max_bars: Most bars in it.
    """

    def __init__(self, path: Path, *, max_bars: int = MAX_BARS) -> None:
        self.path = path
        self._max_bars = max_bars

    def attempt(self, use: Callable[[BarStore], T]) -> T | None:
        """The result of `use`; None if the file cannot be used, for bars can be fetched again.

        A damaged file is set aside on the way.
        """
        try:
            return use(self)
        except (sqlite3.Error, OSError, ValueError, LookupError, TypeError) as error:
            if not _is_damage(error):
                logger.warning("The bars in %s cannot be used now: %s", self.path, error)
                return None
            try:
                aside = _set_aside(self.path)
                logger.warning("The cached bars were damaged (%s) and now lie in %s", error, aside)
            except OSError as problem:
                logger.warning(
                    "The cached bars are damaged (%s) and in the way: %s", error, problem
                )
        return None

    def find(self, key: SeriesKey) -> list[CachedRange]:
        """The ranges of a series, the latest first."""
        query = (
            f"SELECT id, first, last, facts FROM stretches WHERE {_OF_SERIES} ORDER BY last DESC"
        )
        with _connection(self.path) as database:
            return [CachedRange.from_row(row) for row in database.execute(query, key.columns)]

    def read(
        self,
        cached: CachedRange,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """(T, 6) bars of a range between two times, in the schema of `Candles.frame`."""
        query = (
            f"SELECT opened, {', '.join(COLUMNS)} FROM bars WHERE stretch = ? AND opened >= ? AND "
            "opened <= ? ORDER BY opened"
        )
        first = cached.first if start is None else start
        last = pd.Timestamp.max.tz_localize("UTC") if end is None else end
        with _connection(self.path) as database:
            rows = database.execute(query, (cached.id, first.value, last.value)).fetchall()
        return _frame(rows)

    def edge(self, cached: CachedRange, n_bars: int, *, at_end: bool) -> pd.DataFrame:
        """The first or last bars of a range, within the times it had when it was found."""
        order = "DESC" if at_end else "ASC"
        query = (
            f"SELECT opened, {', '.join(COLUMNS)} FROM bars WHERE stretch = ? "
            f"AND opened BETWEEN ? AND ? ORDER BY opened {order} LIMIT ?"
        )
        with _connection(self.path) as database:
            rows = database.execute(query, (cached.id, *cached.span, n_bars)).fetchall()
        return _frame(sorted(rows))

    def write(
        self,
        key: SeriesKey,
        cached: CachedRange,
        bars: pd.DataFrame,
        *,
        now: pd.Timestamp,
        replaced: tuple[pd.Timestamp, pd.Timestamp] | None = None,
    ) -> CachedRange:
        """Store bars as a new range, or in place of a part of a stored one.

        Other ranges of the series that lie within it are deleted.

        Args:
            key: The series.
            cached: The range with its new times and facts.
            bars: (T, 6) the new bars.
            now: Time of this machine, the range's last use.
            replaced: For a stored range, the first and last time of the stored bars that the new
                ones replace.

        Returns:
            The range as stored: longer than `cached` where another writer has extended it, too.

        Raises:
            Superseded: Another writer has deleted the range.
        """
        with _connection(self.path) as database, _transaction(database):
            cached = _with_extensions(database, cached)
            if cached.is_default:
                _clear_default(database, key, cached.id)
            _delete(
                database, key, "AND id <> ? AND first >= ? AND last <= ?", (cached.id, *cached.span)
            )
            if not cached.id:
                cursor = database.execute(
                    "INSERT INTO stretches VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, 0, '')",
                    (*key.columns, *cached.span, now.value),
                )
                cached = replace(cached, id=int(cursor.lastrowid or 0))
            if replaced is not None:
                database.execute(
                    "DELETE FROM bars WHERE stretch = ? AND opened BETWEEN ? AND ?",
                    (cached.id, replaced[0].value, replaced[1].value),
                )
            database.executemany(
                "INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _rows(cached, bars)
            )
            database.execute(
                "UPDATE stretches SET first = ?, last = ?, used_at = ?, facts = ?, n_bars = "
                "(SELECT COUNT(*) FROM bars WHERE stretch = id) WHERE id = ?",
                (*cached.span, now.value, cached.facts(), cached.id),
            )
            self._evict(database, cached.id)
        return cached

    def mark_used(self, cached: CachedRange, now: pd.Timestamp) -> None:
        """Record the use of a range; at most once a minute, for it is a write."""
        minute = pd.Timedelta(minutes=1).value
        with _connection(self.path) as database:
            query = "SELECT used_at FROM stretches WHERE id = ?"
            row = database.execute(query, (cached.id,)).fetchone()
            if row is not None and now.value - row[0] >= minute:
                with _transaction(database):
                    database.execute(
                        "UPDATE stretches SET used_at = ? WHERE id = ?", (now.value, cached.id)
                    )

    def drop(self, key: SeriesKey) -> None:
        """Delete a series."""
        with _connection(self.path) as database, _transaction(database):
            _delete(database, key, "", ())

    def n_bars(self) -> int:
        """Number of bars in the file."""
        with _connection(self.path) as database:
            return int(database.execute("SELECT COUNT(*) FROM bars").fetchone()[0])

    def _evict(self, database: sqlite3.Connection, spared: int) -> None:
        total = database.execute("SELECT SUM(n_bars) FROM stretches").fetchone()[0]
        query = "SELECT id, n_bars FROM stretches WHERE id <> ? ORDER BY used_at, id"
        for row, n_bars in database.execute(query, (spared,)).fetchall():
            if total <= self._max_bars:
                return
            database.execute("DELETE FROM stretches WHERE id = ?", (row,))
            total -= n_bars


# The file.


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    """A new connection; the file and its tables are created if there are none.

    Raises:
        sqlite3.Error: The file cannot be used, or is no file of this kind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_LOCK_SECONDS, isolation_level=None)
    with closing(connection) as database:
        database.execute("PRAGMA foreign_keys = ON")
        if database.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
            _create_tables(database)
        yield database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    # A lock that is taken only with the first write would fail beside other writers.
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _create_tables(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    with _transaction(database):
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == _FORMAT:  # Another process was faster.
            return
        if version:
            raise sqlite3.DatabaseError(f"the bars have the format {version}, not {_FORMAT}")
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {_FORMAT}")


def _is_damage(error: Exception) -> bool:
    """Whether an error means that the file is broken, rather than out of reach for now."""
    if isinstance(error, sqlite3.OperationalError):
        return "no such" in str(error) or "already exists" in str(error)
    return not isinstance(error, OSError)


def _set_aside(path: Path) -> Path:
    """Rename a damaged file, over an earlier damaged one.

    Raises:
        OSError: That is not possible.
    """
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    return path.replace(path.with_name(f"{path.name}.damaged"))


# Rows.


def _with_extensions(database: sqlite3.Connection, cached: CachedRange) -> CachedRange:
    """A stored range with the times by which other writers have extended it since it was found."""
    if not cached.id:
        return cached
    query = "SELECT first, last FROM stretches WHERE id = ?"
    row = database.execute(query, (cached.id,)).fetchone()
    if row is None:
        raise Superseded("another writer has deleted these bars")
    first, last = map(_timestamp, row)
    return replace(cached, first=min(first, cached.first), last=max(last, cached.last))


def _delete(
    database: sqlite3.Connection, key: SeriesKey, condition: str, values: tuple[Any, ...]
) -> None:
    database.execute(
        f"DELETE FROM stretches WHERE {_OF_SERIES} {condition}", (*key.columns, *values)
    )


def _clear_default(database: sqlite3.Connection, key: SeriesKey, spared: int) -> None:
    """Only one range of a series, the newest, serves requests without a start."""
    query = f"SELECT id, facts FROM stretches WHERE {_OF_SERIES} AND id <> ?"
    for row, facts in database.execute(query, (*key.columns, spared)).fetchall():
        database.execute(
            "UPDATE stretches SET facts = ? WHERE id = ?",
            (json.dumps({**json.loads(facts), "is_default": False}), row),
        )


def _rows(cached: CachedRange, bars: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    opened = pd.DatetimeIndex(bars.index).as_unit("ns").asi8.tolist()
    values = bars[list(COLUMNS)].to_numpy(float).tolist()
    return ((cached.id, at, *row) for at, row in zip(opened, values, strict=True))


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    stamps = pd.to_datetime(np.array([row[0] for row in rows], np.int64), unit="ns", utc=True)
    values = np.array([row[1:] for row in rows], float).reshape(-1, len(COLUMNS))
    index = pd.DatetimeIndex(stamps, name="timestamp")
    return pd.DataFrame(values, index=index, columns=list(COLUMNS))


def _timestamp(nanoseconds: int) -> pd.Timestamp:
    return pd.Timestamp(nanoseconds, unit="ns", tz="UTC")
