"""Where events lie: the bundled table, and what was fetched or added on this machine."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from kronos.assets import asset_path
from kronos.errors import InvalidEvents
from kronos.events.csv_file import MAX_BYTES, events_csv, read_events
from kronos.events.event import Event
from kronos.events.merge import EventTable, merge_events

__all__ = ["FETCHED", "USER", "bundled_events", "events_folder", "load_events", "save_events",
           "stored_events"]  # fmt: skip

FETCHED = ("fred", "earnings")
"""Names of the tables that refreshing writes."""
USER = "user"
"""Name of the table of events that the user added."""

_lock = threading.Lock()
_kept: dict[Path, tuple[tuple[int, int], tuple[Event, ...]]] = {}
_merged: tuple[tuple[tuple[Event, ...], ...], tuple[Event, ...]] = ((), ())


def events_folder() -> Path:
    """Folder of the events fetched or added on this machine; it need not exist."""
    from platformdirs import user_data_path

    return user_data_path("kronos-fan") / "events"


def bundled_events() -> tuple[Event, ...]:
    """The table that ships with the package."""
    return _read(asset_path("events", "releases.csv"))


def stored_events(name: str, *, folder: Path | None = None) -> tuple[Event, ...]:
    """A table of this machine, empty where there is none.

    Args:
        name: One of `FETCHED`, or `USER`.
        folder: Default: `events_folder()`.

    Raises:
        InvalidEvents: The file is there and cannot be read.
    """
    path = _path(name, folder)
    return _read(path) if path.is_file() else ()


def load_events(*, folder: Path | None = None) -> tuple[Event, ...]:
    """All events: bundled, fetched and the user's, merged by the rule of `kronos.events.merge`.

    They are merged once as long as no file changes: pages ask at every turn.

    Raises:
        InvalidEvents: A stored file cannot be read.
    """
    global _merged
    bundled = EventTable("bundled", bundled_events())
    fetched = [
        EventTable(name, stored_events(name, folder=folder), is_complete=True) for name in FETCHED
    ]
    tables = [bundled, *fetched, EventTable(USER, stored_events(USER, folder=folder))]
    given = tuple(table.events for table in tables)
    known, events = _merged
    # The same objects, which `_read` gives for a file that is as it was: nothing is compared.
    if len(known) != len(given) or any(a is not b for a, b in zip(known, given, strict=True)):
        events = merge_events(tables)
        _merged = given, events
    return events


def save_events(name: str, events: Iterable[Event], *, folder: Path | None = None) -> Path:
    """Writes a table of this machine, in the place of what it held; whole or not at all.

    Args:
        name: One of `FETCHED`, or `USER`.
        events: At least one.
        folder: Default: `events_folder()`.

    Returns:
        The file.

    Raises:
        InvalidEvents: There are no events, or the file cannot be written.
    """
    kept = tuple(events)
    if not kept:
        raise InvalidEvents(f"There are no events to keep as {name}.")
    path = _path(name, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{name}-", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as opened:
                opened.write(events_csv(kept))
            os.replace(draft, path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise InvalidEvents(
            f"The events cannot be kept in {path}: {exc.strerror}. Make the folder writable."
        ) from exc
    return path


def _path(name: str, folder: Path | None) -> Path:
    if name not in (*FETCHED, USER):
        raise InvalidEvents(
            f"No table of events is called {name!r}; they are {', '.join((*FETCHED, USER))}."
        )
    return (folder or events_folder()) / f"{name}.csv"


def _read(path: Path) -> tuple[Event, ...]:
    """Events of a file, read once as long as it does not change."""
    try:
        facts = path.stat()
        stamp = (facts.st_mtime_ns, facts.st_size)
        with _lock:
            if path in _kept and _kept[path][0] == stamp:
                return _kept[path][1]
        with path.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as exc:
        raise InvalidEvents(f"{path} cannot be read: {exc.strerror}.") from exc
    events = read_events(data, path.name)
    with _lock:
        _kept[path] = (stamp, events)
    return events
