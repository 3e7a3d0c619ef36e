"""Where a server gets bars, events and leading markets from.

The library below knows no sources of data: what starts a server hands them in, the command
`kronos serve` and the application alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kronos.candles import Candles
from kronos.events import Leaders

__all__ = ["FeedBars", "Feeds"]


@dataclass(frozen=True, slots=True, eq=False)
class FeedBars:
    """Bars of a source.

    Attributes:
        candles: The bars.
        currency: Of the prices; may be empty.
        notes: Remarks on the bars, such as why they are older than they should be.
    """

    candles: Candles
    currency: str = ""
    notes: tuple[str, ...] = ()


class Feeds(Protocol):
    """What a server fetches; every call may take seconds, and any thread may call."""

    def bars(self, source: str, symbol: str, interval: str) -> FeedBars:
        """The bars of an instrument, as far back as a forecast needs them.

        Raises:
            KronosError: There is no such source or instrument, or it gives no bars.
        """

    def file(self, path: str) -> FeedBars:
        """The bars of a file of this machine.

        Raises:
            KronosError: It cannot be read, or holds no bars.
        """

    def page(self, source: str, symbol: str, interval: str) -> dict[str, str] | None:
        """Parameters of a link that name an instrument on the pages; None where there are none."""

    def prepare_events(self, candles: Candles, horizon: int) -> None:
        """Fetch the events around a forecast that this machine does not have."""

    def leaders(self, candles: Candles) -> Leaders:
        """The leading markets up to the last of these bars."""

    def faults(self) -> Mapping[str, int]:
        """Failed fetches of this process, by class of error."""
