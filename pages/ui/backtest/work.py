"""A backtest in the background: its request, bars, forecasts and portfolio."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from kronos import models
from kronos.candles import Candles
from kronos.errors import InvalidRequest, KronosError
from kronos.portfolio import Backtest, Market, backtest
from kronos.portfolio.backtest import Plan
from kronos.portfolio.market import MAX_INSTRUMENTS
from kronos.serving.jobs import JobControl
from kronos.serving.service import service
from kronos.system import user_cache
from kronos.training.files import QlibFolder, without_factor
from pages.ui.inputs.calendar import fetch_calendar
from pages.ui.inputs.instruments import MAX_SYMBOLS, Entry, Fetching, OpenSource, uploaded_bars
from pages.ui.inputs.leaders import leaders_for
from pages.ui.jobs.registry import Run, RunRegistry
from pages.ui.jobs.services import Service
from pages.ui.jobs.settings import require_size

QLIB = "qlib"
"""Name of a Qlib data folder as a source."""


@dataclass(frozen=True, slots=True)
class QlibUniverse:
    """The instruments of a market in a Qlib data folder of this machine.

    Attributes:
        folder: Its path.
        market: Name of the list of instruments.
        frequency: Name of the calendar.
    """

    folder: str
    market: str
    frequency: str

    def open(self) -> QlibFolder:
        """The folder, read."""
        return QlibFolder(Path(self.folder), market=self.market, frequency=self.frequency)


@dataclass(frozen=True, slots=True)
class BacktestRequest:
    """One backtest.

    Attributes:
        entries: The universe.
        source: Name of the source of the symbols.
        plan: Signal, rules and costs.
        revision: Revision of the model's weights.
        limit: Daily price limit as a share; None where there is none.
        qlib: The folder of the symbols; None for those of a market data source.

    Raises:
        InvalidRequest: The universe is empty or too large, or a setting is out of range.
    """

    entries: tuple[Entry, ...]
    source: str
    plan: Plan
    revision: str
    limit: float | None = None
    qlib: QlibUniverse | None = None

    def __post_init__(self) -> None:
        most = MAX_SYMBOLS if self.qlib is None else MAX_INSTRUMENTS
        if not 1 <= len(self.entries) <= most:
            raise InvalidRequest(
                f"A universe has 1 to {most:,} instruments here, found {len(self.entries)}."
            )
        require_size(self.plan.horizon, self.plan.sampling)

    @property
    def key(self) -> str:
        """SHA-256 of the request; files by their content."""
        facts = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(facts.encode()).hexdigest()


FETCHING, FORECASTING = "Fetching bars", "Forecasting"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The result of a run.

    Attributes:
        result: The backtest, as far as it went.
        cut_off: First day after the training data of the model; None if unknown.
        problems: Instruments that were skipped, and why.
        note: What the bars of the universe leave open; "" where nothing.
    """

    result: Backtest
    cut_off: date | None
    problems: dict[str, str]
    note: str = ""


BacktestRun = Run[BacktestRequest, Outcome]


def backtest_work(
    request: BacktestRequest,
    contents: Sequence[bytes | None],
    *,
    open_source: OpenSource,
    downloads_model: bool,
) -> Callable[[JobControl, BacktestRun], None]:
    """The work of a run.

    Args:
        request: The request.
        contents: For every entry the bytes of its file, None for symbols.
        open_source: Gives a source by name.
        downloads_model: Whether the model has to be downloaded first.
    """

    def work(control: JobControl, run: BacktestRun) -> None:
        if downloads_model:
            control.stage("Downloading the model")
            models.download(request.plan.model, progress=control.progress)
        control.stage(FETCHING)
        candles, problems, note = _universe(request, contents, open_source, control)
        market = Market.of(candles, limit=request.limit)
        leaders = None
        if candles and service().facts(request.plan.model).reads_events:
            leaders = leaders_for(max(candles.values(), key=lambda each: each.frame.index[-1]))
            for each in candles.values():
                fetch_calendar(each, origin=each.frame.index[0])
        control.stage(FORECASTING)

        def outcome_of(result: Backtest) -> Outcome:
            cut_off = models.cut_off(request.plan.model, result.model_revision)
            return Outcome(result, cut_off, problems, note)

        def show_partial(result: Backtest) -> None:
            run.outcome = outcome_of(result)

        result = backtest(
            service(),
            market,
            request.plan,
            leaders=leaders,
            cache_folder=user_cache("backtests"),
            progress=control.progress,
            watch=control.check,
            partial=show_partial,
        )
        run.outcome = outcome_of(result)

    return work


def _universe(
    request: BacktestRequest,
    contents: Sequence[bytes | None],
    open_source: OpenSource,
    control: JobControl,
) -> tuple[dict[str, Candles], dict[str, str], str]:
    """Bars by name, the errors of the instruments without any, and a note on the bars."""
    candles: dict[str, Candles] = {}
    problems: dict[str, str] = {}
    qlib = None if request.qlib is None else request.qlib.open()
    fetching = Fetching(request.source, open_source, threading.Event())
    for i, (entry, content) in enumerate(zip(request.entries, contents, strict=True)):
        control.progress(i, len(request.entries))
        # Files may be named like one another, or like a symbol.
        name = entry.symbol if entry.symbol not in candles else f"{entry.symbol} ({i + 1})"
        try:
            if qlib is not None and content is None:
                candles[name] = qlib.candles(entry.symbol)
                continue
            bars = fetching.bars(entry) if content is None else uploaded_bars(entry, content)
            candles[name] = bars.candles
        except KronosError as error:
            problems[name] = str(error)
    if not candles:
        raise InvalidRequest(
            "None of the instruments could be used: "
            + "; ".join(f"{name}: {text}" for name, text in list(problems.items())[:3])
        )
    of_folder = [entry.symbol for entry in request.entries if not entry.is_file]
    return candles, problems, "" if qlib is None else without_factor(qlib, of_folder)


@Service
def backtests() -> RunRegistry[BacktestRun]:
    """The runs of all sessions."""
    return RunRegistry("backtests")
