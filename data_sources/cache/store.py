"""A series, a range of it that is kept, and how that is written down."""

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

__all__ = [
    "BarStore",
    "SeriesKey",
    "Stretch",
    "Superseded",
    "attempt",
]


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What a series is kept under."""

    source: str
    symbol: str
    interval: str
    adjusted: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of time without holes.

    Attributes:
        first: From when on every bar is kept, by open time.
        last: Up to when.
        is_default: It holds what the source gives where no start is asked for.
        fetched_at: When its newest bars were fetched, by the source's clock.
        fresh_until: Until when nothing new can be had, by this machine's clock; None for a
            stretch that ends in the past.
        zone: Clock of the exchange.
        calendar: Its calendar.
        symbol: Name to show.
        credit: Where the bars came from.
        instrument: What they are of.
        notes: What the source said about them.
        id: Row in the file; 0 for one that is not kept yet.
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


def facts_of(stretch: Stretch) -> str:
    """What a row of the file says of a stretch beside its key and its times."""
    facts = asdict(stretch)
    for name in ("id", "first", "last"):
        del facts[name]
    for name in ("fetched_at", "fresh_until"):
        facts[name] = None if facts[name] is None else facts[name].value
    return json.dumps(facts)


def stretch_of(row: tuple[Any, ...]) -> Stretch:
    """The stretch of a row: id, first and last time, facts."""
    facts = json.loads(row[3])
    for name in ("fetched_at", "fresh_until"):
        facts[name] = None if facts[name] is None else _moment(facts[name])
    facts["instrument"] = Instrument(**facts["instrument"])
    facts["notes"] = tuple(facts["notes"])
    return Stretch(id=row[0], first=_moment(row[1]), last=_moment(row[2]), **facts)


def _moment(nanoseconds: int) -> pd.Timestamp:
    return pd.Timestamp(nanoseconds, unit="ns", tz="UTC")


T = TypeVar("T")
logger = logging.getLogger(__name__)


MAX_BARS = 2_000_000
"""Most bars kept, about 150 MB; the stretches that were not used for longest go first."""


class Superseded(sqlite3.OperationalError):
    """Another thread or process has meanwhile forgotten what was to be changed."""


class BarStore:
    """The file.

    Every method may raise `sqlite3.Error`.

    Args:
        path: Where it lies; it is made on first use.
        max_bars: Most bars kept.
    """

    def __init__(self, path: Path, *, max_bars: int = MAX_BARS) -> None:
        self.path = path
        self._max_bars = max_bars

    def find(self, key: SeriesKey) -> list[Stretch]:
        """The stretches of a series, the latest first."""
        query = (
            "SELECT id, first, last, facts FROM stretches WHERE source = ? AND symbol = ? AND "
            "interval = ? AND adjusted = ? ORDER BY last DESC"
        )
        with opened(self.path) as database:
            return [stretch_of(row) for row in database.execute(query, _columns(key))]

    def read(
        self, stretch: Stretch, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
    ) -> pd.DataFrame:
        """(T, 6) bars of a stretch within two times, in the schema of `Candles.frame`."""
        query = (
            f"SELECT opened, {', '.join(COLUMNS)} FROM bars WHERE stretch = ? AND opened >= ? AND "
            "opened <= ? ORDER BY opened"
        )
        first = stretch.first if start is None else start
        last = pd.Timestamp.max.tz_localize("UTC") if end is None else end
        with opened(self.path) as database:
            rows = database.execute(query, (stretch.id, first.value, last.value)).fetchall()
        return _frame(rows)

    def overlap(self, stretch: Stretch, n_bars: int, *, at_end: bool) -> pd.DataFrame:
        """The first or last bars of a stretch, as far as it reached when it was found."""
        order = "DESC" if at_end else "ASC"
        query = (
            f"SELECT opened, {', '.join(COLUMNS)} FROM bars WHERE stretch = ? "
            f"AND opened BETWEEN ? AND ? ORDER BY opened {order} LIMIT ?"
        )
        span = stretch.first.value, stretch.last.value
        with opened(self.path) as database:
            rows = database.execute(query, (stretch.id, *span, n_bars)).fetchall()
        return _frame(sorted(rows))

    def write(
        self,
        key: SeriesKey,
        stretch: Stretch,
        bars: pd.DataFrame,
        *,
        now: pd.Timestamp,
        replaced: tuple[pd.Timestamp, pd.Timestamp] | None = None,
    ) -> Stretch:
        """Keeps bars, as a new stretch or in place of a part of one that is kept.

        What other stretches of the series hold of the same time is forgotten with them.

        Args:
            key: The series.
            stretch: As it is from now on.
            bars: (T, 6) the new bars.
            now: Time of this machine, for knowing what was used last.
            replaced: For a stretch that is kept, the times between which the new bars stand for
                those that were there.

        Returns:
            The stretch as it is kept: longer than what was given where others have meanwhile
            made it longer, too.

        Raises:
            Superseded: Others have meanwhile forgotten the stretch.
        """
        with opened(self.path) as database, transaction(database):
            stamp = now.value
            stretch = _joined(database, stretch)
            span = stretch.first.value, stretch.last.value
            if stretch.is_default:
                _clear_default(database, key, stretch.id)
            inside = "AND id <> ? AND first >= ? AND last <= ?"
            _delete(database, key, inside, (stretch.id, *span))
            if not stretch.id:
                cursor = database.execute(
                    "INSERT INTO stretches VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, 0, '')",
                    (*_columns(key), *span, stamp),
                )
                stretch = replace(stretch, id=int(cursor.lastrowid or 0))
            if replaced is not None:
                database.execute(
                    "DELETE FROM bars WHERE stretch = ? AND opened BETWEEN ? AND ?",
                    (stretch.id, replaced[0].value, replaced[1].value),
                )
            database.executemany(
                "INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _rows(stretch, bars)
            )
            database.execute(
                "UPDATE stretches SET first = ?, last = ?, used_at = ?, facts = ?, n_bars = "
                "(SELECT COUNT(*) FROM bars WHERE stretch = id) WHERE id = ?",
                (*span, stamp, facts_of(stretch), stretch.id),
            )
            self._evict(database, stretch.id)
        return stretch

    def mark_used(self, stretch: Stretch, now: pd.Timestamp) -> None:
        """Says that a stretch was of use; at most once a minute, for it is a write."""
        minute = pd.Timedelta(minutes=1).value
        with opened(self.path) as database:
            query = "SELECT used_at FROM stretches WHERE id = ?"
            row = database.execute(query, (stretch.id,)).fetchone()
            if row is not None and now.value - row[0] >= minute:
                with transaction(database):
                    database.execute(
                        "UPDATE stretches SET used_at = ? WHERE id = ?", (now.value, stretch.id)
                    )

    def drop(self, key: SeriesKey) -> None:
        """Forgets a series."""
        with opened(self.path) as database, transaction(database):
            _delete(database, key, "", ())

    def n_bars(self) -> int:
        """How many bars are kept in all."""
        with opened(self.path) as database:
            return int(database.execute("SELECT COUNT(*) FROM bars").fetchone()[0])

    def _evict(self, database: sqlite3.Connection, kept: int) -> None:
        total = database.execute("SELECT SUM(n_bars) FROM stretches").fetchone()[0]
        query = "SELECT id, n_bars FROM stretches WHERE id <> ? ORDER BY used_at, id"
        for row, n_bars in database.execute(query, (kept,)).fetchall():
            if total <= self._max_bars:
                return
            database.execute("DELETE FROM stretches WHERE id = ?", (row,))
            total -= n_bars


def attempt(store: BarStore, use: Callable[[BarStore], T]) -> T | None:
    """What the store says; None where it cannot be used, for bars can always be fetched again.

    A damaged file is set aside on the way.
    """
    try:
        return use(store)
    except (sqlite3.Error, OSError, ValueError, LookupError, TypeError) as error:
        if not is_damage(error):
            logger.warning("The bars in %s cannot be used now: %s", store.path, error)
            return None
        try:
            aside = set_aside(store.path)
            logger.warning("The bars kept were damaged (%s) and now lie in %s", error, aside)
        except OSError as problem:
            logger.warning("The bars kept are damaged (%s) and in the way: %s", error, problem)
    return None


def _joined(database: sqlite3.Connection, stretch: Stretch) -> Stretch:
    """A stretch with what others have added to it since it was found; both reach from its bars."""
    if not stretch.id:
        return stretch
    query = "SELECT first, last FROM stretches WHERE id = ?"
    row = database.execute(query, (stretch.id,)).fetchone()
    if row is None:
        raise Superseded("the bars were meanwhile put in another place")
    first, last = (pd.Timestamp(value, unit="ns", tz="UTC") for value in row)
    return replace(stretch, first=min(first, stretch.first), last=max(last, stretch.last))


def _columns(key: SeriesKey) -> tuple[str, str, str, int]:
    return key.source, key.symbol, key.interval, int(key.adjusted)


def _delete(
    database: sqlite3.Connection, key: SeriesKey, condition: str, values: tuple[Any, ...]
) -> None:
    database.execute(
        "DELETE FROM stretches WHERE source = ? AND symbol = ? AND interval = ? AND adjusted = ? "
        + condition,
        (*_columns(key), *values),
    )


def _clear_default(database: sqlite3.Connection, key: SeriesKey, kept: int) -> None:
    """Of several stretches only the latest is what a request without a start is answered from."""
    query = (
        "SELECT id, facts FROM stretches WHERE source = ? AND symbol = ? AND interval = ? AND "
        "adjusted = ? AND id <> ?"
    )
    for row, facts in database.execute(query, (*_columns(key), kept)).fetchall():
        database.execute(
            "UPDATE stretches SET facts = ? WHERE id = ?",
            (json.dumps({**json.loads(facts), "is_default": False}), row),
        )


def _rows(stretch: Stretch, bars: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    opened = pd.DatetimeIndex(bars.index).as_unit("ns").asi8.tolist()
    values = bars[list(COLUMNS)].to_numpy(float).tolist()
    return ((stretch.id, at, *row) for at, row in zip(opened, values, strict=True))


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    stamps = pd.to_datetime(np.array([row[0] for row in rows], np.int64), unit="ns", utc=True)
    values = np.array([row[1:] for row in rows], float).reshape(-1, len(COLUMNS))
    index = pd.DatetimeIndex(stamps, name="timestamp")
    return pd.DataFrame(values, index=index, columns=list(COLUMNS))


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
