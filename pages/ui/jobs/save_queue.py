"""Keeping the forecasts that people run, beside everything else: a page never waits for it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from kronos.candles import Candles
from kronos.errors import InvalidRequest, StoreError
from kronos.forecast import Forecast

ROOM = 256
"""Forecasts that wait to be stored; more than that are let go, and counted."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A forecast to be stored.

    Attributes:
        forecast: What was forecast.
        candles: What it was made of.
        source: Name of the source of the candles.
    """

    forecast: Forecast
    candles: Candles
    source: str


class Keeper:
    """Stores forecasts in a thread of its own. Any thread may call.

    Attributes:
        problem: Why the last forecast could not be stored; empty if it could.
        n_lost: Forecasts that found no room.
    """

    def __init__(self, save: Callable[[Kept], object]) -> None:
        """Args:
        save: Stores one; raises `StoreError` where the store cannot be used.
        """
        self._save = save
        self._waiting: queue.Queue[Kept] = queue.Queue(ROOM)
        self.problem = ""
        self.n_lost = 0
        threading.Thread(target=self._work, name="saving", daemon=True).start()

    def put(self, kept: Kept) -> None:
        """Has a forecast stored as soon as there is time; returns at once."""
        try:
            self._waiting.put_nowait(kept)
        except queue.Full:
            self.n_lost += 1
            self.problem = f"{self.n_lost} forecasts were not kept: the store was too slow."

    def wait(self) -> None:
        """Until everything is stored that was put before."""
        self._waiting.join()

    def _work(self) -> None:
        while True:
            kept = self._waiting.get()
            try:
                self._save(kept)
                self.problem = ""
            except (StoreError, InvalidRequest) as error:
                self.problem = str(error)
                logger.warning("A forecast was not kept: %s", error)
            finally:
                self._waiting.task_done()


def save_kept(kept: Kept) -> None:
    """Stores a forecast in the store of this machine."""
    import kronos.store

    kronos.store.save(kept.forecast, kept.candles, source=kept.source)
