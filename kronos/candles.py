"""Candles: the schema of OHLCV bars for the whole project."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kronos.calendars import future_timestamps, place_bars
from kronos.calendars.exchanges import ALWAYS_OPEN, check_zone
from kronos.calendars.intervals import INTERVALS, infer_interval, interval_width, is_intraday
from kronos.errors import InvalidCandles
from kronos.forecast import COLUMNS
from kronos.frames import Table, as_frame
from kronos.risk import years_of

__all__ = [
    "COLUMNS",
    "INTERVALS",
    "PRICES",
    "Candles",
    "Split",
    "fill_volume",
    "infer_interval",
    "shared_times",
]

PRICES = COLUMNS[:4]
_MOST = 1e50  # beyond, what models and figures compute of them may overflow


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """OHLCV bars of one instrument.

    Attributes:
        frame: (T, 6) float64, columns `COLUMNS`, indexed by the bars' open times: a strictly
            increasing DatetimeIndex in UTC named "timestamp". Prices are positive with
            low <= open, close <= high. Volume and amount are 0 where they are not known.
        interval: Width of a bar, one of `INTERVALS`: 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w, ...
        zone: IANA name of the exchange's own clock; calendar features are read on it. Daily
            and weekly bars are stamped with their date's midnight on this clock.
        calendar: "24/7", "fx", "metals", "weekdays", or the exchange_calendars code of the exchange
            (XNYS, ...).
        symbol: Name to show.
        source: Source of the bars.

    Raises:
        InvalidCandles: On construction, if the schema is broken; the message names the first row
            (0 is the oldest bar) and column.
    """

    frame: pd.DataFrame
    interval: str
    zone: str
    calendar: str
    symbol: str
    source: str

    def __post_init__(self) -> None:
        interval_width(self.interval)
        check_zone(self.zone)
        _check_index(self.frame)
        _check_values(self.frame)

    @classmethod
    def from_frame(
        cls,
        frame: Table,
        *,
        symbol: str = "series",
        interval: str | None = None,
        zone: str | None = None,
        calendar: str | None = None,
        source: str = "DataFrame",
    ) -> Candles:
        """Candles of a table; missing facts are inferred from the bars.

        Args:
            frame: A table of pandas, polars or Arrow with columns open, high, low, close and
                optionally volume and amount, in any case and order; further columns are ignored.
                Rows are indexed by open time, or have a
                column timestamps, timestamp, datetime, date or time. Missing volume is read as
                0; missing amount as volume times the mean of the four prices.
            symbol: Name to show; a ticker helps to find the calendar.
            interval: Width of a bar; default: the most frequent spacing.
            zone: Clock of naive timestamps, and of the exchange; default: that of the calendar.
            calendar: Default: inferred from symbol and bars.
            source: Source of the bars.

        Raises:
            InvalidCandles: A column is missing or a value breaks the schema; nothing is repaired.
        """
        frame = as_frame(frame)
        named = frame.rename(columns={name: str(name).strip().lower() for name in frame.columns})
        index = _time_index(named)
        missing = [name for name in PRICES if name not in named.columns]
        if missing:
            raise InvalidCandles(
                f"The table has no column {', '.join(missing)}; it has "
                f"{', '.join(map(str, frame.columns))}."
            )
        interval = interval or infer_interval(index)
        placed = place_bars(index, interval=interval, symbol=symbol, zone=zone, calendar=calendar)
        values = pd.DataFrame(index=pd.DatetimeIndex(placed.index, name="timestamp"))
        for name in COLUMNS:
            if name in named.columns:
                values[name] = pd.to_numeric(named[name], errors="coerce").to_numpy(float)
        return cls(fill_volume(values), interval, placed.zone, placed.calendar, symbol, source)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def local_index(self) -> pd.DatetimeIndex:
        """(T,) open times on the exchange's own clock, the source of calendar features."""
        return _index(self.frame).tz_convert(self.zone)

    @property
    def width(self) -> pd.Timedelta:
        """Width of a bar."""
        return interval_width(self.interval)

    @property
    def bar_years(self) -> float:
        """Length of a bar in years of trading; see `kronos.risk.years_of`."""
        bars_a_day = float(self.local_index.normalize().value_counts().median())
        return years_of(
            self.width / pd.Timedelta(days=1),
            bars_a_day=bars_a_day,
            is_open_always=self.calendar == ALWAYS_OPEN,
        )

    @property
    def has_volume(self) -> bool:
        """Whether any bar has a volume; without, the whole column is 0."""
        return bool((self.frame["volume"] > 0).any())

    def slice(self, start: int | None = None, stop: int | None = None) -> Candles:
        """Bars by position, as in a list slice; at least one bar must remain."""
        frame = self.frame.iloc[start:stop]
        if frame.empty:
            return replace(self, frame=frame)  # raises with the reason
        # Neighbouring bars of valid candles are valid; a second check would take longer than most
        # uses of a slice.
        part = copy(self)
        object.__setattr__(part, "frame", frame)
        return part

    def at_origin(self, origin: pd.Timestamp | int, *, n_actuals: int | None = None) -> Split:
        """The bars up to an origin, which a forecast may read, and the actual bars after it.

        Args:
            origin: Position of the last bar that is known (negative counts from the end), or a
                timestamp: then the last bar opening at or before it.
            n_actuals: Most bars after the origin; None for all.

        Raises:
            InvalidCandles: No bar lies at or before the origin.
        """
        position = self.position_of(origin)
        end = None if n_actuals is None else position + 1 + n_actuals
        return Split(
            history=self.slice(None, position + 1), actuals=self.frame.iloc[position + 1 : end]
        )

    def position_of(self, origin: pd.Timestamp | int) -> int:
        """Position of the bar at an origin, from 0; see `at_origin`."""
        if isinstance(origin, pd.Timestamp):
            moment = origin.tz_localize(self.zone) if origin.tz is None else origin
            position = int(_index(self.frame).searchsorted(moment.tz_convert("UTC"), side="right"))
            position -= 1
        else:
            position = origin + len(self) if origin < 0 else origin
        if not 0 <= position < len(self):
            raise InvalidCandles(
                f"No bar at the origin {origin}; the bars run from {self.frame.index[0]} to "
                f"{self.frame.index[-1]}."
            )
        return position

    def bars_at(self, stamps: pd.DatetimeIndex) -> pd.DataFrame:
        """(H, 6) bars that open at these times, NaN where there is none.

        Args:
            stamps: (H,) times; without a zone they are on the exchange's clock.
        """
        if stamps.tz is None:
            stamps = stamps.tz_localize(self.zone, ambiguous="NaT", nonexistent="shift_forward")
        return self.frame.reindex(stamps.tz_convert("UTC"))

    def future(self, n: int) -> pd.DatetimeIndex:
        """(n,) open times, in UTC, of the bars after the last one."""
        return future_timestamps(
            _index(self.frame), n, interval=self.interval, calendar=self.calendar, zone=self.zone
        )


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Candles cut at an origin.

    Attributes:
        history: Bars up to and including the origin.
        actuals: (H, 6) frame of the bars after it, in the schema of `Candles.frame`; may be
            empty.
    """

    history: Candles
    actuals: pd.DataFrame


def shared_times(local: pd.DatetimeIndex, interval: str) -> pd.DatetimeIndex:
    """Times without a zone that align bars of several exchanges.

    Args:
        local: (T,) open times on the exchange's own clock.
        interval: Width of a bar.

    Returns:
        (T,) open times in UTC, or the dates of bars of a day or more.
    """
    if is_intraday(interval):
        return local.tz_convert("UTC").tz_localize(None).as_unit("ns")
    return local.tz_localize(None).normalize().as_unit("ns")


def fill_volume(values: pd.DataFrame) -> pd.DataFrame:
    """All six columns, with missing volume and amount filled; see `Candles.from_frame`."""
    filled = values.copy()
    if "volume" not in filled:
        filled["volume"] = 0.0
        filled["amount"] = 0.0
    filled["volume"] = filled["volume"].fillna(0.0)
    estimate = filled["volume"] * filled[list(PRICES)].mean(axis=1)
    filled["amount"] = filled["amount"].fillna(estimate) if "amount" in filled else estimate
    return filled[list(COLUMNS)].astype(float)


def _index(frame: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(frame.index)


def _time_index(frame: pd.DataFrame) -> pd.DatetimeIndex:
    if isinstance(frame.index, pd.DatetimeIndex):
        return frame.index
    for name in ("timestamps", "timestamp", "datetime", "date", "time"):
        if name in frame.columns:
            try:
                return pd.DatetimeIndex(pd.to_datetime(frame[name]))
            except (ValueError, TypeError) as exc:
                raise InvalidCandles(f"Column {name} does not hold timestamps: {exc}.") from exc
    raise InvalidCandles(
        "The table has no timestamps: index it by a DatetimeIndex or add a column 'timestamp'."
    )


def _check_index(frame: pd.DataFrame) -> None:
    index = frame.index
    if tuple(frame.columns) != COLUMNS:
        raise InvalidCandles(
            f"Candles have the columns {', '.join(COLUMNS)}, found "
            f"{', '.join(map(str, frame.columns))}."
        )
    if not isinstance(index, pd.DatetimeIndex) or str(index.tz) != "UTC":
        raise InvalidCandles(
            "Candles are indexed by a DatetimeIndex in UTC, found "
            f"{type(index).__name__} of {index.dtype}."
        )
    if not len(index):
        raise InvalidCandles("Candles need at least one bar, found none.")
    if index.hasnans:
        raise InvalidCandles(f"Row {int(np.argmax(index.isna()))} has no timestamp.")
    if not index.is_monotonic_increasing or not index.is_unique:
        row = int(np.argmax(np.diff(index.asi8) <= 0)) + 1
        raise InvalidCandles(
            f"Timestamps must increase: row {row} ({index[row]}) does not come after row "
            f"{row - 1} ({index[row - 1]}). Sort the rows and drop duplicates."
        )


def _check_values(frame: pd.DataFrame) -> None:
    wrong_types = [name for name in COLUMNS if frame[name].dtype != np.float64]
    if wrong_types:
        raise InvalidCandles(f"Columns {', '.join(wrong_types)} must hold float64 numbers.")
    values = frame.to_numpy()
    _refuse(frame, ~np.isfinite(values), "a finite number")
    prices = np.arange(values.shape[1])[None, :] < len(PRICES)
    _refuse(frame, prices & (values <= 0), "above 0")
    _refuse(frame, values < 0, "at least 0")
    _refuse(frame, values > _MOST, f"at most {_MOST:g}")
    opens, high, low, close = values[:, :4].T
    broken = np.zeros(values.shape, bool)
    broken[:, 1] = high < np.maximum(opens, close)
    broken[:, 2] = low > np.minimum(opens, close)
    _refuse(frame, broken, "such that low <= open, close <= high")


def _refuse(frame: pd.DataFrame, broken: np.ndarray, rule: str) -> None:
    if not broken.any():
        return
    row, column = (int(i) for i in np.argwhere(broken)[0])
    raise InvalidCandles(
        f"Row {row} ({frame.index[row]}), column {COLUMNS[column]}: must be {rule}, found "
        f"{frame.to_numpy()[row, column]:g} ({int(broken.any(axis=1).sum())} such row(s) in all)."
    )
