"""A batched run: its request, its lines, and the work: bars, forecasts, summaries."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from data_sources.source import Bars
from kronos import models
from kronos.candles import Candles
from kronos.errors import (
    CheckpointError,
    ForecastCancelled,
    InvalidRequest,
    KronosError,
    NotFinished,
)
from kronos.events import Event, event_inputs
from kronos.follow import Change, FanFigures, next_close
from kronos.forecast import Forecast, SamplingParameters
from kronos.joint import Member
from kronos.request import ForecastRequest
from kronos.serving.jobs import JobControl, JobStatus, Priority
from kronos.serving.service import ForecastService
from pages.ui.frame.access import without_paths
from pages.ui.inputs.instruments import (
    AT_A_TIME,
    MAX_SYMBOLS,
    Entry,
    Fetching,
    OpenSource,
    uploaded_bars,
)
from pages.ui.inputs.leaders import leaders_for
from pages.ui.jobs.registry import Run
from pages.ui.jobs.settings import ForecastSettings, data_id, require_size


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """One batched run.

    Attributes:
        entries: What is forecast, in the order of the table.
        source: Name of the source of the symbols.
        model: Name of the model, as for `kronos.models.load`.
        revision: Revision of the model's weights.
        horizon: Number of bars ahead.
        sampling: How futures are drawn.
        own_events: Digest of the visitor's own events; "" without any.

    Raises:
        InvalidRequest: There is nothing to forecast, too much of it, or a setting is out of
            range.
    """

    entries: tuple[Entry, ...]
    source: str
    model: str
    revision: str
    horizon: int
    sampling: SamplingParameters
    own_events: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.entries) <= MAX_SYMBOLS:
            raise InvalidRequest(
                f"A watchlist has 1 to {MAX_SYMBOLS} lines, found {len(self.entries)}."
            )
        require_size(self.horizon, self.sampling)

    @property
    def key(self) -> str:
        """SHA-256 of the request; files by their content."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


logger = logging.getLogger(__name__)

LEVELS = (0.10, 0.50, 0.90)
N_RECENT = 32
"""Closes up to the origin in a summary, for the small picture."""

RowState = Literal["waiting", "fetching", "forecasting", "done", "failed"]


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """The stored part of a forecast, without its paths.

    Attributes:
        symbol: Ticker as the source spells it.
        name: Name of the instrument; may be empty.
        currency: Of the prices; may be empty.
        interval: Width of a bar.
        recent: (up to `N_RECENT`,) closes up to and including the last.
        quantiles: (3, H) quantiles of the close at `LEVELS`.
        timestamps: (H,) open times of the forecast bars.
        last_close: Close of the newest bar.
        probability_up: Share of paths that end above it.
        expected_move: Mean size of the move at the horizon, as a share of it.
        newest: Open time of the newest bar, UTC.
        fetched_at: Time of the response of the source, UTC.
        stale: Why older bars are in use; empty if they are not.
        notes: Remarks on the bars.
        context_hash: Digest of the context.
        n_context: Bars in the context.
        member: Closes and paths, for futures of several lines together.
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
    member: Member

    @property
    def moves(self) -> tuple[float, float, float]:
        """p10, p50 and p90 at the horizon as shares of the last close: 0.02 is 2% up."""
        low, median, high = (self.quantiles[:, -1] / self.last_close - 1.0).tolist()
        return low, median, high


@dataclass(frozen=True, slots=True)
class Row:
    """One line.

    Attributes:
        symbol: As in the request, or the name of the file.
        state: Its progress.
        summary: Of its forecast, once done.
        problem: Why it failed, or why a line that is followed has no newer bars; plain text.
        figures: Of its forecast, for what changes; None for a file.
        before: Of the forecast before, of a line that is followed.
        closes: When its next bar is complete, UTC.
    """

    symbol: str
    state: RowState = "waiting"
    summary: Summary | None = None
    problem: str = ""
    figures: FanFigures | None = None
    before: FanFigures | None = None
    closes: pd.Timestamp | None = None

    @property
    def change(self) -> Change | None:
        """What its forecast changed against the one before; None for the first."""
        if self.figures is None or self.before is None:
            return None
        return Change.between(self.before, self.figures)

    @property
    def is_final(self) -> bool:
        return self.state in ("done", "failed")


def summarise(bars: Bars, forecast: Forecast) -> Summary:
    """The summary that a line shows and exports."""
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
        member=Member.of(candles, forecast),
    )


def problem_text(error: Exception) -> str:
    """An error as one line of plain text; of an unexpected one only its type."""
    if isinstance(error, KronosError):
        return " ".join(without_paths(str(error)).split())
    logger.warning("A line of a watchlist failed.", exc_info=error)
    return f"Unexpected error ({type(error).__name__}); details are in the log of the server."


Save = Callable[[Forecast, Candles, str], object]
LOOK_EVERY = 0.05
"""Seconds between two looks at what the engine has finished."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A forecast that the engine works on."""

    key: str
    bars: Bars


class WatchRun(Run[WatchRequest, None]):
    """A run and its lines so far. Any thread may read it while it works.

    A few threads fetch bars and submit forecasts, and wait where the engine's queue is full; the
    thread of the run collects. It stores only a summary of every forecast, in `rows`.

    Attributes:
        follower: What renews the rows, once a session follows them.
        n_renewed: How many rows were renewed.
    """

    def __init__(
        self,
        request: WatchRequest,
        contents: Sequence[bytes | None],
        *,
        open_source: OpenSource,
        forecasts: ForecastService,
        downloads_model: bool = False,
        save: Save | None = None,
        events: Callable[[Candles, str], Sequence[Event]] = lambda candles, currency: (),
    ) -> None:
        """Args:
        request: What to forecast.
        contents: For every entry the bytes of its file, None for symbols.
        open_source: Gives a source by name.
        forecasts: Makes the forecasts.
        downloads_model: Whether the model has to be downloaded first.
        save: Gets each forecast of a symbol, its candles and the source's name; None saves none.
        events: Gives the events known to the visitor for bars and their currency, for models
            that read them; called in the threads of the run.
        """
        super().__init__(request.key, request, lambda control, _: self._forecast_lines(control))
        self.follower: Any = None
        self.n_renewed = 0
        self._contents = list(contents)
        self._forecasts = forecasts
        self._downloads_model = downloads_model
        self._save = save
        self._events = events
        self._rows = [Row(entry.symbol) for entry in request.entries]
        self._next = iter(range(len(self._rows)))
        self._stopped = threading.Event()
        self._unusable: CheckpointError | None = None
        self._fetching = Fetching(request.source, open_source, self._stopped)
        self._in_flight: dict[int, _InFlight] = {}
        self._lock = threading.Lock()
        self._moved = threading.Event()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The lines as they stand now."""
        return tuple(self._rows)

    @property
    def n_final(self) -> int:
        """Lines that are done or have failed."""
        return sum(row.is_final for row in self._rows)

    @property
    def seconds_to_wait(self) -> float:
        """How long the run waits for a source that limits requests; 0 if it does not."""
        return self._fetching.seconds_to_wait

    def _forecast_lines(self, control: JobControl) -> None:
        """The work of the run, in the thread of a worker.

        Raises:
            ForecastCancelled: Nobody wants it any more; lines that are done stay.
            CheckpointError: The model cannot be used.
        """
        try:
            if self._downloads_model:
                control.stage("Downloading the model")
                models.download(self.request.model, progress=control.progress)
            control.stage("Forecasting")
            for _ in range(min(AT_A_TIME, len(self._rows))):
                threading.Thread(target=self._prepare_rows, daemon=True).start()
            self._collect(control)
        finally:
            self._end()

    def _collect(self, control: JobControl) -> None:
        while self.n_final < len(self._rows):
            control.progress(self.n_final, len(self._rows))
            if self._unusable is not None:
                raise self._unusable
            with self._lock:
                in_flight = list(self._in_flight.items())
            for i, flight in in_flight:
                status = self._forecasts.status(flight.key, owner=self._owner(i))
                if status is None or status.is_final:
                    del self._in_flight[i]
                    self._settle(i, flight, status)
            self._moved.wait(LOOK_EVERY)
            self._moved.clear()
        control.progress(self.n_final, len(self._rows))

    def _settle(self, i: int, flight: _InFlight, status: JobStatus | None) -> None:
        try:
            if status is None or status.state == "cancelled":
                raise NotFinished("The server dropped this forecast. Press Run to try again.")
            if isinstance(status.error, CheckpointError):
                raise status.error
            if status.error is not None:
                self._fail(i, status.error)
            else:
                self._put(i, self._done(i, flight.bars, status.result))
                # The uploads of a user are private.
                if self._save is not None and not self.request.entries[i].is_file:
                    self._save(status.result, flight.bars.candles, self.request.source)
        except NotFinished as error:
            self._fail(i, error)

    def _done(self, i: int, bars: Bars, forecast: Forecast) -> Row:
        row = Row(self._rows[i].symbol, "done", summarise(bars, forecast))
        if self.request.entries[i].is_file:  # no later bars come
            return row
        closes = next_close(bars.candles)
        return replace(row, figures=FanFigures.of(forecast), closes=closes)

    def renew(self, i: int, row: Row) -> None:
        """Put a line of a run that has ended: it is followed."""
        self._rows[i] = row
        self.n_renewed += 1

    def _end(self) -> None:
        with self._lock:
            self._stopped.set()
            left = dict(self._in_flight)
            self._in_flight.clear()
        for i, flight in left.items():
            self._forecasts.leave(flight.key, owner=self._owner(i))
        self._contents = [None] * len(self._contents)

    # The rest runs in the threads that fetch.

    def _prepare_rows(self) -> None:
        while (i := self._claim()) is not None:
            try:
                self._put(i, replace(self._rows[i], state="fetching"))
                self._submit(i, self._bars(i))
            except CheckpointError as error:  # of the model, and so of every line
                self._unusable = error
            # The boundary of the thread: what one line raises becomes its text, because an error
            # that escaped would leave the lines after it waiting.
            except Exception as error:  # noqa: BLE001
                self._fail(i, error)
            self._moved.set()

    def _claim(self) -> int | None:
        with self._lock:
            return None if self._stopped.is_set() else next(self._next, None)

    def _bars(self, i: int) -> Bars:
        entry = self.request.entries[i]
        if not entry.is_file:
            return self._fetching.bars(entry)
        content, self._contents[i] = self._contents[i], None
        if content is None:
            raise ForecastCancelled("The run was stopped before this file was read.")
        return uploaded_bars(entry, content)

    def forecast_request(self, bars: Any) -> ForecastRequest:
        """The request for the forecast of a line, made of its bars."""
        candles = bars.candles
        facts = self._forecasts.facts(self.request.model)
        events = None
        if facts.reads_events:
            currency = bars.instrument.currency
            events = event_inputs(
                self._events(candles, currency),
                candles,
                currency=currency,
                leaders=leaders_for(candles),
            )
        settings = ForecastSettings(
            data_id=data_id(candles),
            model=self.request.model,
            horizon=self.request.horizon,
            sampling=self.request.sampling,
            origin=candles.frame.index[-1],
            events=events,
        )
        return settings.request(candles, facts)

    def _submit(self, i: int, bars: Bars) -> None:
        request = self.forecast_request(bars)
        self._put(i, replace(self._rows[i], state="forecasting"))
        if self._stopped.is_set():
            return
        self._forecasts.submit(
            request,
            owner=self._owner(i),
            priority=Priority.BATCH,
            supersede=False,
            wait=True,
            keep=False,
        )
        with self._lock:
            if not self._stopped.is_set():
                self._in_flight[i] = _InFlight(request.digest, bars)
                return
        # The run ended while this one waited for room.
        self._forecasts.leave(request.digest, owner=self._owner(i))

    def _owner(self, i: int) -> str:
        return f"{self.key} {i}"

    def _fail(self, i: int, error: Exception) -> None:
        self._put(i, Row(self._rows[i].symbol, "failed", problem=problem_text(error)))

    def _put(self, i: int, row: Row) -> None:
        if not self._stopped.is_set():
            self._rows[i] = row
