"""The finished examples are of the bundled weights, with the settings that pages open with."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from kronos.portfolio import Market
from kronos.portfolio.backtest import WARM_UP, rebalance_dates
from kronos.portfolio.forecasts import survey
from kronos.serving.service import service
from kronos.synthetic.generate import series_request, synthetic_series
from kronos.synthetic.realism import realism
from kronos.system import asset_path
from pages.ui.backtest import example as of_backtest
from pages.ui.backtest.work import backtests
from pages.ui.inputs.candles import UPLOAD
from pages.ui.jobs import examples
from pages.ui.synthetic import example as of_synthetic
from pages.ui.synthetic.work import synthetics
from tests.pages.app_driver import new_session, press, run_until, words

MARK = "Below is a finished example: the bundled model (weights "


def test_the_examples_are_those_of_the_bundled_weights():
    """If this fails, the weights have changed: run `python -m benchmarks.examples`."""
    backtest, synthetic = of_backtest.backtest_example(), of_synthetic.synthetic_example()
    assert backtest is not None
    assert synthetic is not None
    revision = service().facts("bundled").revision
    assert backtest.result.model_revision == synthetic.forecast.model_revision == revision
    names = (examples.EXAMPLES, examples.SERIES)
    assert sum(asset_path("bundled", name).stat().st_size for name in names) <= 100_000


def test_the_forecasts_of_the_backtest_are_made_again():
    bars = of_backtest.example_bars()
    market, plan = Market.of(bars), of_backtest.PLAN
    dates = rebalance_dates(market, plan)
    *_, last = survey(
        service(), "bundled", market, dates[-2:], horizon=plan.horizon, sampling=plan.sampling,
        warm_up=WARM_UP,
    )  # fmt: skip
    revision = service().facts("bundled").revision
    stored = examples.read_examples(revision)["backtest"]["outlooks"][-2:]
    made = of_backtest.packed(last.rows)["outlooks"]
    for ours, theirs in zip(chain(*made), chain(*stored), strict=True):
        # Another processor may round a draw to the next token.
        np.testing.assert_allclose(ours["medians"], theirs["medians"], atol=2e-3)
        assert ours["probability_up"] == pytest.approx(theirs["probability_up"], abs=0.05)


def test_the_series_are_made_again_and_the_comparison_is_theirs():
    found, source = of_synthetic.synthetic_example(), of_synthetic.example_source()
    request = series_request(source, of_synthetic.PLAN, service().facts("bundled"))
    made = service().run(request)
    assert made.context_hash == found.forecast.context_hash
    assert made.parameters == found.forecast.parameters
    np.testing.assert_allclose(made.paths[:, :5], found.forecast.paths[:, :5], rtol=2e-3)
    report = realism(source, synthetic_series(source, found.forecast), seed=of_synthetic.PLAN.seed)
    assert of_synthetic.packed(report) == of_synthetic.packed(found.report)


@pytest.mark.parametrize(("page", "runs"), [("backtest", backtests), ("synthetic", synthetics)])
def test_a_page_opens_with_its_example_and_run_makes_that_of_the_controls(page, runs, gate):
    app = new_session(page).run()
    assert not app.exception
    assert MARK in words(app)
    assert len(app.dataframe) >= 1
    assert len(app.get("download_button")) >= 3
    press(app, f"{page}_run_button")
    run = runs().find(app.session_state[f"{page}_run"])
    assert run.request.plan == {"backtest": of_backtest, "synthetic": of_synthetic}[page].PLAN
    assert MARK not in words(app)
    run_until(app, lambda app: any(each.key == f"{page}_cancel" for each in app.button))
    press(app, f"{page}_cancel")
    gate.set()
    run_until(app, lambda app: run.is_final)


def test_other_bars_have_no_example_beside_them():
    app = new_session("synthetic", data=UPLOAD).run()
    app.file_uploader(key="upload").upload(
        "GOOG.csv", asset_path("samples", "GOOG_1d.csv").read_bytes(), "text/csv"
    ).run()
    assert "Press Run" in words(app)
    assert MARK not in words(app)
    app = new_session("backtest", bt_source="Yahoo Finance", bt_symbols="AAPL MSFT").run()
    assert "Press Run" in words(app)
    assert MARK not in words(app)


@pytest.mark.parametrize("page", ["backtest", "synthetic"])
@pytest.mark.parametrize("content", [None, "{", "[]", '{"revision": "of others"}'])
def test_without_a_fitting_example_the_page_invites(page, content, monkeypatch, tmp_path):
    if content is not None:
        (tmp_path / examples.EXAMPLES).write_text(content)
    module = {"backtest": of_backtest, "synthetic": of_synthetic}[page]
    module._example.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(examples, "asset_path", lambda *parts: tmp_path / parts[-1])
        app = new_session(page).run()
    module._example.cache_clear()
    assert not app.exception
    assert "Press Run" in words(app)
    assert MARK not in words(app)
    assert not app.dataframe


def test_visitors_of_a_public_server_see_the_example(monkeypatch):
    monkeypatch.setenv("KRONOS_PUBLIC", "1")
    app = new_session("backtest").run()
    assert "not offered" in words(app)
    assert MARK in words(app)
    assert app.dataframe
