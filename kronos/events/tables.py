"""The tables of events on this machine, merged into one calendar.

Tables are merged from the least to the most trusted: Yahoo's calendar, bundled, FRED and earnings,
the user's own. So official figures stand, and Yahoo adds the consensus and later dates. Two rows
are the same event when kind, region, symbol and the date on the release's own clock agree, and for
news, gaps and others the name too. Then the later table's fields count, and the earlier table fills
its missing ones: a user's consensus joins the official actual.

A table of FRED or of earnings is complete over the span it covers for a kind, region and symbol. An
event of an earlier table within that span which it does not list, and which has no actual, is
dropped: its date was moved. Yahoo's calendar names releases as it likes and is never complete.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from kronos.errors import InvalidEvents
from kronos.events.csv_file import MAX_BYTES, events_csv, read_events
from kronos.events.event import Event, sorted_events
from kronos.system import asset_path, atomic_write, may_be_there, user_data

__all__ = [
    "FETCHED",
    "USER",
    "EventTable",
    "bundled_events",
    "events_folder",
    "load_events",
    "merge_events",
    "remove_events",
    "save_events",
    "stored_events",
]

_SEVERAL_A_DAY = frozenset({"news", "gap", "other"})


@dataclass(frozen=True, slots=True)
class EventTable:
    """Events of one origin.

    Attributes:
        name: Origin of the events, for messages.
        events: The events.
        is_complete: Whether it lists all events of the span it covers.
    """

    name: str
    events: tuple[Event, ...]
    is_complete: bool = False


def merge_events(tables: Sequence[EventTable]) -> tuple[Event, ...]:
    """Merges tables into one calendar, by time; the module's docstring states the rule.

    Args:
        tables: From the least to the most trusted.
    """
    merged: dict[tuple[str, ...], Event] = {}
    for table in tables:
        if table.is_complete:
            merged = _without_moved(merged, table.events)
        for event in table.events:
            key = _identity(event)
            merged[key] = _joined(merged[key], event) if key in merged else event
    return sorted_events(merged.values())


def _identity(event: Event) -> tuple[str, ...]:
    name = event.name if event.kind in _SEVERAL_A_DAY else ""
    return event.kind, event.region, event.symbol.upper(), event.release_day, name


def _group(event: Event) -> tuple[str, str, str]:
    return event.kind, event.region, event.symbol.upper()


def _without_moved(
    known: dict[tuple[str, ...], Event], fetched: Iterable[Event]
) -> dict[tuple[str, ...], Event]:
    """Known events without those that were moved: see the module's docstring."""
    listed = {_identity(event) for event in fetched}
    spans: dict[tuple[str, str, str], tuple[str, str]] = {}
    for event in fetched:
        first, last = spans.get(_group(event), (event.release_day, event.release_day))
        spans[_group(event)] = min(first, event.release_day), max(last, event.release_day)

    def stays(key: tuple[str, ...], event: Event) -> bool:
        first, last = spans.get(_group(event), ("9999", ""))
        is_covered = first <= event.release_day <= last
        return not is_covered or key in listed or event.actual is not None

    return {key: event for key, event in known.items() if stays(key, event)}


def _joined(earlier: Event, later: Event) -> Event:
    """The later event, with its missing fields filled from the earlier one."""
    filled = {
        field.name: getattr(earlier, field.name)
        for field in fields(Event)
        if field.name not in ("time", "is_time_exact", "source")
        and getattr(later, field.name) in (None, "")
        and getattr(earlier, field.name) not in (None, "")
    }
    # Actual and consensus are compared: one event must not mix two units.
    is_rescaled = "" not in (earlier.unit, later.unit) and earlier.unit != later.unit
    if is_rescaled and filled.keys() & {"actual", "consensus", "previous"}:
        raise InvalidEvents(
            f"{later.title} of {later.release_day}: its figures are in {later.unit!r}, those known "
            f"before in {earlier.unit!r}. Give them in {earlier.unit!r}."
        )
    if earlier.is_time_exact and not later.is_time_exact:
        filled |= {"time": earlier.time, "is_time_exact": True}
    sources = [part for part in (*earlier.source.split("; "), *later.source.split("; ")) if part]
    return replace(later, source="; ".join(dict.fromkeys(sources)), **filled)


FETCHED = ("yahoo", "fred", "earnings")
"""Names of the fetched tables: Yahoo's economic calendar, FRED's releases, Yahoo's earnings."""
USER = "user"
"""Name of the table of the user's own events."""

_lock = threading.Lock()
_kept: dict[Path, tuple[tuple[int, int], tuple[Event, ...]]] = {}
_merged: tuple[tuple[tuple[Event, ...], ...], tuple[Event, ...]] = ((), ())


def events_folder() -> Path:
    """Folder of the fetched and own tables; it need not exist."""
    return user_data("events")


def bundled_events() -> tuple[Event, ...]:
    """The table that ships with the package."""
    return _read(asset_path("events", "releases.csv"))


def stored_events(name: str, *, folder: Path | None = None) -> tuple[Event, ...]:
    """A table of this machine; empty without a file.

    Args:
        name: One of `FETCHED`, or `USER`.
        folder: Default: `events_folder()`.

    Raises:
        InvalidEvents: The file exists and cannot be read.
    """
    path = _path(name, folder)
    return _read(path) if may_be_there(path) else ()


def load_events(*, folder: Path | None = None) -> tuple[Event, ...]:
    """All events: fetched, bundled and the user's own, merged.

    The result is cached until a file changes, because pages load it on every rerun.

    Raises:
        InvalidEvents: A stored file cannot be read.
    """
    global _merged
    least, *others = FETCHED
    tables = [
        EventTable(least, stored_events(least, folder=folder)),
        EventTable("bundled", bundled_events()),
        *(
            EventTable(name, stored_events(name, folder=folder), is_complete=True)
            for name in others
        ),
        EventTable(USER, stored_events(USER, folder=folder)),
    ]
    given = tuple(table.events for table in tables)
    known, events = _merged
    # `_read` returns the same object for an unchanged file, so that identity suffices.
    if len(known) != len(given) or any(a is not b for a, b in zip(known, given, strict=True)):
        events = merge_events(tables)
        _merged = given, events
    return events


def save_events(name: str, events: Iterable[Event], *, folder: Path | None = None) -> Path:
    """Replaces a table of this machine, completely or not at all.

    Args:
        name: One of `FETCHED`, or `USER`.
        events: At least one.
        folder: Default: `events_folder()`.

    Returns:
        The file.

    Raises:
        InvalidEvents: There are no events, or the file cannot be written.
    """
    rows = tuple(events)
    if not rows:
        raise InvalidEvents(f"There are no events to store as {name}.")
    path = _path(name, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_text(events_csv(rows), encoding="utf-8", newline="")
    except OSError as exc:
        raise InvalidEvents(
            f"The events cannot be stored in {path}: {exc.strerror}. Make the folder writable."
        ) from exc
    return path


def remove_events(name: str, *, folder: Path | None = None) -> None:
    """Removes a table of this machine, where it has no event any more.

    Raises:
        InvalidEvents: The file cannot be removed.
    """
    path = _path(name, folder)
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise InvalidEvents(
            f"{path} cannot be removed: {exc.strerror}. Make the folder writable."
        ) from exc


def _path(name: str, folder: Path | None) -> Path:
    if name not in (*FETCHED, USER):
        raise InvalidEvents(
            f"No table of events is called {name!r}; they are {', '.join((*FETCHED, USER))}."
        )
    return (folder or events_folder()) / f"{name}.csv"


def _read(path: Path) -> tuple[Event, ...]:
    """Events of a file, cached until it changes."""
    try:
        facts = path.stat()
        stamp = (facts.st_mtime_ns, facts.st_size)
        with _lock:
            if path in _kept and _kept[path][0] == stamp:
                return _kept[path][1]
        with path.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as exc:
        raise InvalidEvents(
            f"{path} cannot be read: {exc.strerror}. Give this user the right to read it, or move "
            "it away."
        ) from exc
    events = read_events(data, path.name)
    with _lock:
        _kept[path] = (stamp, events)
    return events
