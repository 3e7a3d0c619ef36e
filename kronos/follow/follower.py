"""A follower of many lines: when a bar of one closes, its forecast is made again.

`Follower.poll` starts what is due and returns what has happened; it never blocks, and while nobody
polls, nothing is started. Lines of equal bars share one fetch where their `fetch` goes through the
bar cache, and equal requests share one computation of the service.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from kronos.candles import Candles
from kronos.errors import (
    CheckpointError,
    IntervalUnavailable,
    InvalidCandles,
    InvalidRequest,
    KronosError,
    MissingExtra,
    NotOffered,
    RateLimited,
    UnknownSymbol,
)
from kronos.follow.alerts import Alert, AlertRule, AlertState
from kronos.follow.clock import BarClock
from kronos.follow.figures import Change, FanFigures
from kronos.forecast import Forecast
from kronos.request import ForecastRequest
from kronos.serving.jobs import Priority
from kronos.serving.service import ForecastService

__all__ = ["Fault", "FetchedBars", "FollowEvent", "Follower", "Known", "Line", "Made"]

logger = logging.getLogger(__name__)
# Errors that no later look mends, and those that none mends where the first look found them.
_FINAL = (CheckpointError, InvalidRequest, MissingExtra, NotOffered)
_FINAL_AT_FIRST = (IntervalUnavailable, InvalidCandles, UnknownSymbol)


class FetchedBars(Protocol):
    """Bars of a source, as `data_sources.source.Bars`."""

    @property
    def candles(self) -> Candles: ...

    @property
    def stale(self) -> str: ...


def _unchanged(forecast: Forecast, candles: Candles) -> Forecast:
    return forecast


@dataclass(frozen=True, slots=True)
class Known:
    """A forecast that was made elsewhere.

    Attributes:
        last: Open time of its last known bar, UTC.
        closes: When the bar after it is complete, UTC.
        figures: Its figures.
    """

    last: pd.Timestamp
    closes: pd.Timestamp
    figures: FanFigures


@dataclass(frozen=True, eq=False)
class Line:
    """What is followed.

    Attributes:
        name: Its name among the lines.
        fetch: Gives its bars, the newest complete one last.
        request: Makes the request of a forecast from them.
        rules: When to alert.
        known: The forecast that the line has already; None where the first look makes one.
        finish: Makes of the forecast and its candles the forecast that is reported, such as the
            calibrated one.
    """

    name: str
    fetch: Callable[[], FetchedBars]
    request: Callable[[FetchedBars], ForecastRequest]
    rules: tuple[AlertRule, ...] = ()
    known: Known | None = None
    finish: Callable[[Forecast, Candles], Forecast] = _unchanged


@dataclass(frozen=True, eq=False)
class Made:
    """A forecast that was made.

    Attributes:
        line: The line.
        request: The request.
        bars: The bars.
        forecast: The forecast.
        figures: Its figures.
        change: Against the forecast before; None for the first.
        alerts: What the rules found.
        n_skipped: Bars that came together with the newest one and were not forecast from.
        closes: When the next bar is complete, UTC.
    """

    line: Line
    request: ForecastRequest
    bars: FetchedBars
    forecast: Forecast
    figures: FanFigures
    change: Change | None
    alerts: tuple[Alert, ...]
    n_skipped: int
    closes: pd.Timestamp


@dataclass(frozen=True, eq=False)
class Fault:
    """Why there is no new forecast.

    Attributes:
        line: The line.
        words: What is wrong, as plain text.
        again: When the line looks again, UTC; None where it has ended.
        error: The error; None for a bar that has not come.
    """

    line: Line
    words: str
    again: pd.Timestamp | None
    error: Exception | None = None


FollowEvent = Made | Fault


class _State:
    def __init__(self, line: Line) -> None:
        self.line = line
        self.clock = BarClock()
        self.alerts = AlertState(line.rules)
        self.figures: FanFigures | None = None
        if line.known is not None:
            self.clock.resume(line.known.last, line.known.closes)
            self.figures = line.known.figures
        self.words = ""  # of the fault that was reported last
        self.has_ended = False
        self.work: Future[FollowEvent | None] | None = None


class Follower:
    """Follows lines. One thread calls its methods.

    Args:
        service: Makes the forecasts.
        executor: Runs the looks for bars, each of which blocks until its forecast is made.
        clock: Time of this machine, aware.
        priority: Class in which the forecasts wait.
    """

    def __init__(
        self,
        service: ForecastService,
        executor: Executor,
        *,
        clock: Callable[[], pd.Timestamp] = lambda: pd.Timestamp.now("UTC"),
        priority: Priority = Priority.BATCH,
    ) -> None:
        self._service = service
        self._executor = executor
        self._clock = clock
        self._priority = priority
        self._states: dict[str, _State] = {}

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines that have not ended, and those whose end has yet to be reported."""
        return tuple(
            state.line
            for state in self._states.values()
            if state.work is not None or not state.has_ended
        )

    @property
    def is_working(self) -> bool:
        """Whether a look is under way."""
        return any(state.work is not None for state in self._states.values())

    def follow(self, lines: Iterable[Line]) -> None:
        """Add lines; one of a known name takes the place of the earlier one."""
        for line in lines:
            self._states[line.name] = _State(line)

    def leave(self, name: str) -> None:
        """Follow a line no more; what is under way for it is not reported."""
        self._states.pop(name, None)

    def closes(self, name: str) -> pd.Timestamp | None:
        """When the next bar of a line is complete, UTC; None where that is not known."""
        state = self._states.get(name)
        return None if state is None else state.clock.closes

    def next_look(self) -> pd.Timestamp | None:
        """When something is due, UTC: now where it already is, None where nothing is left."""
        now = self._clock()
        waiting = [
            now if state.clock.due is None else max(now, state.clock.due)
            for state in self._states.values()
            if state.work is None and not state.has_ended
        ]
        return min(waiting, default=None)

    def poll(self) -> list[FollowEvent]:
        """What has happened since the last call; starts what is due."""
        found = []
        now = self._clock()
        for state in list(self._states.values()):
            if state.work is not None and state.work.done():
                event = state.work.result()
                state.work = None
                if event is not None:
                    found.append(event)
            if state.work is None and not state.has_ended and state.clock.is_due(now):
                state.work = self._executor.submit(self._look, state)
        return found

    # The rest runs in the threads of the executor, one for a state at a time.

    def _look(self, state: _State) -> FollowEvent | None:
        try:
            return self._update(state)
        except RateLimited as error:
            return self._fail(state, error, retry_after=error.retry_after)
        except _FINAL as error:
            return self._end(state, error)
        except _FINAL_AT_FIRST as error:
            return self._end(state, error) if state.figures is None else self._fail(state, error)
        # The boundary of the thread: an error that escaped would end the other lines as well.
        except Exception as error:  # noqa: BLE001
            return self._fail(state, error)

    def _update(self, state: _State) -> FollowEvent | None:
        line, clock = state.line, state.clock
        bars = line.fetch()
        n_new = clock.n_new(bars.candles)
        if not n_new:
            return self._await(state, bars)
        request = line.request(bars)
        raw: Forecast = self._service.run(request, priority=self._priority)
        forecast = line.finish(raw, bars.candles)
        before, figures = state.figures, FanFigures.of(forecast)
        alerts = tuple(state.alerts.check(figures, before, forecast))
        clock.take(bars.candles, self._clock())
        state.figures, state.words = figures, ""
        assert clock.closes is not None
        return Made(
            line=line,
            request=request,
            bars=bars,
            forecast=forecast,
            figures=figures,
            change=None if before is None else Change.between(before, figures),
            alerts=alerts,
            n_skipped=0 if before is None else n_new - 1,
            closes=clock.closes,
        )

    def _await(self, state: _State, bars: FetchedBars) -> Fault | None:
        """Look again later for a bar that has not come; says so where the reason is new."""
        now = self._clock()
        if bars.stale:
            state.clock.fail(now)
            return self._report(state, " ".join(bars.stale.split()))
        state.clock.look_again(bars.candles.interval, now)
        if not state.clock.is_late(now):
            return None
        closes = state.clock.closes
        return self._report(
            state,
            f"The bar that closed at {closes:%Y-%m-%d %H:%M} UTC has not come. The market may be "
            "closed or halted.",
        )

    def _end(self, state: _State, error: Exception) -> Fault:
        state.has_ended = True
        return Fault(state.line, _words(error), None, error)

    def _fail(
        self, state: _State, error: Exception, *, retry_after: float | None = None
    ) -> Fault | None:
        state.clock.fail(self._clock(), retry_after=retry_after)
        return self._report(state, _words(error), error)

    def _report(self, state: _State, words: str, error: Exception | None = None) -> Fault | None:
        """The fault, unless the line is in one already: ages and counts in its words change."""
        is_known = bool(state.words)
        state.words = words
        return None if is_known else Fault(state.line, words, state.clock.due, error)


def _words(error: Exception) -> str:
    """An error as one line of plain text; of an unexpected one only its type."""
    if isinstance(error, KronosError):
        return " ".join(str(error).split())
    logger.warning("A look for bars failed.", exc_info=error)
    return f"Unexpected error ({type(error).__name__}); details are in the log."
