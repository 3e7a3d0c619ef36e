"""Scheduled events, and the 20 channels in which a model reads them.

event.py     an event, and the moments from which its date and its outcome are public
regions.py   regions and their clocks
csv_file.py  tables of events as CSV
tables.py    the bundled, fetched and own tables, merged
bars.py      the bars of a chart or a record that events fall on
leaders.py   leading markets
channels.py  the channels of a window of bars
inputs.py    the event rows of a forecast
coverage.py  what the calendar covers for an instrument, in words
"""

from kronos.events.bars import event_bars
from kronos.events.channels import (
    ALIGNMENTS,
    CHANNELS,
    N_CHANNELS,
    SURPRISES,
    US_KINDS,
    Alignment,
    event_channels,
    sets_a_channel,
)
from kronos.events.csv_file import events_csv, read_events
from kronos.events.event import COLOURS, KINDS, MACRO, READABLE, Event, known_at
from kronos.events.inputs import EventInputs, Surprise, event_inputs, last_close
from kronos.events.leaders import LEADERS, Leaders, leaders_text
from kronos.events.regions import REGIONS, regions_of
from kronos.events.tables import (
    EventTable,
    bundled_events,
    load_events,
    merge_events,
    save_events,
    stored_events,
)

__all__ = [
    "ALIGNMENTS",
    "CHANNELS",
    "COLOURS",
    "KINDS",
    "LEADERS",
    "MACRO",
    "N_CHANNELS",
    "READABLE",
    "REGIONS",
    "SURPRISES",
    "US_KINDS",
    "Alignment",
    "Event",
    "EventInputs",
    "EventTable",
    "Leaders",
    "Surprise",
    "bundled_events",
    "event_bars",
    "event_channels",
    "event_inputs",
    "events_csv",
    "known_at",
    "last_close",
    "leaders_text",
    "load_events",
    "merge_events",
    "read_events",
    "regions_of",
    "save_events",
    "sets_a_channel",
    "stored_events",
]
