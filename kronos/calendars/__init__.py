"""Market calendars: the calendar of an instrument, and the times of its next bars.

exchanges.py  calendars by code, their clocks and regular hours
records.py    recorded sessions of an exchange
sessions.py   sessions between two dates, beyond the records as well
fx_week.py    the weeks of currencies and metals
intervals.py  bar widths
symbols.py    calendar and asset class from a ticker
infer.py      calendar from the bars
clocks.py     clock of timestamps without an offset, from the hours of the calendar
placement.py  timestamps of bars placed in UTC
future.py     times of the next bars
spans.py      span of time of a bar
"""

from kronos.calendars.exchanges import (
    ALWAYS_OPEN,
    EXCHANGES,
    FX,
    METALS,
    WEEKDAYS,
    calendar_title,
    calendar_zone,
)
from kronos.calendars.future import MAX_HORIZON, calendar_note, future_timestamps
from kronos.calendars.infer import CalendarChoice, infer_calendar
from kronos.calendars.placement import Placement, place_bars
from kronos.calendars.symbols import ASSET_CLASSES, AssetClass, asset_class

__all__ = [
    "ALWAYS_OPEN",
    "ASSET_CLASSES",
    "EXCHANGES",
    "FX",
    "MAX_HORIZON",
    "METALS",
    "WEEKDAYS",
    "AssetClass",
    "CalendarChoice",
    "Placement",
    "asset_class",
    "calendar_note",
    "calendar_title",
    "calendar_zone",
    "future_timestamps",
    "infer_calendar",
    "place_bars",
]
