"""A line of the watchlist: how far it is, and the summary that is kept of its forecast."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from data_sources.source import Bars
from kronos.errors import KronosError
from kronos.forecast import Forecast

logger = logging.getLogger(__name__)

LEVELS = (0.10, 0.50, 0.90)
N_RECENT = 32
"""Closes kept before the origin, for the small picture."""

RowState = Literal["waiting", "fetching", "forecasting", "done", "failed"]


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What is kept of a forecast; the paths are not.

    Attributes:
        symbol: Ticker as the source spells it.
        name: What it is called; may be empty.
        currency: Of the prices; may be empty.
        interval: Width of a bar.
        recent: (up to `N_RECENT`,) closes up to and including the last.
        quantiles: (3, H) quantiles of the close at `LEVELS`.
        timestamps: (H,) open times of the forecast bars.
        last_close: Close of the newest bar.
        probability_up: Share of paths that end above it.
        expected_move: Mean size of the move at the horizon, as a share of it.
        newest: Open time of the newest bar, UTC.
        fetched_at: When the source gave the bars, UTC.
        stale: Why older bars are used; empty where they are not.
        notes: What a reader must know of the bars.
        context_hash: Digest of what the model read.
        n_context: Bars it read.
    """

    symbol: str
    name: str
    currency: str
    interval: str
    recent: np.ndarray
    quantiles: np.ndarray
    timestamps: pd.DatetimeIndex
    last_close: float
    probability_up: float
    expected_move: float
    newest: pd.Timestamp
    fetched_at: pd.Timestamp
    stale: str
    notes: tuple[str, ...]
    context_hash: str
    n_context: int

    @property
    def moves(self) -> tuple[float, float, float]:
        """p10, p50 and p90 at the horizon as shares of the last close: 0.02 is 2% up."""
        low, median, high = (self.quantiles[:, -1] / self.last_close - 1.0).tolist()
        return low, median, high


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    Attributes:
        symbol: As it was asked for, or the name of the file.
        state: How far it is.
        summary: Of its forecast, once done.
        problem: Why it failed, plain text.
    """

    symbol: str
    state: RowState = "waiting"
    summary: Summary | None = None
    problem: str = ""

    @property
    def is_final(self) -> bool:
        return self.state in ("done", "failed")


def summarise(bars: Bars, forecast: Forecast) -> Summary:
    """The little that a line shows and exports."""
    candles, instrument = bars.candles, bars.instrument
    return Summary(
        symbol=instrument.symbol,
        name=instrument.name,
        currency=instrument.currency,
        interval=candles.interval,
        recent=candles.frame["close"].to_numpy(dtype=float)[-N_RECENT:].copy(),
        quantiles=forecast.quantile(LEVELS),
        timestamps=forecast.timestamps,
        last_close=forecast.last_close,
        probability_up=float(forecast.probability_up()[-1]),
        expected_move=float(forecast.expected_move()[-1]),
        newest=pd.Timestamp(candles.frame.index[-1]),
        fetched_at=bars.fetched_at,
        stale=bars.stale,
        notes=bars.notes,
        context_hash=forecast.context_hash,
        n_context=forecast.n_context,
    )


def problem_text(error: Exception) -> str:
    """An error as one line of plain text; of one that nobody foresaw only the kind is told."""
    if isinstance(error, KronosError):
        return " ".join(str(error).split())
    logger.warning("A line of a watchlist failed.", exc_info=error)
    return (
        f"Something unforeseen failed ({type(error).__name__}); the server's log has the details."
    )
