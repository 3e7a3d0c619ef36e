"""Acknowledged orders, on disk: a server that was killed answers them again, the same.

One SQLite file holds the request and the bars shown with its result. The result itself is made
again when it is asked for: the same request gives the same paths.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa

from kronos.candles import Candles
from kronos.errors import InvalidRequest, StoreUnavailable
from kronos.request import ForecastRequest
from kronos.system import user_data

__all__ = ["Acknowledged", "Spool", "spool_file"]

MOST = 5_000
"""Orders that are kept; the oldest are dropped. One is about 30 kB."""
_FACTS = ("interval", "zone", "calendar", "symbol", "source")
_TABLE = """
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL, request BLOB NOT NULL, candles BLOB NOT NULL,
    saves INTEGER NOT NULL
)"""


def spool_file() -> Path:
    """Where the orders of this user's servers are kept."""
    return user_data("api-orders.sqlite3")


class Acknowledged:
    """An order that a program was promised an answer to.

    Attributes:
        id: Digest of request and bars: equal orders have equal ids.
        request: What the engine is asked.
        candles: The bars that figures of the result are made of.
        n_bytes: Memory that it takes, about.
    """

    def __init__(self, request: ForecastRequest, candles: Candles) -> None:
        self.request = request
        self.candles = candles
        self.packed = _packed(candles)
        # The bars as a table and packed, the request and its events.
        self.n_bytes = 2 * len(self.packed) + request.bars.nbytes
        self.n_bytes += 0 if request.events is None else request.events.nbytes
        self.id = hashlib.sha256(request.digest.encode() + self.packed).hexdigest()


class Spool:
    """The orders in a file. Any thread may call, and several servers may share one file.

    Args:
        path: The file; default: that of the user.
        most: Orders that are kept.
    """

    def __init__(self, path: Path | None = None, *, most: int = MOST) -> None:
        self._path = path or spool_file()
        self._most = most
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def add(self, order: Acknowledged, *, saves: bool = False) -> None:
        """Keep an order; one that is known stays as it is.

        Args:
            order: The order.
            saves: Whether the store is to get the forecast, until `saved` is called.

        Raises:
            StoreUnavailable: The file cannot be written: the order must not be acknowledged.
        """
        with self._open() as connection, connection:
            connection.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET saves = max(saves, excluded.saves)",
                (order.id, time.time_ns(), order.request.to_bytes(), order.packed, saves),
            )
            connection.execute(
                "DELETE FROM orders WHERE number < (SELECT number FROM orders "
                "ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (self._most - 1,),
            )

    def get(self, order_id: str) -> Acknowledged | None:
        """An order by its id; None where there is none.

        Raises:
            StoreUnavailable: The file cannot be read, or the order in it is damaged.
        """
        with self._open() as connection:
            row = connection.execute(
                "SELECT request, candles FROM orders WHERE id = ?", (order_id,)
            ).fetchone()
        if row is None:
            return None
        try:
            found = Acknowledged(ForecastRequest.from_bytes(row[0]), _unpacked(row[1]))
        except (InvalidRequest, ValueError, KeyError, pa.ArrowInvalid) as error:
            raise self._unusable(error) from error
        if found.id != order_id:
            raise self._unusable(ValueError(f"the order {order_id[:16]} was changed"))
        return found

    def saved(self, order_id: str) -> None:
        """The store has the forecast of an order.

        Raises:
            StoreUnavailable: The file cannot be written.
        """
        with self._open() as connection, connection:
            connection.execute("UPDATE orders SET saves = 0 WHERE id = ?", (order_id,))

    def unsaved(self) -> tuple[str, ...]:
        """Ids of the orders whose forecasts the store is to get, the oldest first.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        with self._open() as connection:
            rows = connection.execute("SELECT id FROM orders WHERE saves ORDER BY number")
            return tuple(row[0] for row in rows)

    def remove(self, order_id: str) -> None:
        """Forget an order that nobody wants.

        Raises:
            StoreUnavailable: The file cannot be written.
        """
        with self._open() as connection, connection:
            connection.execute("DELETE FROM orders WHERE id = ?", (order_id,))

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=10.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.execute(_TABLE)
            connection.execute("CREATE INDEX IF NOT EXISTS by_number ON orders (number)")
        return connection

    def _unusable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"The orders in {self._path} cannot be read or written: {error}. Make room or repair "
            "the folder; a damaged file may be deleted, its orders are then sent again."
        )


def _packed(candles: Candles) -> bytes:
    facts = {
        name: getattr(candles, name)
        for name in ("interval", "zone", "calendar", "symbol", "source")
    }
    table = pa.Table.from_pandas(candles.frame).replace_schema_metadata(
        {"candles": json.dumps(facts)}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _unpacked(data: bytes) -> Candles:
    table = pa.ipc.open_stream(data).read_all()
    facts = json.loads((table.schema.metadata or {})[b"candles"])
    frame = table.to_pandas().set_index("timestamp")
    index = pd.DatetimeIndex(frame.index).as_unit("ns")
    return Candles(frame.set_axis(index.rename("timestamp")), **facts)
