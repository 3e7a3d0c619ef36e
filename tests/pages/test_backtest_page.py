"""The backtest page by Streamlit's own test driver: what it says and does, without a browser."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from kronos.serving.jobs import JobStatus
from pages.ui.backtest.example import backtest_example
from pages.ui.backtest.view import backtest_workbook, state_text, trade_columns
from pages.ui.backtest.work import FORECASTING, QLIB, backtests
from tests.pages.app_driver import new_session, press, run_until, words
from tests.pages.workbooks import settings, sheets
from tests.portfolio.universe import made, write_qlib

EXAMPLE = "finished example"
LINK = {
    "bt_from_samples": "2013-01-02",
    "bt_paths": "10",
    "bt_horizon": "2",
    "bt_model": "EWMA cone",
}


def visit(seed: str, **link: str) -> AppTest:
    return new_session("backtest", **(LINK | {"bt_seed": seed} | link)).run()


def has_result(app: AppTest) -> bool:
    return bool(app.dataframe) and not is_running(app) and EXAMPLE not in words(app)


def is_running(app: AppTest) -> bool:
    return any(button.key == "backtest_cancel" for button in app.button)


def test_nothing_runs_unasked_and_run_shows_measures_and_trades(fresh_seed):
    app = visit(fresh_seed)
    assert "Press Run" in words(app)
    assert EXAMPLE in words(app)
    run_until(press(app, "backtest_run_button"), has_result)
    said = words(app)
    assert "2 instruments" in said
    assert "no evidence" in said
    assert "fewer than 60" in said
    assert not app.warning
    doubts = [each.label for each in app.expander if "Weak evidence" in each.label]
    assert len(doubts) == 1, "reasons to doubt take one line above the chart"
    assert "fewer than 60 rebalances, 2 instruments" in doubts[0]
    measures = app.dataframe[0].value.set_index("Measure")
    assert measures.columns.tolist() == ["Strategy", "Equal weight", "Momentum"]
    assert measures.index[0] == "Total return"
    assert not {"Annual return", "Sharpe ratio"} & set(measures.index)
    trades = app.dataframe[1].value
    assert set(trades["instrument"]) <= {"GOOG", "IBM"}
    assert "press Run" not in said


def test_the_model_that_may_have_seen_the_bars_is_warned_of(fresh_seed):
    link = {"bt_model": "Bundled", "bt_from_samples": "2013-02-15"}
    app = run_until(press(visit(fresh_seed, **link), "backtest_run_button"), has_result)
    assert "lie before 2025-10-01" in words(app)


def test_changed_settings_ask_for_run_and_the_old_result_stays(fresh_seed):
    app = run_until(press(visit(fresh_seed), "backtest_run_button"), has_result)
    app.selectbox(key="bt_signal").set_value("p_up").run()
    assert "Settings changed: press Run" in words(app)
    assert app.dataframe


def test_a_run_is_cancelled_and_goes_on(fresh_seed, gate):
    app = press(visit(fresh_seed), "backtest_run_button")
    run_until(app, is_running)
    press(app, "backtest_cancel")
    gate.set()
    run_until(app, lambda app: "Stopped." in words(app) and not is_running(app))
    run_until(press(app, "backtest_run_button"), has_result)
    assert "Stopped" not in words(app)


def test_own_files_make_a_universe(fresh_seed):
    app = visit(fresh_seed, bt_k="2")
    app.checkbox(key="bt_samples").uncheck().run()
    assert "upload files of candles" in words(app)
    files = [
        (f"{name}.csv", candles.frame.to_csv().encode(), "text/csv")
        for name, candles in made(3, 90).items()
    ]
    app.file_uploader(key="watch_files").set_value(files).run()
    run_until(press(app, "backtest_run_button"), has_result)
    assert "3 instruments" in words(app)


def test_a_qlib_folder_makes_a_universe(fresh_seed, tmp_path):
    write_qlib(tmp_path / "cn", made(5, 90), with_factor=False)
    app = visit(fresh_seed, bt_k="2")
    app.selectbox(key="bt_source").set_value(QLIB).run()
    assert "name a Qlib data folder" in words(app)
    app.text_input(key="bt_qlib_folder").set_value(str(tmp_path)).run()
    assert "is no Qlib data folder: it needs the folders" in words(app)
    app.text_input(key="bt_qlib_folder").set_value(str(tmp_path / "cn")).run()
    assert "5 instruments." in words(app)
    assert "bt_qlib_folder" not in app.query_params
    run_until(press(app, "backtest_run_button"), has_result)
    assert "5 of 5 instruments have no factor" in words(app)
    assert "Top 2 of 5 instruments" in words(app)


def test_visitors_of_a_public_server_name_no_folder(monkeypatch):
    monkeypatch.setenv("KRONOS_PUBLIC", "1")
    app = new_session("backtest", bt_source="Qlib data folder").run()
    assert "not offered" in words(app)
    assert not app.text_input


def test_bars_that_cannot_be_used_are_said(fresh_seed):
    app = visit(fresh_seed)
    app.checkbox(key="bt_samples").uncheck().run()
    app.file_uploader(key="watch_files").set_value([("bad.csv", b"a,b\n1,2\n", "text/csv")]).run()
    run_until(press(app, "backtest_run_button"), lambda app: bool(app.error))
    assert "None of the instruments could be used" in words(app)


def test_the_files_of_a_run_say_the_same(fresh_seed):
    app = run_until(press(visit(fresh_seed), "backtest_run_button"), has_result)
    run = backtests().find(app.session_state["backtest_run"])
    from kronos.portfolio.export import curves_csv, result_json

    told = json.loads(result_json(run.outcome.result, run.outcome.cut_off))
    assert told["model"] == "ewma"
    rows = curves_csv(run.outcome.result).splitlines()
    assert len(rows) == len(told["times"]) + 1
    data = backtest_workbook(run.outcome.result, run.outcome.cut_off)
    found = sheets(data)
    assert list(found) == ["Curves", "Settings", "Measures", "Trades"]
    assert len(found["Curves"]) == len(rows)
    assert found["Curves"][0] == ["time", "Strategy", "Equal weight", "Momentum"]
    assert found["Curves"][-1][1] == pytest.approx(told["equity"]["strategy"][-1])
    assert len(found["Trades"]) == len(told["trades"]) + 1
    assert settings(data)["plan: horizon"] == 2
    assert pd.Timestamp(told["first_decision"]) == pd.Timestamp("2013-01-02", tz="UTC")


@pytest.mark.parametrize("link", [{"bt_horizon": "100000"}, {"bt_every": "0"}])
def test_a_link_out_of_range_breaks_nothing(fresh_seed, link):
    app = visit(fresh_seed, **link)
    assert not app.exception


def test_the_progress_of_one_forecast_is_of_one():
    status = JobStatus("k", "running", stage=FORECASTING, done=0, total=1, watchers=1)
    assert state_text(status) == f"{FORECASTING}: 0 of 1 forecast"


def test_trades_show_dates_and_names_in_full():
    finished = backtest_example()
    assert finished is not None
    trades = finished.result.books["strategy"].trades
    columns = trade_columns(trades)
    assert list(columns) == list(trades.columns)
    assert columns["time"]["type_config"]["format"] == "D MMM YYYY"
    hourly = trades.assign(time=trades["time"] + pd.Timedelta(hours=3), instrument="000088_1d.csv")
    columns = trade_columns(hourly)
    assert columns["time"]["type_config"]["format"] == "D MMM YYYY HH:mm"
    assert columns["instrument"]["width"] >= 7.5 * len("000088_1d.csv") + 24
    assert trade_columns(trades.iloc[:0]) == {}
