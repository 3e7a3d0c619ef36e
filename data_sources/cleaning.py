"""From a vendor's rows to usable bars: in order, resampled, finished.

Nothing is invented: what cannot be used is left out, and every such step gives a note.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from kronos.calendars.intervals import is_intraday
from kronos.calendars.spans import bar_end
from kronos.candles import PRICES, Candles
from kronos.errors import UnknownSymbol

__all__ = [
    "LATEST_DELAY",
    "UNFINISHED",
    "WILD_FACTOR",
    "as_half_hours",
    "as_weeks",
    "clean_bars",
    "finished_bars",
    "wild_bars",
    "without_wild_bars",
]

LATEST_DELAY = pd.Timedelta(minutes=30)
"""How far behind the market the slowest quotes are."""
UNFINISHED = "is not finished and was left out"
"""End of the note on an open bar; such a note is out of date when the bar has ended."""
_ROUNDING = 1e-6  # relative error that rescaling and rounding of prices leaves
# Share of the close by which open or close may lie outside high and low and still be a price that
# was traded; beyond it one of the four is wrong, and nothing says which.
_SMALL = 0.02
WILD_FACTOR = 50.0
"""By how much a price may lie outside the prices of the neighbouring bars and still be one."""
_NEIGHBOURS = 3  # bars on either side; two wild ones among them do not hide each other
_NAMED = 3  # wild bars that a note names
_HALF_HOUR = pd.Timedelta(minutes=30)


def clean_bars(bars: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Usable bars, sorted, one for each time.

    Left out and counted: bars without one of the four prices, with a price that is not above 0,
    with open or close far outside high and low, and with a price far outside those of the bars
    before and after (`wild_bars`). Where open or close lie slightly outside,
    high and low are widened to them. Of two bars of one time the later row is used. A volume that
    is missing or negative becomes 0, which means unknown.

    Args:
        bars: Columns open, high, low, close, volume; aware open times, in any order.

    Returns:
        The usable bars, and a note on each kind of change.
    """
    notes: list[str] = []
    prices = bars[list(PRICES)].to_numpy(float)
    missing = ~np.isfinite(prices).all(axis=1)
    worthless = ~missing & (prices <= 0).any(axis=1)
    _note_left_out(notes, bars.index[missing], "without all four prices")
    _note_left_out(notes, bars.index[worthless], "with a price that is not above 0")
    usable = bars[~missing & ~worthless]
    usable = _without_repeats(usable, notes).sort_index()
    usable = _with_wide_ranges(usable, notes)
    usable, wild = without_wild_bars(usable)
    notes += wild
    volume = usable["volume"].to_numpy(float)
    is_known = np.isfinite(volume) & (volume > 0)
    return usable.assign(volume=np.where(is_known, volume, 0.0)), notes


def wild_bars(bars: pd.DataFrame) -> np.ndarray:
    """Which bars have a price that none of their neighbours explains.

    The median close of the three bars before and that of the three bars after span a range. A
    price more than `WILD_FACTOR` above or below that range is wild. So a level that lasts, such as
    that after a split or a collapse, is never wild, whatever its size, and neither is a price
    between two levels. At either end of a series only one side is known.

    Args:
        bars: (T, ...) columns open, high, low, close, all above 0; in order of time.

    Returns:
        (T,) bool; nothing is wild with fewer than three neighbours.
    """
    prices = bars[list(PRICES)].to_numpy(float)
    n_bars = len(prices)
    if n_bars <= _NEIGHBOURS:
        return np.zeros(n_bars, bool)
    # Extremes of the medians are among closes, so a series without wild extremes is done at once.
    low, high = prices.min(), prices.max()
    if high <= low * WILD_FACTOR:
        return np.zeros(n_bars, bool)
    blank = np.full(_NEIGHBOURS, np.nan)
    padded = np.concatenate([blank, prices[:, 3], blank])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBOURS)
    sides = np.stack([windows[:n_bars], windows[_NEIGHBOURS + 1 :]])  # (2, T, 3)
    known = np.isfinite(sides).sum(axis=2, keepdims=True)
    ranked = np.sort(sides, axis=2)  # NaN last, so it is the median of a side without bars
    middle = [np.take_along_axis(ranked, k, axis=2)[..., 0] for k in ((known - 1) // 2, known // 2)]
    medians = middle[0] / 2 + middle[1] / 2
    top, bottom = np.fmax(*medians), np.fmin(*medians)
    # The quotient of two prices can be infinite, their comparison cannot.
    with np.errstate(over="ignore"):
        too_high = prices.max(axis=1) > top * WILD_FACTOR
    return too_high | (prices.min(axis=1) < bottom / WILD_FACTOR)


def without_wild_bars(bars: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The bars without those that `wild_bars` finds, and a note that names them.

    Args:
        bars: Columns open, high, low, close; indexed by aware open times, in order.
    """
    is_wild = wild_bars(bars)
    if not is_wild.any():
        return bars, []
    found = bars.loc[is_wild, list(PRICES)]
    named = [
        f"{stamp:%Y-%m-%d %H:%M} UTC with open {row[0]:g}, high {row[1]:g}, low {row[2]:g} and "
        f"close {row[3]:g}"
        for stamp, row in zip(
            pd.DatetimeIndex(found.index[:_NAMED]).tz_convert("UTC"), found.to_numpy(), strict=False
        )
    ]
    more = f"; and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    note = (
        f"{_count(len(found))} left out, with a price more than {WILD_FACTOR:.0f} times outside "
        f"those of the bars before and after: {'; '.join(named)}{more}."
    )
    return bars[~is_wild], [note]


def _without_repeats(bars: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    unique = bars[~bars.index.duplicated(keep="last")]
    if len(unique) < len(bars):
        differing = bars.reset_index().drop_duplicates()
        n_conflicts = int(differing[bars.index.name or "index"].duplicated().sum())
        if n_conflicts:
            notes.append(
                f"{_count(n_conflicts)} given twice with different values; the later one is used."
            )
    return unique


def _with_wide_ranges(bars: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    opens, high, low, close = bars[list(PRICES)].to_numpy(float).T
    top, bottom = np.maximum(opens, close), np.minimum(opens, close)
    outside = np.maximum(np.maximum(top - high, low - bottom), 0.0) / close
    # A high below the low is wrong however small the difference.
    is_wrong = (outside > _SMALL) | (high < low * (1 - _ROUNDING))
    _note_left_out(notes, bars.index[is_wrong], "with open or close far outside low and high")
    n_widened = int((~is_wrong & (outside > _ROUNDING)).sum())
    if n_widened:
        notes.append(
            f"{_count(n_widened)} given with open or close outside low and high; there "
            "high and low are widened to them."
        )
    return bars.assign(high=np.maximum(high, top), low=np.minimum(low, bottom))[~is_wrong]


def _note_left_out(notes: list[str], stamps: pd.Index, what: str) -> None:
    if not len(stamps):
        return
    days = pd.DatetimeIndex(stamps)
    first, last = days.min().date(), days.max().date()
    span = f"{first}" if first == last else f"{first} to {last}"
    notes.append(f"{_count(len(stamps))} left out, {what} ({span}).")


def _count(n: int) -> str:
    return f"{n:,} bars were" if n != 1 else "1 bar was"


def as_weeks(days: pd.DataFrame) -> pd.DataFrame:
    """Weekly bars of daily ones, Monday to Sunday, stamped with Monday's midnight.

    Args:
        days: Columns open, high, low, close, volume; in order, indexed by midnights on the
            exchange's own clock.
    """
    index = pd.DatetimeIndex(days.index)
    dates = index.tz_localize(None).normalize()
    weeks = _resampled(days, dates - pd.to_timedelta(dates.day_of_week, unit="D"))
    stamps = pd.DatetimeIndex(weeks.index)
    weeks.index = stamps.tz_localize(index.tz, ambiguous=True, nonexistent="shift_forward")
    return weeks


def as_half_hours(bars: pd.DataFrame, opening: pd.Timestamp) -> pd.DataFrame:
    """Bars of 30 minutes, counted from the opening of a session.

    The first one is left out if the bars begin in the middle of it.

    Args:
        bars: Columns open, high, low, close, volume, of a width that divides 30 minutes; in
            order, indexed by aware open times.
        opening: When a session opens: some open at a quarter past the hour.
    """
    index = pd.DatetimeIndex(bars.index)
    phase = (opening.tz_convert("UTC") - pd.Timestamp(0, tz="UTC")) % _HALF_HOUR
    opens = (index.tz_convert("UTC") - phase).floor("30min") + phase
    wider = _resampled(bars, opens)
    wider.index = pd.DatetimeIndex(wider.index).tz_convert(index.tz)
    return wider.iloc[1:] if len(index) and index[0] != opens[0] else wider


def _resampled(bars: pd.DataFrame, opens: pd.DatetimeIndex) -> pd.DataFrame:
    return bars.groupby(opens).agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    )


def finished_bars(
    candles: Candles, now: pd.Timestamp, *, last_trade: pd.Timestamp | None = None
) -> tuple[Candles, list[str]]:
    """The bars that no longer change, and a note on the first open one, if any.

    Args:
        candles: Bars, the last of which may be open.
        now: The source's own time, aware.
        last_trade: For a source whose quotes are delayed, the time of the latest trade it knows.
            A bar that ended is then complete once a later trade is known, or after
            `LATEST_DELAY`.

    Raises:
        UnknownSymbol: No bar is finished.
    """
    n_finished = len(candles)
    while n_finished:
        end = bar_end(
            candles.frame.index[n_finished - 1],
            interval=candles.interval,
            calendar=candles.calendar,
            zone=candles.zone,
        )
        is_known = last_trade is None or last_trade >= end or now >= end + LATEST_DELAY
        if now >= end and is_known:
            break
        n_finished -= 1
    if n_finished == len(candles):
        return candles, []
    if not n_finished:
        raise UnknownSymbol(
            f"{candles.symbol} has no finished bar of {candles.interval} there. Ask for an "
            "earlier start."
        )
    left_out = candles.local_index[n_finished]
    shown = f"{left_out:%Y-%m-%d %H:%M}" if is_intraday(candles.interval) else f"{left_out.date()}"
    return candles.slice(0, n_finished), [f"The bar of {shown} ({candles.zone}) {UNFINISHED}."]
