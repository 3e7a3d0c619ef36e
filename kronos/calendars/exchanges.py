"""Facts about markets: their clocks and regular hours.

The regular hours identify the exchange of bars without loading its whole calendar; future times
always follow from the calendar itself (`kronos.calendars.sessions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kronos.errors import InvalidCandles

__all__ = [
    "ALWAYS_OPEN",
    "EXCHANGES",
    "FX",
    "METALS",
    "ROUND_THE_CLOCK",
    "WEEKDAYS",
    "Exchange",
    "calendar_title",
    "calendar_zone",
    "check_zone",
]

ALWAYS_OPEN = "24/7"
FX = "fx"
METALS = "metals"
WEEKDAYS = "weekdays"
ROUND_THE_CLOCK = (ALWAYS_OPEN, FX, METALS)
"""Calendars of currencies, metals and coins, which have no exchange."""

_TITLES = {
    ALWAYS_OPEN: "around the clock, every day (24/7)",
    FX: "the FX week, Sunday 17:00 to Friday 17:00 New York",
    METALS: "the week of metals, Sunday 18:00 to Friday 17:00 New York, with a pause at 17:00",
    WEEKDAYS: "every weekday, no holidays",
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """Regular hours of one exchange.

    Attributes:
        title: Name for display.
        zone: IANA name of its clock.
        open: Minutes after local midnight of the first trade.
        close: Minutes after local midnight of the last trade.
        pause: (start, end) of the lunch break in minutes after local midnight, if any.
    """

    title: str
    zone: str
    open: int
    close: int
    pause: tuple[int, int] | None = None


# Ordered by preference: the first of equally good matches wins. Exchanges whose calendar takes
# many seconds to build (Seoul) are last.
EXCHANGES: dict[str, Exchange] = {
    "XNYS": Exchange("New York", "America/New_York", 570, 960),
    "XLON": Exchange("London", "Europe/London", 480, 990),
    "XETR": Exchange("Frankfurt (Xetra)", "Europe/Berlin", 540, 1050),
    "XSHG": Exchange("Shanghai and Shenzhen", "Asia/Shanghai", 570, 900, (690, 780)),
    "XHKG": Exchange("Hong Kong", "Asia/Hong_Kong", 570, 960, (720, 780)),
    "XTKS": Exchange("Tokyo", "Asia/Tokyo", 540, 930, (690, 750)),
    "XBOM": Exchange("Mumbai", "Asia/Kolkata", 555, 930),
    "XASX": Exchange("Sydney", "Australia/Sydney", 600, 960),
    "XTSE": Exchange("Toronto", "America/Toronto", 570, 960),
    "XPAR": Exchange("Paris", "Europe/Paris", 540, 1050),
    "XAMS": Exchange("Amsterdam", "Europe/Amsterdam", 540, 1050),
    "XBRU": Exchange("Brussels", "Europe/Brussels", 540, 1050),
    "XLIS": Exchange("Lisbon", "Europe/Lisbon", 480, 990),
    "XMIL": Exchange("Milan", "Europe/Rome", 540, 1050),
    "XMAD": Exchange("Madrid", "Europe/Madrid", 540, 1050),
    "XSWX": Exchange("Zurich", "Europe/Zurich", 540, 1050),
    "XSTO": Exchange("Stockholm", "Europe/Stockholm", 540, 1050),
    "XCSE": Exchange("Copenhagen", "Europe/Copenhagen", 540, 1020),
    "XHEL": Exchange("Helsinki", "Europe/Helsinki", 600, 1110),
    "XOSL": Exchange("Oslo", "Europe/Oslo", 540, 980),
    "XWAR": Exchange("Warsaw", "Europe/Warsaw", 540, 1020),
    "XWBO": Exchange("Vienna", "Europe/Vienna", 540, 1050),
    "XDUB": Exchange("Dublin", "Europe/Dublin", 480, 990),
    "XIST": Exchange("Istanbul", "Europe/Istanbul", 600, 1080),
    "XSES": Exchange("Singapore", "Asia/Singapore", 540, 1020),
    "XTAI": Exchange("Taipei", "Asia/Taipei", 540, 810),
    "XIDX": Exchange("Jakarta", "Asia/Jakarta", 540, 950),
    "XKLS": Exchange("Kuala Lumpur", "Asia/Kuala_Lumpur", 540, 1020),
    "XBKK": Exchange("Bangkok", "Asia/Bangkok", 600, 990),
    "XSAU": Exchange("Riyadh", "Asia/Riyadh", 600, 900),
    "XNZE": Exchange("Wellington", "Pacific/Auckland", 600, 1005),
    "XJSE": Exchange("Johannesburg", "Africa/Johannesburg", 540, 1020),
    "BVMF": Exchange("Sao Paulo", "America/Sao_Paulo", 600, 1080),
    "XMEX": Exchange("Mexico City", "America/Mexico_City", 510, 900),
    "CMES": Exchange("CME Globex", "America/Chicago", 1020, 1020),
    "XKRX": Exchange("Seoul", "Asia/Seoul", 540, 930),
}


def calendar_title(calendar: str) -> str:
    """Title of a calendar for a sentence or a label."""
    if calendar in _TITLES:
        return _TITLES[calendar]
    known = EXCHANGES.get(calendar)
    return f"sessions of {known.title} ({calendar})" if known else f"sessions of {calendar}"


def calendar_zone(calendar: str) -> str:
    """IANA name of the clock of a calendar; UTC where a market has no clock of its own."""
    if calendar in _TITLES:
        return "UTC"
    if calendar in EXCHANGES:
        return EXCHANGES[calendar].zone
    from kronos.calendars.records import records  # loads the slow library

    return records(calendar).zone


def check_zone(zone: str) -> str:
    """Returns the zone if it exists.

    Raises:
        InvalidCandles: It is not an IANA name.
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise InvalidCandles(
            f"Unknown time zone {zone!r}; give an IANA name such as America/New_York or UTC."
        ) from exc
    return zone
