"""Market calendars: which one bars keep, and when their next bars open."""

from kronos.calendars.exchanges import (
    ALWAYS_OPEN,
    EXCHANGES,
    FX,
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
