"""The entry points of a forecast, driven as users drive them, for tests that compare them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from data_sources import leaders
from kronos import cli
from kronos.candles import Candles
from kronos.export import candles_csv
from kronos.forecast import Forecast, SamplingParameters
from kronos.models import ENSEMBLE, available
from kronos.portfolio import Market, Plan, backtest
from kronos.portfolio.backtest import WARM_UP
from kronos.serving.jobs import JobStatus
from kronos.serving.queue import JobQueue
from kronos.serving.service import LocalService
from kronos.store.store import Store
from kronos.walk_forward import Series, WalkPlan, walk_forward
from pages.ui.jobs import saving
from tests.pages.app_driver import new_session, press, run_until, words

UPLOAD = "My own CSV file"


@dataclass(frozen=True)
class Case:
    """One forecast to request from every entry point.

    Attributes:
        candles: Bars up to the origin.
        horizon: Bars to forecast.
        sample: Title of the bundled series with these candles; empty where they are a CSV file.
        symbol: Its ticker.
    """

    candles: Candles
    horizon: int
    sample: str = ""
    symbol: str = ""

    @property
    def sampling(self) -> SamplingParameters:
        """How futures are drawn: a page draws 10 paths at least."""
        return SamplingParameters(sample_count=10, seed=11)

    @property
    def origin(self) -> pd.Timestamp:
        """Open time of the last bar the model reads."""
        return pd.Timestamp(self.candles.frame.index[-1])

    @cached_property
    def file(self) -> bytes:
        """The candles as a CSV file."""
        return candles_csv(self.candles).encode()

    @cached_property
    def longer(self) -> Candles:
        """The candles with as many bars behind the origin as the horizon has, all like the last."""
        ahead = self.candles.future(self.horizon)
        last = self.candles.frame.iloc[[-1] * self.horizon].set_axis(ahead)
        return replace(self.candles, frame=pd.concat([self.candles.frame, last]))


@dataclass(frozen=True)
class Outcome:
    """The result of one run of an entry point.

    Attributes:
        forecast: The forecast that the queue got.
        folder: Holds `store.sqlite3`, where the entry point stores forecasts, and its files.
    """

    forecast: Forecast
    folder: Path

    def event_context(self) -> dict[str, Any] | None:
        """What the stored row of the forecast says of events."""
        with Store(str(self.folder / "store.sqlite3")) as store:
            rows = store.predictions(model=self.forecast.model_name)
        (row,) = [row for row in rows if row.origin == self.forecast.origin]
        return row.event_context


def run(name: str, case: Case, model: str, folder: Path) -> Outcome:
    """Request the forecast of a case from one entry point.

    Args:
        name: A key of `ENTRY_POINTS`.
        case: What to forecast.
        model: Name of the model.
        folder: An empty folder for its store and files.
    """
    with pytest.MonkeyPatch.context() as patch, answers() as found:
        patch.setenv("KRONOS_STORE", str(folder / "store.sqlite3"))
        ENTRY_POINTS[name](case, model, folder)
        saving.save_queue().wait()
    own = [
        each
        for each in found.values()
        if (each.origin, each.model_name, each.horizon) == (case.origin, model, case.horizon)
    ]
    assert len(own) == 1, f"{name} made {len(own)} forecasts of {model} at {case.origin}."
    return Outcome(own[0], folder)


@contextmanager
def answers() -> Iterator[dict[int, Forecast]]:
    """Collect, by their ids, the forecasts that the queues of this process return."""
    found: dict[int, Forecast] = {}
    finish, status = JobQueue.finish, JobQueue.status

    def spy_on_finish(self: JobQueue, job: Any, result: Any) -> None:
        found.update((id(each), each) for each in _forecasts_in(result))
        finish(self, job, result)

    # An equal request gets the kept result, and no job is finished for it.
    def spy_on_status(self: JobQueue, *args: Any, **options: Any) -> JobStatus | None:
        seen = status(self, *args, **options)
        if seen is not None:
            found.update((id(each), each) for each in _forecasts_in(seen.result))
        return seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobQueue, "finish", spy_on_finish)
        patch.setattr(JobQueue, "status", spy_on_status)
        yield found


def _forecasts_in(result: object) -> Iterator[Forecast]:
    if isinstance(result, Forecast):
        yield result
    elif isinstance(result, list | tuple):
        for each in result:
            yield from _forecasts_in(each)


def _forecast_page(case: Case, model: str, _: Path) -> None:
    settings = {"horizon": case.horizon, "model": _title(model)} | _drawn(case)
    app = new_session(data=case.sample or UPLOAD, **settings).run()
    if not case.sample:
        file = app.file_uploader(key="upload")
        file.upload("bars.csv", case.file, "text/csv").run()
    else:
        # The first visit forecasts by itself; a forecast is stored only where Run was pressed.
        run_until(app, _shows_a_fan)
    run_until(press(app, "run"), _shows_a_fan)


def _command(case: Case, model: str, folder: Path) -> None:
    (folder / "bars.csv").write_bytes(case.file)
    sampling = case.sampling
    status = cli.main(
        [
            *("forecast", str(folder / "bars.csv"), "--model", model, "--quiet"),
            *("--horizon", str(case.horizon), "--paths", str(sampling.sample_count)),
            *("--seed", str(sampling.seed), "--format", "json", "-o", str(folder / "found.json")),
            *("--save", "--store", str(folder / "store.sqlite3")),
        ]
    )
    assert status == 0


def _watched_symbol(case: Case, model: str, _: Path) -> None:
    run_until(_watchlist(case, model, samples=case.symbol).run(), _has_watched)


def _watched_file(case: Case, model: str, _: Path) -> None:
    # A source without a list of its own: nothing but the file is forecast.
    app = _watchlist(case, model, list_source="Yahoo Finance").run()
    file = ("bars.csv", case.file, "text/csv")
    app.file_uploader(key="watch_files").set_value([file]).run()
    run_until(press(app, "watch_run_button"), _has_watched)


def _walk(case: Case, model: str, folder: Path) -> None:
    plan = WalkPlan(
        models=(model,), horizon=case.horizon, sampling=case.sampling, every=len(case.candles)
    )
    with closing(LocalService()) as service, Store(str(folder / "store.sqlite3")) as store:
        series, known = [Series(case.longer, "samples")], leaders.leader_bars().known()
        report = walk_forward(service, store, series, plan, leaders=known)
    assert not report.problems


def _backtest(case: Case, model: str, _: Path) -> None:
    # The first decision is at the end of the warm-up, the second at the origin.
    plan = Plan(
        model=model,
        horizon=case.horizon,
        every=len(case.candles) - WARM_UP,
        sampling=case.sampling,
    )
    with closing(LocalService()) as service:
        known = leaders.leader_bars().known()
        backtest(service, Market.of({"the one": case.longer}), plan, leaders=known)


ENTRY_POINTS: dict[str, Callable[[Case, str, Path], None]] = {
    "forecast page": _forecast_page,
    "command": _command,
    "watched symbol": _watched_symbol,
    "watched file": _watched_file,
    "walk": _walk,
    "backtest": _backtest,
}


def _title(model: str) -> str:
    """What the pages call a model."""
    if model == ENSEMBLE:
        return "Ensemble"
    return next(entry.title for entry in available() if entry.name == model)


def _drawn(case: Case) -> dict[str, object]:
    return {"paths": case.sampling.sample_count, "seed": case.sampling.seed}


def _shows_a_fan(app: AppTest) -> bool:
    return "Expected move" in words(app)


def _watchlist(case: Case, model: str, **link: object) -> AppTest:
    settings = {"horizon": case.horizon, "model": _title(model)} | _drawn(case)
    link |= {f"list_{name}": value for name, value in settings.items()}
    return new_session("watchlist", **link)


def _has_watched(app: AppTest) -> bool:
    is_running = any(button.key == "watch_cancel" for button in app.button)
    return bool(app.dataframe) and not is_running
