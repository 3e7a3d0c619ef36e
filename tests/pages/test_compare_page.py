"""The comparison page by Streamlit's own test driver: what it says and does, without a browser."""

from __future__ import annotations

import json

from streamlit.testing.v1 import AppTest

from kronos import models
from kronos.errors import CheckpointUnavailable
from pages.ui.jobs import caches, queues
from tests.pages.app_driver import SAMPLE_TITLES, new_session, press, run_until, words
from tests.serving.scripted import named, nothing

SMALL = {"horizon": "6", "paths": "20"}


def compare(**link: str | list[str]) -> AppTest:
    """The page at a link, after its first run in a session of its own."""
    return new_session("compare", **(SMALL | link)).run()


def has_comparison(app: AppTest) -> bool:
    return "forecasts of the next" in words(app)


def press_run(app: AppTest) -> AppTest:
    return press(app, "run_comparison")


def states(app: AppTest) -> list[str]:
    """What the engine has of the runs of this session."""
    found = [queues.forecasts().status(run.key) for run in app.session_state["compare_runs"]]
    return ["unknown" if status is None else status.state for status in found]


def test_a_first_visit_compares_the_model_with_the_baselines_it_has_to_beat():
    app = run_until(compare(), has_comparison)
    assert "BTCUSD: 4 forecasts of the next 6 bars of 30m" in words(app)
    table = app.dataframe[0].value
    assert table["model"].tolist() == [
        "A · Bundled", "B · EWMA cone", "C · GARCH(1,1)-t", "D · Filtered historical simulation",
    ]  # fmt: skip
    assert table["parameters"].tolist()[:2] == [caches.models()[0].n_parameters, 1]
    assert (table["seconds"] > 0).all()
    assert "CRPS" not in table, "nothing is known of what came"
    assert app.dataframe[1].value["bar"].tolist() == [1] * 4 + [3] * 4 + [6] * 4
    assert not app.error


def test_one_model_at_two_temperatures_is_shared_with_the_forecast_page():
    seed = "20260716"  # of 20 paths not every seed has the narrower fan at the lower temperature
    link = {"models": "2", "a": "Bundled", "b": "Bundled", "Tb": "0.5", "pb": "0.9", "seed": seed}
    app = run_until(compare(**link), has_comparison)
    last = app.dataframe[1].value.tail(2).set_index("model")["width"]
    assert last["B · Bundled, T 0.5, top-p 0.9"] < last["A · Bundled"]
    assert "B: T = 0.5 and top-p = 0.9: the fan is narrower" in words(app)
    page = new_session("forecast", seed=seed, horizon=6, paths=20).run()
    digest = page.session_state["asked"][0].request.digest
    assert digest == app.session_state["compare_runs"][0].request.digest
    assert queues.forecasts().status(digest).state == "done"


def test_a_past_origin_is_scored():
    link = {"data": SAMPLE_TITLES[3], "origin": "2010-06-01", "models": "4"}
    app = run_until(compare(**link), has_comparison)
    table = app.dataframe[0].value
    assert table["model"].str[0].tolist() == list("ABCD")
    assert (table["known bars"] == 6).all()
    assert (table["CRPS"] > 0).all()
    assert table["inside 80%"].str.match(r"\d+ \(\d+ to \d+ plausible\)").all()
    assert "Lowest CRPS" in words(app)
    assert set(app.dataframe[1].value["80% band"]) <= {"inside", "outside"}


def test_a_link_reproduces_arrangement_view_and_bars():
    link = {"arrangement": "Overlay", "view": "% from origin", "models": "3"}
    app = run_until(compare(bars_6=["1", "6"], **link), has_comparison)
    assert app.dataframe[1].value["bar"].tolist() == [1] * 3 + [6] * 3
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["yaxis"]["ticksuffix"] == "%"
    dashes = {trace["line"].get("dash") for trace in figure["data"] if trace.get("legendgroup")}
    assert dashes == {"solid", "dash", "dot"}


def test_a_link_with_impossible_settings_falls_back():
    app = compare(models="9", a="../../etc", Ta="nan", arrangement="<b>", bars_6=["99"])
    assert not app.exception
    assert not app.error
    first, second, *_ = (run.request for run in app.session_state["compare_runs"])
    assert (first.model, second.model, first.sampling.T) == (models.BUNDLED, "ewma", 1.0)


def test_changed_settings_ask_for_run_and_run_obeys(fresh_seed):
    app = run_until(compare(seed=fresh_seed), has_comparison)
    assert "Settings changed" not in words(app)
    app.number_input(key="horizon").set_value(8).run()
    assert "Settings changed: press Run." in words(app)
    assert "next 6 bars" in words(app), "what was made is shown until Run is pressed"
    run_until(press_run(app), lambda app: "next 8 bars" in words(app))
    assert "Settings changed" not in words(app)


def test_runs_wait_side_by_side_and_are_cancelled_together(gate, fresh_seed):
    app = compare(models="3", seed=fresh_seed)
    assert states(app) == ["queued"] * 3, "none supersedes another"
    assert len(app.get("progress")) == 3
    # What the forecast page of the same session asks for is another matter.
    other = named(f"x{fresh_seed}", nothing("ewma"))
    queues.forecasts().submit(other, owner=f"{app.session_state['owner']} forecast")
    assert states(app) == ["queued"] * 3
    press(app, "cancel_all")
    assert states(app) == ["cancelled"] * 3
    assert "Cancelled. Press Run to start again." in words(app)
    gate.set()
    app.run()
    assert states(app) == ["cancelled"] * 3, "nothing starts again by itself"
    run_until(press_run(app), has_comparison)


def test_back_at_the_settings_of_what_is_shown_nothing_is_said_of_cancelled_runs(
    fresh_seed, request
):
    app = run_until(compare(seed=fresh_seed), has_comparison)
    request.getfixturevalue("gate")  # only from now on is the engine busy
    before = app.number_input(key="horizon").value
    app.number_input(key="horizon").set_value(before + 1)
    press(press_run(app), "cancel_all")
    assert "Cancelled. Press Run to start again." in words(app)
    app.number_input(key="horizon").set_value(before).run()
    assert has_comparison(app)
    assert "Cancelled" not in words(app)


def test_a_new_run_leaves_what_it_does_not_want(gate, fresh_seed):
    app = compare(seed=fresh_seed)
    before = [run.key for run in app.session_state["compare_runs"]]
    app.selectbox(key="b").select("Block bootstrap")
    press_run(app)
    after = [run.key for run in app.session_state["compare_runs"]]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True, True]
    assert queues.forecasts().status(before[1]).state == "cancelled"
    assert states(app) == ["queued"] * 4


def test_a_full_queue_says_so_and_nothing_is_left_behind(gate, fresh_seed):
    for number in range(7):
        name = f"filler {fresh_seed} {number}"
        queues.forecasts().submit(named(name, nothing("ewma")), owner=name)
    app = compare(models="2", seed=fresh_seed)
    assert not app.warning, "a visit waits, however long the line is"
    press(app, "cancel_all")
    press_run(app)
    assert len(app.warning) == 1, words(app)
    assert "busy" in app.warning[0].value
    assert states(app) == ["cancelled"] * 2
    gate.set()
    run_until(app, lambda app: queues.forecasts().engine.queue.peek_priority() is None)
    run_until(press_run(app), has_comparison)


def test_a_missing_model_waits_for_a_click_and_keeps_its_letter(monkeypatch):
    fetched = []

    def refuse(name, progress=None):
        fetched.append(name)
        raise CheckpointUnavailable(f"{name}: the hub cannot be reached.")

    monkeypatch.setattr(models, "download", refuse)
    app = run_until(compare(models="3", b="Kronos-mini"), has_comparison)
    assert "Kronos-mini needs a download" in words(app)
    assert app.dataframe[0].value["model"].str[0].tolist() == ["A", "C"]
    press_run(app)
    assert not fetched, "only its own button fetches it"
    press(app, "download_mini")
    run_until(app, lambda app: bool(app.error))
    assert fetched == ["mini"]
    assert "B · Kronos-mini: The model could not be downloaded." in words(app).replace("*", "")
    assert has_comparison(app), "the others are still there"


def test_a_short_series_tells_which_baseline_cannot_be_made(fresh_seed):
    link = {"data": SAMPLE_TITLES[3], "origin": "2004-11-22", "models": "3", "seed": fresh_seed}
    app = run_until(compare(**link), has_comparison)
    (error,) = app.error
    assert "C · GARCH(1,1)-t" in error.value.replace("\\", "")
    assert "needs at least 101 bars" in error.value.replace("\\", "")
    assert app.dataframe[0].value["model"].str[0].tolist() == ["A", "B"]


def test_the_sampling_of_the_forecast_page_is_where_a_comparison_begins():
    page = new_session("forecast", T="0.7", top_p="0.9", **SMALL).run()
    page.switch_page("pages/compare.py").run()
    kept = page.session_state
    assert (kept["Ta"], kept["pa"]) == (0.7, 0.9)
    slider = page.slider(key="Ta")
    assert slider.value == 0.7
    assert page.slider(key="pa").value == 0.9
    own = slider.set_value(1.1).run()
    assert own.slider(key="Ta").value == 1.1
