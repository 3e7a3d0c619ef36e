"""The store's database: its address, its transactions, and its errors in words.

SQLite runs in WAL mode with synchronous=FULL: committed rows survive a crash of the process and a
power failure, and readers never wait for a writer. A writing transaction begins with BEGIN
IMMEDIATE: SQLite refuses one that began by reading as soon as another process has written in
between, and waiting does not help.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kronos.errors import InvalidRequest, KronosError, StoreDamaged, StoreUnavailable
from kronos.store.address import bare, may_quote_a_secret, require_unambiguous, shown
from kronos.store.switch import OFF, VARIABLE, is_off
from kronos.system import user_data

__all__ = ["VARIABLE", "Database", "damaged", "default_file", "shown", "store_url"]

PATIENCE_SECONDS = 30.0
"""Longest wait of a transaction for another one."""
Result = TypeVar("Result")
_HINTS = (
    ("locked", "Another process has held it for too long; try again when that has ended."),
    ("lock timeout", "Another process has held it for too long; try again when that has ended."),
    ("not a database", "The file is something else; name another one."),
    ("full", "Free some space and try again."),
    ("readonly", "This user may not write to it; name another file."),
    ("unable to open", "Name a file in a folder that this user may write to."),
    ("password", "Check the user and the password in the URL."),
    ("does not exist", "Create the database, or correct its URL."),
    ("permission denied", "Give the user the right to create tables, or name another database."),
)
_LEAST_FREE = 1 << 20
"""Bytes below which a disk counts as full: SQLite needs some beside the file, even to read."""
_DAMAGE = ("malformed", "Could not decode to UTF-8")
"""In messages of SQLite about a file that is damaged."""
_POSTGRES = {"postgres", "postgresql", "postgresql+psycopg"}
_EXAMPLES = (
    "Give the path of a file, or a URL such as sqlite:///forecasts.sqlite3 or "
    "postgresql://user:password@host/database."
)


def default_file() -> Path:
    """The SQLite file of this user."""
    return user_data("forecasts.sqlite3")


def store_url(named: str | None = None) -> URL:
    """The URL of the store.

    Args:
        named: A database URL or the path of an SQLite file; None or "" takes the environment
            variable `VARIABLE`, or `default_file` where that is not set.

    Raises:
        InvalidRequest: It names no usable database.
        StoreUnavailable: Its driver is not installed, or the variable says `OFF`.
    """
    if not named and is_off():
        raise StoreUnavailable(
            f"The store of forecasts is switched off by {VARIABLE}={OFF}. Unset the variable, or "
            "name a file in it."
        )
    text = named or os.environ.get(VARIABLE, "").strip()
    if not text:
        return _file_url(default_file())
    try:
        url = make_url(text) if "://" in text else None
        require_unambiguous(text, url)
    except (ArgumentError, ValueError) as error:
        # The text is not repeated: it may hold a password.
        raise InvalidRequest(
            f"The URL of the store cannot be read. {_EXAMPLES} Percent-encode the special "
            f"characters of a password, such as %40 for @. {type(error).__name__} was raised."
        ) from None
    if url is None:
        return _file_url(Path(text).expanduser())
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"} or url.query:
            raise InvalidRequest(f"The store needs a plain file of its own. {_EXAMPLES}")
        return _file_url(Path(str(url.database)).expanduser())
    if url.drivername in _POSTGRES:
        if find_spec("psycopg") is None:
            raise StoreUnavailable(
                "A store in PostgreSQL needs the package psycopg, which is not installed: "
                "pip install 'kronos-fan[postgres]'."
            )
        return url.set(drivername="postgresql+psycopg")
    raise InvalidRequest(
        f"The store can be in SQLite or PostgreSQL, found {url.drivername!r}. {_EXAMPLES}"
    )


class Database:
    """One database, for any number of threads and processes."""

    def __init__(self, url: sa.URL) -> None:
        self.url = bare(url)  # all that is shown anywhere; the engine has the rest
        self._secret_url = url
        self.address = shown(url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._make_folder()
        self._engine = _sqlite_engine(url) if self.is_sqlite else _postgres_engine(url)
        self._writer = self._engine.execution_options(kronos_writes=True)
        self._reader = (
            self._engine
            if self.is_sqlite
            else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and blocks no other."""
        with self._faults(), self._reader.begin() as connection:
            yield connection

    def write(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Runs work in a transaction, which is committed when this returns.

        A broken connection leaves open whether the transaction was committed, so the work runs once
        more: work must be idempotent.
        """
        with self._faults():
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            with self._writer.begin() as connection:
                return work(connection)

    def close(self) -> None:
        """Closes the idle connections."""
        self._engine.dispose()

    def _make_folder(self) -> None:
        folder = Path(str(self.url.database)).parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreUnavailable(
                f"The folder {folder} of the store of forecasts cannot be made: {error.strerror}. "
                "Name a file in a folder that this user may write to."
            ) from error

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            cause = None if may_quote_a_secret(self._secret_url, str(error)) else error
            if self.is_sqlite and any(word in str(error) for word in _DAMAGE):
                raise damaged(self.address, str(getattr(error, "orig", error))) from cause
            raise StoreUnavailable(_explain(error, self._secret_url)) from cause
        except KronosError:
            raise
        except Exception as error:
            # The driver meets text that is no UTF-8, SQLAlchemy a date that is none.
            found = self._find_damage() if self.is_sqlite else None
            if found is None:
                raise
            raise damaged(self.address, found) from error

    def _find_damage(self) -> str | None:
        """What SQLite finds wrong with the file; None if it is sound."""
        import sqlite3

        try:
            with closing(sqlite3.connect(str(self.url.database), timeout=1.0)) as connection:
                found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except (sqlite3.Error, UnicodeDecodeError) as error:
            return str(error)
        return None if found == "ok" else " ".join(found.split())


def damaged(address: str, found: str) -> StoreDamaged:
    """The error of a damaged store."""
    return StoreDamaged(
        f"The store of forecasts ({address}) is damaged: {found.rstrip('.')}. Its file is left as "
        "it is. Move it aside, with the files -wal and -shm beside it: the next start begins a new "
        "store, and `kronos store restore BACKUP` adds the rows of a backup."
    )


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": PATIENCE_SECONDS})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        for setting in ("synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")
        _use_wal(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("kronos_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_wal(connection: Any) -> None:
    """Switches to WAL; SQLite itself does not wait while another process does the same."""
    import sqlite3

    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _postgres_engine(url: sa.URL) -> sa.Engine:
    arguments: dict[str, Any] = {"connect_timeout": 10, "application_name": "kronos-fan"}
    # PostgreSQL reads a number without a unit as milliseconds.
    arguments["options"] = f"-c lock_timeout={int(PATIENCE_SECONDS * 1000)}"
    named = {name: value for name, value in arguments.items() if name not in url.query}
    # The engine repeats its URL in its `repr` and in errors: it gets one without secrets.
    known = url.get_dialect()().create_connect_args(url)[1]
    return sa.create_engine(bare(url), connect_args={**known, **named}, pool_pre_ping=True)


def _explain(error: Exception, url: URL) -> str:
    """The database's own message, and advice. A message that repeats a secret is left out."""
    address = shown(url)
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    message = str(cause)
    text = " ".join((message.splitlines() or [type(error).__name__])[0].split())
    if may_quote_a_secret(url, message):
        text = type(cause).__name__
    elif url.username:
        text = text.replace(f'"{url.username}"', '"..."')
    default = "Check that the database server runs and can be reached."
    if "://" not in address:
        default = "Check the file, or name another one."
    hint = next((hint for word, hint in _HINTS if word in message.lower()), default)
    if hint is default and url.get_backend_name() == "sqlite":
        hint = _disk_hint(Path(str(url.database))) or default
    return f"The store of forecasts ({address}) cannot be used: {text.rstrip('.')}. {hint}"


def _disk_hint(path: Path) -> str | None:
    """Advice on the disk of a file: SQLite calls a full one, among others, an I/O error."""
    with suppress(OSError):
        if shutil.disk_usage(path.parent).free < _LEAST_FREE:
            return "Its disk is full: free some space and try again."
    if not os.access(path.parent, os.W_OK):
        return f"This user may not write to {path.parent}; name another file."
    return None


def _file_url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path.absolute()))
