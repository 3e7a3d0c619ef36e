"""Sources and requests for the tests of the watchlist."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pandas as pd

from data_sources.samples import load_sample
from data_sources.source import Bars, Instrument
from kronos import models
from kronos.errors import UnknownSymbol
from kronos.forecast import SamplingParameters
from pages.ui.inputs.instruments import Entry
from pages.ui.watchlist.work import WatchRequest, WatchRun
from tests.patience import wait_until

PATIENCE = 60.0


class Slices:
    """A source of many instruments: S0, S1, ... are stretches of one sample."""

    name = "slices"
    title = "Slices"
    intervals = ("30m",)

    def __init__(self, faults: Iterator[Exception | None] | None = None) -> None:
        """Args:
        faults: What the next requests raise, None for a good answer; then all is well.
        """
        self.asked: list[str] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._faults = faults or iter(())
        self._candles = load_sample("BTCUSD_30m")

    def suggest(self, text: str, limit: int = 10) -> list[Instrument]:
        return []

    def fetch(
        self,
        symbol: str,
        *,
        interval: str,
        adjusted: bool = True,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> Bars:
        with self._lock:
            self.asked.append(symbol)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            fault = next(self._faults, None)
        try:
            if fault is not None:
                raise fault
            if not symbol[1:].isdigit():
                raise UnknownSymbol(f"There is no instrument {symbol}.")
            stop = len(self._candles) - int(symbol[1:])
            candles = self._candles.slice(stop - 200, stop)
        finally:
            with self._lock:
                self._at_once -= 1
        newest = pd.Timestamp(candles.frame.index[-1])
        return Bars(candles, Instrument(self.name, symbol, f"Slice {symbol}"), newest)


def request(*symbols: str, files: tuple[Entry, ...] = (), **options: int) -> WatchRequest:
    """A small request to `Slices`."""
    model = models.available()[0]
    settings = {"sample_count": 10, "seed": 1} | options
    horizon = settings.pop("horizon", 3)
    return WatchRequest(
        entries=(*(Entry(symbol, "30m") for symbol in symbols), *files),
        source="slices",
        model=model.name,
        revision=model.revision,
        horizon=horizon,
        sampling=SamplingParameters(**settings),
    )


def wait_for_end(run: WatchRun) -> None:
    wait_until(lambda: run.is_final, PATIENCE)
