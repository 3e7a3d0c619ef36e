"""Bars, events and leading markets for servers that commands start.

Here and not in `kronos.api`: the library below the command line knows no sources of data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kronos.cli.events import fetch_calendar, fetch_leaders
from kronos.cli.terminal import read_bytes

if TYPE_CHECKING:
    from kronos.api.feeds import FeedBars
    from kronos.candles import Candles
    from kronos.events import Leaders

__all__ = ["OTHER_EXCHANGE", "SourceFeeds"]

OTHER_EXCHANGE = "Another exchange"
"""What the pages call a source that is not in their short list; a test compares."""


class SourceFeeds:
    """The sources of this installation; see `kronos.api.feeds.Feeds`."""

    def bars(self, source: str, symbol: str, interval: str) -> FeedBars:
        """See `Feeds.bars`."""
        from data_sources.registry import open_source
        from kronos.api.feeds import FeedBars

        found = open_source(source).fetch(symbol, interval=interval)
        notes = (*found.notes, *filter(None, [found.stale]))
        return FeedBars(found.candles, found.instrument.currency, notes)

    def file(self, path: str) -> FeedBars:
        """See `Feeds.file`."""
        from data_sources.csv.reader import MAX_BYTES, read_csv
        from kronos.api.feeds import FeedBars

        reading = read_csv(read_bytes(path, limit=MAX_BYTES + 1), Path(path).name)
        return FeedBars(reading.candles, notes=tuple(reading.report.lines()))

    def page(self, source: str, symbol: str, interval: str) -> dict[str, str] | None:
        """See `Feeds.page`."""
        from data_sources.registry import exchange_titles, source_titles
        from data_sources.samples import SAMPLES

        if source == "samples":
            titles = {(each.symbol, each.interval): each.title for each in SAMPLES.values()}
            title = titles.get((symbol, interval))
            return None if title is None else {"data": title}
        where = {"data": "Ticker", "symbol": symbol, "interval": interval}
        known = source_titles().get(source)
        if known is not None:
            return where | {"source": known}
        other = exchange_titles().get(source)
        return None if other is None else where | {"source": OTHER_EXCHANGE, "exchange": other}

    def prepare_events(self, candles: Candles, horizon: int) -> None:
        """See `Feeds.prepare_events`."""
        fetch_calendar(candles, horizon)

    def leaders(self, candles: Candles) -> Leaders:
        """See `Feeds.leaders`."""
        return fetch_leaders(candles)

    def faults(self) -> Mapping[str, int]:
        """See `Feeds.faults`."""
        from data_sources.cache.cache import fetch_faults

        return fetch_faults()
