"""Context: the bars that a model reads, checked, with calendar fields and event rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import COLUMNS
from kronos.frames import Column, Table, as_column, as_frame
from kronos.nn.config import N_EVENT_CHANNELS

PRICES = slice(0, 4)
CLOSE, VOLUME, AMOUNT = 3, 4, 5
STD_FLOOR = 1e-5
"""What the published code adds to the standard deviation when it normalises values."""
RESOLUTION = 1e-7
"""A column that moves by less than this share of its mean counts as constant: its movement may be
rounding, of float32 or of the mean itself. At a price of 100 it is the published 1e-5."""

Stamps = Column
"""Times, as an index or a column."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The bars of one series that a model reads.

    Attributes:
        values: (T, 6) float64 candles in the units of the data.
        fields: (T, 5) calendar fields of the bars, as from `calendar_fields`.
        is_published: Whether values are normalised as the published code does, so that results
            depend on the units of price and volume.
    """

    values: np.ndarray
    fields: np.ndarray
    is_published: bool = False

    @property
    def mean(self) -> np.ndarray:
        """Mean of every column: (6,)."""
        return self.values.mean(axis=0)

    @property
    def scale(self) -> np.ndarray:
        """Divisor of every column: (6,), above 0."""
        if self.is_published:
            return self.values.std(axis=0) + STD_FLOOR
        return column_scale(self.values)

    def sha256(self) -> str:
        """SHA-256 of the exact bytes that the model reads."""
        digest = hashlib.sha256(np.ascontiguousarray(self.values, dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(self.fields, dtype="<i8").tobytes())
        return digest.hexdigest()


def column_scale(values: np.ndarray) -> np.ndarray:
    """Divisors that normalise windows, in the unit of each column.

    It is the standard deviation, without the published `STD_FLOOR`: an absolute number swallows a
    window whose prices are as small. No function that is exactly in proportion to the unit gives
    the published divisor for ordinary prices too; where the deviation is 1, they differ by 1e-5 of
    it (docs/adr/0021-the-unit-of-a-price.md).

    Args:
        values: (..., T, 6) candles in the units of the data.

    Returns:
        (..., 6), above 0. A constant column has `RESOLUTION` of its mean, and one of zeros, which
        has no unit, `STD_FLOOR`.
    """
    values = np.ascontiguousarray(values)  # another order in memory rounds sums differently
    scale = np.maximum(values.std(axis=-2), RESOLUTION * np.abs(values.mean(axis=-2)))
    return np.where(scale > 0, scale, STD_FLOOR)


def calendar_fields(stamps: pd.DatetimeIndex) -> np.ndarray:
    """Minute, hour, weekday, day and month of each stamp's wall clock: (T, 5) int64."""
    fields = (stamps.minute, stamps.hour, stamps.day_of_week, stamps.day, stamps.month)
    return np.stack([np.asarray(field, dtype=np.int64) for field in fields], axis=1)


def as_times(stamps: Stamps, what: str) -> pd.DatetimeIndex:
    """Times as a DatetimeIndex.

    Raises:
        InvalidCandles: They are numbers or no times, or some are missing.
    """
    index: Any = pd.Index(as_column(stamps))
    if not isinstance(index, pd.DatetimeIndex):
        if pd.api.types.is_numeric_dtype(index.dtype):
            raise InvalidCandles(
                f"{what} holds numbers, found {index[:3].tolist()}. Convert them to times with "
                "pd.to_datetime(..., unit=...), or pass the column of times."
            )
        try:
            index = pd.DatetimeIndex(index)
        except (TypeError, ValueError) as exc:
            found = index[:3].tolist()
            raise InvalidCandles(f"{what} must hold times, found {found}: {exc}.") from exc
    if index.hasnans:
        row = int(np.flatnonzero(index.isna())[0])
        raise InvalidCandles(f"{what} has no time in row {row}; remove or fill the row.")
    return pd.DatetimeIndex(index)


def future_times(stamps: Stamps, *, after: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Times of the bars to forecast.

    Raises:
        InvalidCandles: They are no times, or do not increase from the last bar on.
        InvalidRequest: There are none.
    """
    future = as_times(stamps, "y_timestamp")
    if not len(future):
        raise InvalidRequest("y_timestamp is empty: give the times of the bars to forecast.")
    if not len(after):
        raise InvalidCandles("There are no candles to read.")
    if (future.tz is None) != (after.tz is None):
        raise InvalidCandles(
            "x_timestamp and y_timestamp must both have a time zone or both have none, found "
            f"{after.tz} and {future.tz}."
        )
    if not (future.is_monotonic_increasing and future.is_unique):
        raise InvalidCandles("y_timestamp must increase from bar to bar.")
    if future[0] <= after[-1]:
        raise InvalidCandles(
            f"y_timestamp must begin after the last candle, {after[-1]}; found {future[0]}."
        )
    return future


def read_context(df: Table, times: pd.DatetimeIndex, lookback: int) -> Context:
    """The last `lookback` bars of a table as the model's context; see `read_bars`."""
    values = read_bars(df, times, lookback)
    return Context(values, calendar_fields(times[-len(values) :]))


def read_bars(df: Table, times: pd.DatetimeIndex, lookback: int) -> np.ndarray:
    """The last `lookback` bars of a table: (T, 6) float64.

    Without a volume column, volume is 0. Without an amount column, amount is volume times the mean
    of open, high, low and close.

    Raises:
        InvalidCandles: A column is missing, a value is not a finite number, or the times do
            not match the rows.
    """
    df = as_frame(df)
    missing = [name for name in COLUMNS[PRICES] if name not in df.columns]
    if missing:
        raise InvalidCandles(
            f"Price columns {missing} not found; the frame has {list(map(str, df.columns))[:12]}."
        )
    if len(times) != len(df):
        raise InvalidCandles(f"{len(df)} candles but {len(times)} times in x_timestamp.")
    df = df.iloc[-lookback:]
    if len(df) < 2:
        raise InvalidCandles(f"A context needs at least 2 candles, found {len(df)}.")
    values = np.zeros((len(df), len(COLUMNS)))
    for i, name in enumerate(COLUMNS):
        if name in df.columns:
            try:
                values[:, i] = df[name].to_numpy(dtype=np.float64)
            except (TypeError, ValueError) as exc:
                raise InvalidCandles(
                    f"Column {name!r} holds something not a number: {exc}."
                ) from exc
    if "amount" not in df.columns:
        values[:, AMOUNT] = values[:, VOLUME] * values[:, PRICES].mean(axis=1)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise InvalidCandles(
            f"Input DataFrame contains NaN or infinite values: row {row} of column "
            f"{COLUMNS[column]!r} is {values[row, column]}. Drop or fill such rows."
        )
    return values


def require_positive_prices(values: np.ndarray) -> None:
    """Refuse prices of 0 and below, which have no returns, in bars (T, 6).

    Raises:
        InvalidCandles: The message names row and column.
    """
    bad = np.argwhere(values[:, PRICES] <= 0)
    if len(bad):
        row, column = bad[0]
        raise InvalidCandles(
            f"Prices must be above 0: row {row} of column {COLUMNS[column]!r} is "
            f"{values[row, column]}. Remove the row."
        )


def event_rows(
    events: Any, *, n_bars: int, n_read: int, horizon: int, n_alignments: int = 1
) -> np.ndarray:
    """Rows of the bars that are read, then of those to forecast.

    Args:
        events: (n_bars + H, 20) event channels, as from `kronos.events.event_channels`: of the
            bars of the table, then of those to forecast.
        n_bars: Bars of the table.
        n_read: Number of them that are read, the last ones.
        horizon: Bars to forecast, H.
        n_alignments: Number A of alignments, as of `ModelFacts.event_alignments`; their channels
            stand side by side.

    Returns:
        (n_read + H, 20 A) float32.

    Raises:
        InvalidRequest: They have another shape, or are not all finite numbers.
    """
    try:
        given = np.asarray(events, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"events must be an array of numbers: {error}.") from error
    n_channels = n_alignments * N_EVENT_CHANNELS
    wanted = (n_bars + horizon, n_channels)
    if given.shape != wanted:
        raise InvalidRequest(
            f"events must be {wanted}, the {n_channels} channels of each of the {n_bars} "
            f"bars given and then of the {horizon} to forecast; found {given.shape}."
        )
    # The model reads float32, in which larger numbers are infinite.
    bad = np.argwhere(~(np.abs(given) <= np.finfo(np.float32).max))
    if len(bad):
        row, channel = bad[0]
        raise InvalidRequest(
            f"events must be finite numbers: row {row} of channel {channel} is "
            f"{given[row, channel]}. A channel that has nothing to say is 0."
        )
    return given[n_bars - n_read :].astype(np.float32)


def rows_sha256(rows: np.ndarray) -> str:
    """SHA-256 of the exact bytes that the model reads."""
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<f4").tobytes()).hexdigest()
