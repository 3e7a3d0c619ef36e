"""What a model was told of events, as Python that tells it again. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Sequence

from kronos.events import Event, events_csv


def events_code(file_name: str, added: Sequence[Event]) -> str:
    """The events of a session as `events`.

    Args:
        file_name: The user's file, which lies where he has it; "" without one.
        added: Events that were added by hand.
    """
    if not file_name and not added:
        return "from kronos.events import event_channels, load_events, regions_of\n\n" + (
            "events = load_events()"
        )
    names = ["EventTable", "event_channels", "load_events", "merge_events", "read_events"]
    head = f"from kronos.events import {', '.join([*names, 'regions_of'])}\n"
    own = []
    if file_name:
        head = f"from pathlib import Path\n\n{head}"
        own.append(f"*read_events(Path({file_name!r}).read_bytes(), {file_name!r})")
    if added:
        head += f"\nadded = {_quoted(events_csv(added))}"
        own.append('*read_events(added.encode(), "added by hand")')
    return (
        f"{head}\n"
        f"own = ({', '.join(own)},)\n"
        'tables = [EventTable("stored", load_events()), EventTable("own", own)]\n'
        "events = merge_events(tables)"
    )


def channels_code(currency: str) -> str:
    """The channels of `events` over the bars `known` and `future`, as `channels`."""
    return f"""\
channels = event_channels(
    known.frame.index.append(future),
    interval=known.interval,
    calendar=known.calendar,
    zone=known.zone,
    n_context=len(known),
    events=events,
    symbol=known.symbol,
    regions=regions_of(known.calendar, known.symbol, {currency!r}),
)
"""


def _quoted(text: str) -> str:
    """A string literal of several lines, one a row."""
    lines = "".join(f"    {line + chr(10)!r}\n" for line in text.splitlines())
    return f"(\n{lines})"
