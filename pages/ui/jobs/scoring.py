"""Scoring of stored forecasts while the application runs: due bars are fetched once an hour."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from kronos.candles import Candles
from kronos.errors import InvalidRequest, KronosError
from kronos.evaluation.bands import BandCount
from kronos.store.switch import is_off
from pages.ui.jobs.services import Service

if TYPE_CHECKING:
    from kronos.store.resolving import Due, Resolved

FIRST_AFTER = 90.0
"""Seconds after which the first run begins: until then the first visitor has the machine."""
EVERY = 3600.0
LONGEST = 24 * 3600.0
"""Seconds between runs at most, when every run fails."""
LEAST = 60.0
"""Seconds between runs at least, however often the button is pressed."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scored:
    """Summary of a run.

    Attributes:
        at: When it ended, UTC.
        n_series: Series whose bars were requested.
        n_steps: Steps recorded.
        n_failed: Series that could not be fetched.
        problem: Why the run itself, or its first series, failed; empty otherwise.
    """

    at: pd.Timestamp
    n_series: int = 0
    n_steps: int = 0
    n_failed: int = 0
    problem: str = ""


class Scorer:
    """One thread that scores once an hour, or on request. Any thread may call.

    Attributes:
        last: The last run; None before the first.
        is_running: Whether one is under way.
        bands: How often 80% bands of the store held, as of the last run.
    """

    def __init__(self, *, first_after: float = FIRST_AFTER) -> None:
        """Args:
        first_after: Seconds until the first run.
        """
        self.last: Scored | None = None
        self.is_running = False
        self.bands: list[BandCount] = []
        self._wait = first_after
        self._requested = threading.Event()
        self._is_closed = False
        threading.Thread(target=self._work, name="scoring", daemon=True).start()

    def close(self) -> None:
        """End the thread, after the run under way."""
        self._is_closed = True
        self._requested.set()

    def score_now(self) -> bool:
        """Begin a run now; returns False where the last one ended a moment ago."""
        if self.last is not None and pd.Timestamp.now("UTC") - self.last.at < pd.Timedelta(
            seconds=LEAST
        ):
            return False
        self._requested.set()
        return True

    def _work(self) -> None:
        while True:
            self._requested.wait(self._wait)
            self._requested.clear()
            if self._is_closed:
                return
            self.is_running = True
            try:
                self.last = run_once()
                self.bands = count_held()
            # The boundary of the thread: an error that escaped would end all later runs.
            except Exception as error:
                logger.exception("Stored forecasts could not be scored")
                self.last = Scored(pd.Timestamp.now("UTC"), problem=str(error))
            finally:
                self.is_running = False
            self._wait = next_wait(self.last, self._wait)


@Service
def scorer() -> Scorer:
    """The scorer of this server."""
    return Scorer()


def next_wait(last: Scored, before: float) -> float:
    """Seconds until the next run: twice as long after one that failed."""
    failed = bool(last.problem) and last.n_failed == last.n_series
    return min(max(2 * before, EVERY), LONGEST) if failed else EVERY


def run_once() -> Scored:
    """Fetch the bars that are due, and score them; does nothing where the store is off."""
    if is_off():
        return Scored(pd.Timestamp.now("UTC"))
    from kronos.store import open_store
    from kronos.store.resolving import due_series, resolve

    try:
        store = open_store()
        series = [due for due in due_series(store) if _is_source(due.source)]
        return _scored(resolve(store, series, fetch))
    except KronosError as error:
        return Scored(pd.Timestamp.now("UTC"), problem=str(error))


def count_held() -> list[BandCount]:
    """How often 80% bands of the store held; nothing where the store is off or cannot be read."""
    if is_off():
        return []
    from kronos.store import open_store
    from kronos.store.record import count_bands

    try:
        return count_bands(open_store())
    except KronosError as error:
        logger.warning("The bands of the store could not be counted: %s", error)
        return []


def fetch(due: Due) -> Candles:
    """Bars of a series from its source."""
    from data_sources.registry import open_source

    source = open_source(due.source)
    return source.fetch(due.instrument, interval=due.interval, start=due.since).candles


def _is_source(name: str) -> bool:
    """Whether it has later bars; files have none."""
    from data_sources.registry import open_source

    try:
        open_source(name)
    except InvalidRequest:
        return False
    return True


def _scored(resolved: Resolved) -> Scored:
    first = next(iter(resolved.failures.items()), None)
    problem = "" if first is None else f"{first[0].instrument} {first[0].interval}: {first[1]}"
    return Scored(
        pd.Timestamp.now("UTC"),
        resolved.n_series,
        sum(resolved.report.recorded.values()),
        len(resolved.failures),
        problem,
    )
