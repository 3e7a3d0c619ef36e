"""One calendar from several tables.

The rule: tables come from the least to the most trusted: bundled, fetched, the user's own. Two rows
are the same event when kind, region, symbol and the date on the release's own clock agree, and for
news and gaps the name too. Then the later table's fields count, and what it leaves missing stays
from the earlier one: a user who brings a consensus keeps the official actual.

A fetched table is complete over the stretch it covers for a kind, region and symbol. An event of
an earlier table within that stretch which it does not list, and which has no actual, is dropped:
its date was moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from kronos.errors import InvalidEvents
from kronos.events.event import Event, sorted_events

__all__ = ["EventTable", "merge_events"]

_SEVERAL_A_DAY = frozenset({"news", "gap"})


@dataclass(frozen=True, slots=True)
class EventTable:
    """Events from one place.

    Attributes:
        name: Where they are from, for messages.
        events: The events.
        is_complete: Whether it lists all there are over the stretch it covers.
    """

    name: str
    events: tuple[Event, ...]
    is_complete: bool = False


def merge_events(tables: Sequence[EventTable]) -> tuple[Event, ...]:
    """One calendar, by time; the rule stands at the head of this module.

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
    """Known events less those without an actual that a complete table covers and lacks."""
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
    """The later event, with what it leaves missing taken from the earlier."""
    filled = {
        field.name: getattr(earlier, field.name)
        for field in fields(Event)
        if field.name not in ("time", "is_time_exact", "source")
        and getattr(later, field.name) in (None, "")
        and getattr(earlier, field.name) not in (None, "")
    }
    # Figures of two scales must not meet in one event: actual and consensus are compared.
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
