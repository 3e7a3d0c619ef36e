"""Where the store of forecasts is: a file of this user, or the database a URL names."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_data_path
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from kronos.errors import InvalidRequest, StoreUnavailable
from kronos.store.switch import OFF, VARIABLE, is_off

__all__ = ["VARIABLE", "default_file", "shown", "store_url"]

_POSTGRES = {"postgres", "postgresql", "postgresql+psycopg"}


def default_file() -> Path:
    """The SQLite file used where nothing else is named."""
    return user_data_path("kronos-fan") / "forecasts.sqlite3"


def store_url(named: str | None = None) -> URL:
    """The URL of the store.

    Args:
        named: A database URL or the path of an SQLite file; None or "" takes `VARIABLE`, and
            where that is not set `default_file`.

    Raises:
        InvalidRequest: It names no database that can be used.
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
    if "://" not in text:
        return _file_url(Path(text).expanduser())
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        # The text is not repeated: it may hold a password.
        raise InvalidRequest(
            f"The URL of the store cannot be read. {_EXAMPLES} {type(error).__name__} was raised."
        ) from None
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"} or url.query:
            raise InvalidRequest(f"The store needs a plain file of its own. {_EXAMPLES}")
        return _file_url(Path(str(url.database)).expanduser())
    if url.drivername in _POSTGRES:
        if find_spec("psycopg") is None:
            raise StoreUnavailable(
                "A store in PostgreSQL needs the package psycopg, which is not installed: "
                "pip install 'psycopg[binary]'."
            )
        return url.set(drivername="postgresql+psycopg")
    raise InvalidRequest(
        f"The store can be in SQLite or PostgreSQL, found {url.drivername!r}. {_EXAMPLES}"
    )


_EXAMPLES = (
    "Give the path of a file, or a URL such as sqlite:///forecasts.sqlite3 or "
    "postgresql://user:password@host/database."
)


def shown(url: URL) -> str:
    """The URL as it may be printed: a file's path, or the address without the password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(drivername="postgresql").render_as_string(hide_password=True)


def _file_url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path.absolute()))
