"""The page of synthetic candles by Streamlit's own test driver."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from pages.ui.synthetic.figure import memory_figure, series_figure
from pages.ui.synthetic.work import synthetics
from tests.pages.app_driver import SAMPLE_TITLES, new_session, press, run_until, words

LINK = {"syn_model": "Block bootstrap", "syn_bars": "80", "data": SAMPLE_TITLES[3]}


def visit(seed: str, **link: str) -> AppTest:
    return new_session("synthetic", **(LINK | {"syn_seed": seed} | link)).run()


def has_result(app: AppTest) -> bool:
    return "They never happened" in words(app) and not is_running(app)


def is_running(app: AppTest) -> bool:
    return any(button.key == "synthetic_cancel" for button in app.button)


def test_nothing_runs_unasked_and_run_shows_series_and_comparison(fresh_seed):
    app = visit(fresh_seed, syn_series="2")
    assert "Press Run" in words(app)
    run_until(press(app, "synthetic_run_button"), has_result)
    assert "2 series of 80 bars behind GOOG" in words(app)
    table = app.dataframe[0].value.set_index("Measure")
    assert (table["Band low"] <= table["Band high"]).all()
    assert {"kurtosis", "KS distance", "volume and |return|"} <= set(table.index)
    outcome = synthetics().find(app.session_state["synthetic_run"]).outcome
    figure = series_figure(outcome.source, outcome.series)
    assert len(figure.data) == 3
    assert figure.data[0].y[0] == outcome.source.frame["close"].iloc[-1]
    assert len(memory_figure(outcome.report).data[1].x) == 20


def test_a_model_with_tokens_keeps_most_of_the_mass(fresh_seed):
    app = visit(fresh_seed, syn_model="Bundled", syn_bars="10")
    assert app.slider(key="syn_top_p").value == 0.95
    run_until(press(app, "synthetic_run_button"), has_result)
    assert "60 bars and more" in words(app)
    app.number_input(key="syn_bars").set_value(12).run()
    assert "Settings changed: press Run" in words(app)


def test_a_run_is_cancelled(fresh_seed, gate):
    app = press(visit(fresh_seed), "synthetic_run_button")
    run_until(app, is_running)
    press(app, "synthetic_cancel")
    gate.set()
    run_until(app, lambda app: "Stopped." in words(app) and not is_running(app))
