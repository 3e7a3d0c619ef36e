"""Walks, backtests and pages do not know which service computes."""

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import load_sample
from kronos.forecast import SamplingParameters
from kronos.portfolio import Market, Plan, Rules, backtest
from kronos.portfolio.backtest import STRATEGY
from kronos.portfolio.export import facts
from kronos.serving import service as chosen
from kronos.store.store import Store
from kronos.walk_forward import Series, WalkPlan, walk_forward
from pages.ui.jobs import queues
from tests.pages.app_driver import new_session, press, run_until, shown, words
from tests.portfolio.universe import made
from tests.serving.services import rows

MODELS = ("bundled", "ewma")
ETHER = [Series(load_sample("ETHUSD_1h").slice(0, 700), "samples")]
SAMPLING = SamplingParameters(sample_count=8)


@pytest.fixture
def pages(service, monkeypatch):
    """Pages whose service is this one, and nothing that an earlier test has asked for."""
    monkeypatch.setattr(chosen, "_service", service)
    monkeypatch.setattr(queues.forecasts, "_made", [])
    yield service
    assert chosen.service() is service


def test_a_walk_stores_the_rows_of_this_process(service, reference, tmp_path):
    plan = WalkPlan(models=MODELS, horizon=3, n_origins=12, lookback=64, sampling=SAMPLING)
    with Store(str(tmp_path / "a")) as theirs, Store(str(tmp_path / "b")) as ours:
        report = walk_forward(service, theirs, ETHER, plan)
        walk_forward(reference, ours, ETHER, plan)
        assert (report.n_stored, report.problems) == (24, {})
        assert rows(theirs) == rows(ours)
        again = walk_forward(service, theirs, ETHER, plan)
        assert (again.n_stored, again.n_known) == (0, 24)


@pytest.mark.parametrize("model", MODELS)
def test_a_backtest_trades_as_in_this_process(service, reference, model, tmp_path):
    market = Market.of(made(4, 80))
    plan = Plan(model=model, every=8, horizon=3, rules=Rules(2, 1), sampling=SAMPLING)
    theirs, ours = (
        backtest(each, market, plan, cache_folder=tmp_path / name)
        for each, name in ((service, "a"), (reference, "b"))
    )
    pd.testing.assert_frame_equal(theirs.curves, ours.curves)
    pd.testing.assert_frame_equal(theirs.books[STRATEGY].trades, ours.books[STRATEGY].trades)
    assert facts(theirs, None) == facts(ours, None)
    assert len(ours.books[STRATEGY].trades) > 3


def test_the_forecast_page_shows_the_paths_of_this_process(pages, reference):
    app = new_session("forecast", seed=4711, horizon=3, paths=10).run()
    run_until(app, lambda app: bool(app.session_state.get("shown")))
    assert not app.exception
    assert "next 3 bars" in words(app)
    run = shown(app)
    found = pages.result(run.key, owner="test", timeout=30)
    np.testing.assert_array_equal(found.paths, reference.run(run.request).paths)


def test_models_are_compared(pages):
    app = new_session("compare", seed=4712, horizon=3, paths=10).run()
    run_until(app, lambda app: "4 forecasts of the next 3 bars" in words(app))
    models = app.dataframe[0].value["model"].tolist()
    assert models[:2] == ["A · Bundled", "B · EWMA cone"]
    assert len(models) == 4


def test_the_watchlist_forecasts_its_lines(pages):
    app = new_session("watchlist", list_horizon="3", list_paths="10", list_seed="4713").run()
    press(app, "watch_run_button")
    run_until(
        app,
        lambda app: (
            bool(app.dataframe)
            and app.dataframe[0].value["Status"].str.contains("Done|Older|Assumed").all()
        ),
    )
    assert len(app.dataframe[0].value) >= 2


def test_a_backtest_runs_from_its_page(pages):
    link = {"bt_from_samples": "2013-01-02", "bt_paths": "10", "bt_horizon": "2"}
    app = new_session("backtest", bt_model="EWMA cone", bt_seed="4714", **link).run()
    press(app, "backtest_run_button")
    run_until(app, lambda app: "2 instruments" in words(app) and "example" not in words(app))
    assert app.dataframe[0].value["Measure"].iloc[0] == "Total return"


def test_series_are_generated_from_their_page(pages):
    app = new_session("synthetic", syn_model="Bundled", syn_bars="20", syn_seed="4715").run()
    press(app, "synthetic_run_button")
    run_until(app, lambda app: "series of 20 bars" in words(app) and "example" not in words(app))
