"""Stores to test: in an SQLite file, and in a PostgreSQL server that the tests start."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kronos.store.store import Store
from tests.store.postgres_server import PostgresServer, find_programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server, shared by the tests of a process."""
    programs = find_programs()
    if programs is None:
        pytest.fail(
            "No PostgreSQL was found. `make test` finds or installs one; or set POSTGRES_BIN to "
            "the folder of its programs."
        )
    server = PostgresServer(programs)
    yield server
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite3'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.empty()


@pytest.fixture
def opened() -> Iterator[Callable[..., Store]]:
    """Opens stores for one test: opened(url, clock=...)."""
    stores: list[Store] = []

    def open_one(url: str, **options: object) -> Store:
        stores.append(Store(url, **options))  # type: ignore[arg-type]
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(url: str, opened: Callable[..., Store]) -> Store:
    """An empty store of either kind."""
    return opened(url)


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
