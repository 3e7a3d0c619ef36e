"""The forecast page by Streamlit's own test driver: what it says and does, without a browser."""

from __future__ import annotations

import contextlib
import io
import re

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from kronos import models
from kronos.calendars.clocks import BROKER_CLOCK
from kronos.errors import Busy, CheckpointUnavailable
from kronos.serving.jobs import Priority
from kronos.system import asset_path
from pages.ui.inputs.candles import UPLOAD
from pages.ui.jobs import queues
from pages.ui.jobs.opening import opening_settings
from tests.pages.app_driver import (
    SAMPLE_TITLES,
    charts,
    new_session,
    press,
    run_until,
    shown,
    started,
    words,
)
from tests.serving.scripted import named, nothing


def has_forecast(app: AppTest) -> bool:
    return "Expected move" in words(app)


@pytest.fixture
def app() -> AppTest:
    return new_session()


@pytest.fixture(scope="module")
def small() -> dict[str, object]:
    """Settings of a forecast that takes next to no time."""
    return {"horizon": 4, "paths": 10}


def choose(app: AppTest, settings: dict[str, object]) -> AppTest:
    for name, value in settings.items():
        app.number_input(key=name).set_value(value)
    return app


def test_first_visit_shows_a_forecast_without_a_click(app):
    app.run()
    assert charts(app), "candles are on the page before the forecast is"
    run_until(app, has_forecast)
    assert "BTCUSD: next 24 bars of 30m" in words(app)
    assert shown(app).settings.sampling.sample_count == 300
    assert not app.error
    # What the server prepares before anybody comes is what this page asked for.
    assert shown(app).settings == opening_settings()[1]


def test_changed_settings_ask_for_run_and_run_obeys(app):
    run_until(app.run(), has_forecast)
    assert "Settings changed" not in words(app)
    choose(app, {"horizon": 5, "paths": 10}).run()
    assert "Settings changed: press Run." in words(app)
    assert "next 24 bars" in words(app), "the old forecast stays until the new one is there"
    assert "Below is the previous forecast: bundled, 24 bars, 300 paths" in words(app)
    press(app, "run")
    run_until(app, lambda app: "next 5 bars" in words(app))
    assert "Settings changed" not in words(app)


def test_the_default_number_of_paths_follows_the_model_and_a_chosen_one_stays(app):
    app.query_params["horizon"] = "3"
    app.run()
    assert app.number_input(key="paths").value == 300
    for model, paths in (("Kronos-base", 30), ("Kronos-small", 50), ("Bundled", 300)):
        app.selectbox(key="model").select(model).run()
        assert app.number_input(key="paths").value == paths
    app.number_input(key="paths").set_value(120).run()
    app.selectbox(key="model").select("Kronos-small").run()
    assert app.number_input(key="paths").value == 120
    linked = new_session(model="Kronos-base", paths="70").run()
    assert linked.number_input(key="paths").value == 70


def test_another_sample_shows_its_candles_and_waits_for_run(app, small):
    run_until(app.run(), has_forecast)
    app.selectbox(key="data").select(SAMPLE_TITLES[3]).run()
    assert app.title[0].value == "GOOG"
    assert "Press Run to forecast these candles." in words(app)
    assert charts(app)
    press(choose(app, small), "run")
    run_until(app, lambda app: "GOOG: next 4 bars" in words(app))
    assert "XNYS" in words(app)


def test_upload_is_read_explained_and_forecast(app, small):
    run_until(app.run(), has_forecast)
    app.selectbox(key="data").select(UPLOAD).run()
    assert "Upload a file of candles" in words(app)
    lines = asset_path("samples", "ETHUSD_1h.csv").read_bytes().splitlines(keepends=True)
    data = b"".join(lines[:400])
    app.file_uploader(key="upload").upload("<b>ETH.csv", data, "text/csv").run()
    assert not app.error
    text = words(app)
    assert "399 bars of 1h" in text
    assert "399 of 399 rows kept" in text
    press(choose(app, small), "run")
    run_until(app, lambda app: "next 4 bars of 1h" in words(app))


def test_a_file_dropped_beside_a_sample_is_opened(app):
    run_until(app.run(), has_forecast)
    data = b"".join(
        asset_path("samples", "ETHUSD_1h.csv").read_bytes().splitlines(keepends=True)[:400]
    )
    app.file_uploader(key="upload").upload("mine.csv", data, "text/csv").run()
    assert not app.exception
    assert app.selectbox(key="data").value == UPLOAD
    assert app.title[0].value == "mine"
    assert "399 of 399 rows kept" in words(app)
    app.selectbox(key="data").select(SAMPLE_TITLES[3]).run()
    assert app.title[0].value == "GOOG"
    app.file_uploader(key="upload").clear().run()
    assert app.title[0].value == "GOOG", "a file that is taken away opens nothing"


@pytest.mark.parametrize("kind", ["parquet", "feather", "xlsx"])
def test_other_formats_are_read_as_csv_is(app, kind):
    table = pd.read_csv(asset_path("samples", "ETHUSD_1h.csv"), nrows=399)
    out = io.BytesIO()
    write = {"parquet": table.to_parquet, "feather": table.to_feather, "xlsx": table.to_excel}
    write[kind](out)
    app.query_params["data"] = UPLOAD
    app.run().file_uploader(key="upload").upload(f"ETHUSD.{kind}", out.getvalue(), "").run()
    assert not app.error
    assert "399 of 399 rows kept" in words(app)
    assert "File: " + {"xlsx": 'Excel workbook, sheet "Sheet1"'}.get(kind, kind.title()) in words(
        app
    )


def two_days_of_euros() -> bytes:
    """Hours from Tuesday to Thursday: no weekend shows their clock."""
    hours = pd.date_range("2024-01-16 03:00", periods=48, freq="h")
    rows = [f"{hour:%Y-%m-%d %H:%M},1.09,1.1,1.08,1.095" for hour in hours]
    return "\n".join(["time,open,high,low,close", *rows]).encode()


def test_a_file_that_fits_several_clocks_asks_above_the_chart_and_the_link_holds_the_answer(app):
    run_until(app.run(), has_forecast)
    app.selectbox(key="data").select(UPLOAD).run()
    app.file_uploader(key="upload").upload("EURUSD.csv", two_days_of_euros(), "text/csv").run()
    text = words(app)
    assert "have no time zone" in text
    assert "Chart and forecast assume **UTC**" in text
    assert charts(app)
    assert "from 16 Jan 2024 03:00" in text
    app.selectbox(key="asked_clock").select("Asia/Tokyo").run()
    text = words(app)
    assert "have no time zone" not in text
    assert "from 15 Jan 2024 18:00" in text
    assert app.selectbox(key="upload_clock").value == "Asia/Tokyo"
    assert "Asia/Tokyo" in str(dict(app.query_params)["upload_clock"])
    assert not app.exception


def test_a_link_with_a_clock_reads_the_next_file_on_it():
    app = new_session(data=UPLOAD, upload_clock="New York + 7 hours (broker time)").run()
    app.file_uploader(key="upload").upload("EURUSD.csv", two_days_of_euros(), "text/csv").run()
    assert app.selectbox(key="upload_clock").value == BROKER_CLOCK
    assert "have no time zone" not in words(app)
    assert "from 16 Jan 2024 01:00" in words(app)


def test_a_bad_file_is_refused_with_line_and_column(app):
    run_until(app.run(), has_forecast)
    app.selectbox(key="data").select(UPLOAD).run()
    rows = [f"2024-01-{day:02d},10,11,9,10.5,100" for day in range(1, 31)]
    rows[6] = "2024-01-07,10,11,9,broken,100"
    data = "\n".join(["date,open,high,low,close,volume", *rows]).encode()
    app.file_uploader(key="upload").upload("bars.csv", data, "text/csv").run()
    assert len(app.error) == 1
    text = app.error[0].value.replace("\\", "")
    assert "These candles cannot be used" in text
    assert "8" in text
    assert "close" in text
    assert not charts(app)
    beneath = [one.value for one in app.caption if app.error[0].value in one.value]
    assert len(beneath) == 1, "in the chip as well, which covers the message"


def test_cancel_stops_and_nothing_starts_again(app, gate, fresh_seed):
    app.query_params.update({"seed": fresh_seed, "horizon": "4", "paths": "10"})
    app.run()
    asked = started(app)
    assert asked.status().state == "queued"
    app.button(key="cancel").click().run()
    run_until(app, lambda app: "Cancelled. Press Run to start again." in words(app))
    gate.set()
    for _ in range(3):
        app.run()
    assert asked.status().state == "cancelled"
    assert not has_forecast(app)
    press(app, "run")
    run_until(app, has_forecast)


def test_back_at_the_settings_of_what_is_shown_nothing_is_said_of_a_cancelled_run(
    app, fresh_seed, request
):
    app.query_params.update({"seed": fresh_seed, "horizon": "4", "paths": "10"})
    run_until(app.run(), has_forecast)
    request.getfixturevalue("gate")  # only from now on is the engine busy
    app.number_input(key="horizon").set_value(5)
    press(press(app, "run"), "cancel")
    assert "Cancelled. Press Run to start again. Below is the previous forecast" in words(app)
    app.number_input(key="horizon").set_value(4).run()
    assert has_forecast(app)
    assert "Cancelled" not in words(app)


def fill_the_queue(name: str) -> None:
    with contextlib.suppress(Busy):
        for n in range(100):
            owner = f"filler {n} {name}"
            queues.forecasts().submit(named(owner, nothing("bundled")), owner=owner)


def test_a_visit_of_a_full_server_shows_its_place_and_run_says_that_it_is_full(
    app, gate, fresh_seed
):
    fill_the_queue(fresh_seed)
    app.query_params["seed"] = fresh_seed
    app.run()
    assert not app.warning, words(app)
    status = started(app).status()
    assert (status.state, status.priority) == ("queued", Priority.VISIT)
    assert app.get("progress")[0].proto.text == f"Place {status.position} in line"
    press(app, "run")
    assert len(app.warning) == 1, words(app)
    assert "yours would be number" in app.warning[0].value
    gate.set()


def test_two_sessions_share_one_computation(fresh_seed):
    seconds = []
    for _ in range(2):
        app = new_session()
        app.query_params.update({"seed": fresh_seed, "horizon": "4", "paths": "10"})
        run_until(app.run(), has_forecast)
        key = shown(app).key
        seconds.append(queues.forecasts().status(key).result.seconds)
    assert seconds[0] == seconds[1]


def test_a_past_origin_is_compared_with_what_came(app, small):
    app.query_params["data"] = SAMPLE_TITLES[3]
    app.query_params["origin"] = "2010-06-01"
    app.query_params["horizon"] = "6"
    run_until(app.run(), has_forecast)
    assert "inside the 80% band" in words(app)
    assert "At the last bar of 6, the close" in words(app)
    asked = started(app).settings
    assert f"{asked.origin.tz_convert('America/New_York'):%Y-%m-%d}" == "2010-06-01"


def test_a_link_carries_the_settings(app):
    app.query_params.update(
        {"horizon": "7", "paths": "20", "T": "0.8", "seed": "5", "view": "Log price"}
    )
    run_until(app.run(), has_forecast)
    request = shown(app).settings
    assert (request.horizon, request.sampling.sample_count) == (7, 20)
    assert (request.sampling.T, request.sampling.seed) == (0.8, 5)
    assert "T = 0.8" in words(app)
    assert "narrower" in words(app)


@pytest.mark.parametrize(
    "link", [{"horizon": "99999"}, {"T": "nan"}, {"model": "../../etc"}, {"origin": "1850-01-01"}]
)
def test_a_link_with_impossible_settings_falls_back(app, link):
    app.query_params.update(link)
    app.run()
    assert not app.exception
    assert not app.error
    request = started(app).settings
    assert (request.horizon, request.sampling.T, request.model) == (24, 1.0, models.BUNDLED)


def test_a_link_does_not_start_a_download(app):
    app.query_params["model"] = "Kronos-mini"
    app.run()
    assert "asked" not in app.session_state
    assert "needs a download (32 MB)" in words(app)


def test_a_link_to_other_data_says_so_until_data_are_chosen(app):
    app.query_params["data"] = "nonsense `*`"
    app.run()
    assert "not available here: data nonsense" in words(app)
    app.selectbox(key="data").select(SAMPLE_TITLES[1]).run()
    assert "The link asks for" not in words(app)


def test_a_failed_download_is_told(app, monkeypatch):
    def refuse(name, progress=None):
        raise CheckpointUnavailable(f"{name}: the hub cannot be reached.")

    monkeypatch.setattr(models, "download", refuse)
    app.query_params["model"] = "Kronos-mini"
    press(app.run(), "run")
    run_until(app, lambda app: bool(app.error))
    assert "The model could not be downloaded" in app.error[0].value
    assert "hub cannot be reached" in words(app)
    assert "Below is the previous forecast" not in words(app), "there is none"


def test_settings_that_a_new_choice_rules_out_are_dropped(app):
    app.query_params.update({"model": "Kronos-mini", "data": SAMPLE_TITLES[3]})
    app.query_params.update({"lookback": "1500", "origin": "2010-06-01"})
    app.run()
    assert app.number_input(key="lookback").value == 1500
    app.selectbox(key="model").select("Kronos-small").run()
    assert not app.exception
    assert (app.number_input(key="lookback").value or 0) <= 512
    app.selectbox(key="data").select(SAMPLE_TITLES[0]).run()
    assert not app.exception
    assert app.date_input(key="origin").value is None


def test_an_intraday_origin_takes_a_time(app):
    link = {"horizon": "4", "paths": "10", "origin": "2019-09-02", "origin_time": "10:00"}
    app.query_params.update(link)
    run_until(app.run(), has_forecast)
    assert str(shown(app).settings.origin) == "2019-09-02 10:00:00+00:00"
    assert "inside the 80% band" in words(app)


def test_what_a_link_asks_for_and_cannot_have_is_said():
    app = new_session(
        "forecast", model="mine", paths="9000", horizon="8", origin="2050-01-01"
    ).run()
    said = [warning.value.replace("\\", "") for warning in app.warning]
    assert [text.partition(". ")[0] for text in said] == [
        "These values of the link are not available here: model mine; paths 9000; origin 2050-01-01"
    ]
    app.number_input(key="paths").set_value(120).run()
    (text,) = (warning.value for warning in app.warning)
    assert "9000" not in text, "the user has chosen meanwhile"


def test_a_level_of_an_earlier_link_joins_the_levels():
    """It had a field of its own, and "level" in the address."""
    asked = {"horizon": 8, "paths": 20, "levels": "8300", "level": "7900.5"}
    app = run_until(new_session("forecast", **asked).run(), has_forecast)
    assert app.text_input(key="levels").value == "8300 7900.5"
    assert "level" not in app.query_params
    assert re.search(r"7,900\.50 · .*% · P\(touch\) \d+%", words(app))
    app.text_input(key="levels").set_value("8300").run()
    assert app.text_input(key="levels").value == "8300"
    assert "7,900.50" not in words(app)


@pytest.mark.parametrize("level", ["inf", "nan", "-5", "high"])
def test_a_level_that_is_none_is_named(level):
    app = new_session("forecast", horizon=8, paths=20, level=level).run()
    app = run_until(app, has_forecast)
    assert f"No level: {level}." in words(app)


def test_a_level_of_the_link_outlasts_a_run_that_came_to_nothing(app, monkeypatch):
    def refuse(name, progress=None):
        raise CheckpointUnavailable(f"{name}: the hub cannot be reached.")

    monkeypatch.setattr(models, "download", refuse)
    app.query_params.update({"model": "Kronos-mini", "level": "8300"})
    press(app.run(), "run")
    run_until(app, lambda app: bool(app.error))
    app.selectbox(key="model").select("Bundled").run()
    run_until(press(app, "run"), has_forecast)
    assert app.text_input(key="levels").value == "8300"


def test_an_uploaded_file_goes_along_to_other_pages_until_it_is_taken_away(app):
    app.run()
    app.selectbox(key="data").select(UPLOAD).run()
    data = asset_path("samples", "GOOG_1d.csv").read_bytes()
    app.file_uploader(key="upload").upload("mine.csv", data, "text/csv").run()
    app.selectbox(key="upload_clock").select("UTC").run()
    app.switch_page("pages/compare.py").run().selectbox(key="data").select(UPLOAD).run()
    assert "Earlier upload: mine.csv" in words(app)
    assert app.selectbox(key="upload_clock").value == "UTC"
    assert app.title[0].value.startswith("mine")
    app.switch_page("pages/forecast.py").run().selectbox(key="data").select(UPLOAD).run()
    app.file_uploader(key="upload").upload("other.csv", b"a,b", "text/csv").run()
    assert "These candles cannot be used" in words(app)
    app.file_uploader(key="upload").clear().run()
    assert "Upload a file of candles" in words(app)


def test_the_tokens_tab_shows_what_the_model_keeps_of_the_bars():
    app = run_until(new_session(details="Tokens").run(), has_forecast)
    text = words(app)
    assert "sigmas of a bar" in text
    assert re.search(r"These 128 bars use \d+ of 256 codes \(perplexity \d+\) for s1", text)
    table = app.dataframe[0].value
    assert list(table["Field"]) == ["Open", "High", "Low", "Close", "Volume"]
    close = table.iloc[3]
    assert 0 < close["s1 and s2: median"] < close["s1 alone: median"] < 0.5


def test_a_model_without_tokens_says_so_on_the_tab():
    link = {"details": "Tokens", "model": "Ensemble", "paths": "20"}
    app = run_until(new_session(**link).run(), has_forecast)
    assert "has no tokenizer" in words(app)


def test_the_risk_tab_shows_losses_and_a_stop_before_a_target():
    app = run_until(new_session(paths=200).run(), has_forecast)
    table = app.table[0].value
    long = [float(table.loc[f"Value at risk {x}%", "Long"].split("%")[0]) for x in (95, 99)]
    assert 0 < long[0] < long[1]
    text = words(app)
    assert "Stop first" in text
    assert "Long position" in text
    stop = next(box for box in app.number_input if box.label == "Stop")
    target = next(box for box in app.number_input if box.label == "Target")
    app.number_input(key="implied_volatility").set_value(60.0)
    low, high = stop.value, target.value
    stop.set_value(high)
    target.set_value(low).run()
    text = words(app)
    assert "Short position" in text
    assert "Implied 80% range" in text
    next(box for box in app.number_input if box.label == "Target").set_value(high + 1).run()
    assert "must be between stop and target" in words(app)
    assert not app.exception
