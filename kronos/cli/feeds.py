"""Bars, events and leading markets for servers that commands start.

Here and not in `kronos.api`: the library below the command line knows no sources of data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kronos.cli.events import fetch_calendar, fetch_leaders

if TYPE_CHECKING:
    from kronos.api.feeds import FeedBars
    from kronos.candles import Candles
    from kronos.events import Leaders

__all__ = ["SourceFeeds"]


class SourceFeeds:
    """The sources of this installation; see `kronos.api.feeds.Feeds`."""

    def bars(self, source: str, symbol: str, interval: str) -> FeedBars:
        """See `Feeds.bars`."""
        from data_sources.registry import open_source
        from kronos.api.feeds import FeedBars

        found = open_source(source).fetch(symbol, interval=interval)
        notes = (*found.notes, *filter(None, [found.stale]))
        return FeedBars(found.candles, found.instrument.currency, notes)

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
