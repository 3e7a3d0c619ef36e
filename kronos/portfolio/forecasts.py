"""The forecasts of a backtest: an outlook for every instrument and rebalance date, cached on disk.

A backtest that was stopped continues from the cache.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kronos.candles import Candles
from kronos.errors import InvalidCandles, KronosError
from kronos.events import Leaders, event_inputs, load_events
from kronos.forecast import Forecast, SamplingParameters
from kronos.portfolio.market import Market
from kronos.portfolio.signals import Outlook
from kronos.request import ForecastRequest, ModelFacts
from kronos.serving.interface import BulkRequest
from kronos.serving.requests import BatchRequest
from kronos.serving.service import ForecastService

__all__ = ["OutlookCache", "Save", "Survey", "Window", "survey"]

logger = logging.getLogger(__name__)
BATCH = 16
"""Windows in one request. The model splits them as its memory requires; a run stops between two
requests."""

Save = Callable[[Forecast, Candles], object]
"""Called with every new forecast and the bars up to its origin."""


class OutlookCache:
    """Outlooks in a file of JSON lines, one for each request.

    Several processes may append to one file. A line that a crash cut off is ignored.

    Args:
        folder: Folder of the file; created by the first `add`.
        settings: What all requests of a run share; its digest names the file.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        text = json.dumps(dict(settings), sort_keys=True)
        self.path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
        self._lock = threading.Lock()
        self._outlooks: dict[str, Outlook | None] = {}
        self._is_cached = True
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            text = ""
            if not isinstance(error, FileNotFoundError):
                self._give_up(error)
        for line in text.splitlines():
            self._read(line)

    def __len__(self) -> int:
        return len(self._outlooks)

    def __contains__(self, key: str) -> bool:
        return key in self._outlooks

    def __getitem__(self, key: str) -> Outlook | None:
        return self._outlooks[key]

    def add(self, outlooks: Mapping[str, Outlook | None]) -> None:
        """Store outlooks by the digests of their requests; None where no forecast is possible."""
        lines = "".join(f"{json.dumps(_row(key, each))}\n" for key, each in outlooks.items())
        with self._lock:
            self._outlooks.update(outlooks)
            if self._is_cached:
                try:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    with self.path.open("a", encoding="utf-8") as opened:
                        # The line break goes first: the line before may have been cut off.
                        opened.write("\n" + lines)
                except OSError as error:
                    self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._is_cached = False
        logger.warning(
            "Forecasts of this backtest are not cached: %s cannot be used: %s. Without a cache, a "
            "run that is stopped begins anew.",
            self.path, error.strerror,
        )  # fmt: skip

    def _read(self, line: str) -> None:
        try:
            row = json.loads(line)
            outlook = row["outlook"]
            self._outlooks[row["key"]] = outlook and Outlook(
                np.array(outlook["medians"], dtype=float),
                float(outlook["low"]),
                float(outlook["high"]),
                float(outlook["probability_up"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return


def _row(key: str, outlook: Outlook | None) -> dict[str, Any]:
    facts = outlook and {
        "medians": outlook.medians.tolist(),
        "low": outlook.low,
        "high": outlook.high,
        "probability_up": outlook.probability_up,
    }
    return {"key": key, "outlook": facts}


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One forecast to make."""

    row: int  # rebalance
    instrument: int
    last: int  # position of the last known bar in the instrument's series


_Pair = tuple[Window, ForecastRequest]


class _Requests:
    """Builds the requests of windows on demand: all of them at once would fill the memory."""

    def __init__(
        self,
        market: Market,
        facts: ModelFacts,
        horizon: int,
        sampling: SamplingParameters,
        leaders: Leaders | None,
    ) -> None:
        self._series = list(market.candles.values())
        self._facts, self._horizon, self._sampling = facts, horizon, sampling
        events = load_events() if facts.reads_events else ()
        self._events = [event_inputs(events, one, leaders=leaders) for one in self._series]

    def of(self, window: Window) -> ForecastRequest | None:
        """The request of a window; None where the bars cannot be used."""
        try:
            return ForecastRequest.of_candles(
                self._series[window.instrument],
                self._facts,
                origin=window.last,
                horizon=self._horizon,
                sampling=self._sampling,
                events=self._events[window.instrument],
            )
        except InvalidCandles:
            return None

    def known(self, window: Window) -> Candles:
        """Bars up to the decision."""
        return self._series[window.instrument].slice(None, window.last + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """The forecasts of a run so far.

    Attributes:
        rows: I outlooks for each complete rebalance; None where an instrument has no bar, too few
            bars, or bars that the model cannot use.
        n_done: Windows done.
        n_windows: Total windows.
    """

    rows: list[list[Outlook | None]]
    n_done: int
    n_windows: int


def survey(
    service: ForecastService,
    model: str,
    market: Market,
    dates: np.ndarray,
    *,
    horizon: int,
    sampling: SamplingParameters,
    warm_up: int,
    leaders: Leaders | None = None,
    cache_folder: Path | None = None,
    save: Save | None = None,
    watch: Callable[[], object] | None = None,
) -> Iterator[Survey]:
    """Forecast every instrument at every rebalance, in order of time.

    A model that reads events gets this machine's event tables, as on the Forecast page.

    Args:
        service: Makes the forecasts, at batch priority.
        model: Name or folder of the model, or name of a baseline.
        market: The bars.
        dates: (R,) positions of the decisions in the market's calendar.
        horizon: Bars to forecast.
        sampling: Sampling parameters.
        warm_up: Bars an instrument needs before it is forecast.
        leaders: Leading markets, for a model that reads events.
        cache_folder: Folder of the outlook cache; None for no cache.
        save: Called with new forecasts.
        watch: Called again and again; raising abandons the forecasts in flight.

    Yields:
        The state at the start, after every few windows, and at the end.
    """
    facts = service.facts(model)
    requests = _Requests(market, facts, horizon, sampling, leaders)
    windows = list(_windows(market, dates, warm_up))
    settings = {"model": facts.name, "revision": facts.revision, **asdict(sampling)}
    cache = None if cache_folder is None else OutlookCache(cache_folder, settings)
    table: list[list[Outlook | None]] = [[None] * len(market.names) for _ in dates]
    n_left = Counter(window.row for window in windows)

    def enter(window: Window, outlook: Outlook | None) -> None:
        table[window.row][window.instrument] = outlook
        n_left[window.row] -= 1

    def state() -> Survey:
        n_complete = next((row for row in range(len(dates)) if n_left[row]), len(dates))
        return Survey(table[:n_complete], len(windows) - n_left.total(), len(windows))

    yield state()
    fresh: list[Window] = []
    for n_read, window in enumerate(windows, 1):
        # Without outlooks in the cache no request is built before its turn.
        request = requests.of(window) if cache else None
        if cache and request is not None and request.digest in cache:
            enter(window, cache[request.digest])
        else:
            fresh.append(window)
        if n_read % BATCH == 0 and n_read > len(fresh):
            yield state()

    def usable() -> Iterator[_Pair]:
        for window in fresh:
            request = requests.of(window)
            if request is None:
                enter(window, None)
            else:
                yield window, request

    for each, answers in service.run_many(_batches(facts, usable(), save), watch=watch):
        pairs: list[_Pair] = each.label
        if save is not None:
            for (window, _), answer in zip(pairs, answers, strict=True):
                if isinstance(answer, Forecast):
                    save(answer, requests.known(window))
            answers = _outlooks(answers)
        for (window, _), outlook in zip(pairs, answers, strict=True):
            enter(window, outlook)
        if cache is not None:
            digests = [request.digest for _, request in pairs]
            cache.add(dict(zip(digests, answers, strict=True)))
        yield state()
    yield Survey(table, len(windows), len(windows))


def _windows(market: Market, dates: np.ndarray, warm_up: int) -> Iterator[Window]:
    for row, at in enumerate(dates):
        for i in range(len(market.names)):
            last = int(market.positions[at, i])
            if last + 1 >= warm_up:
                yield Window(row, i, last)


def _batches(facts: ModelFacts, made: Iterator[_Pair], save: Save | None) -> Iterator[BulkRequest]:
    """Windows in batches; their paths travel only to be saved."""
    reduce = None if save is not None else _outlooks
    while pairs := list(islice(made, BATCH)):
        batch = BatchRequest(facts.model, facts.revision, tuple(request for _, request in pairs))
        yield BulkRequest(batch, reduce, pairs)


def _outlooks(answers: Sequence[Forecast | KronosError]) -> list[Outlook | None]:
    """Outlooks of forecasts; None where the model cannot use the bars."""
    found: list[Outlook | None] = []
    for answer in answers:
        if isinstance(answer, Forecast):
            found.append(Outlook.of(answer))
        elif isinstance(answer, InvalidCandles):
            found.append(None)
        else:
            raise answer
    return found
