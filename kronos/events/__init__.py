"""Scheduled events, and the 20 channels by which a model reads them."""

from kronos.events.bars import event_bars
from kronos.events.channels import CHANNELS, N_CHANNELS, US_KINDS, event_channels
from kronos.events.csv_file import events_csv, read_events
from kronos.events.event import KINDS, MACRO, Event, known_at
from kronos.events.inputs import SURPRISES, EventInputs, Surprise, event_inputs, sets_a_channel
from kronos.events.leaders import Leaders
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
    "CHANNELS",
    "KINDS",
    "MACRO",
    "N_CHANNELS",
    "REGIONS",
    "SURPRISES",
    "US_KINDS",
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
    "load_events",
    "merge_events",
    "read_events",
    "regions_of",
    "save_events",
    "sets_a_channel",
    "stored_events",
]
