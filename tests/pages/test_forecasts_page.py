"""The Forecasts page: the list, its filters and pages, and a forecast opened by click and link."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import SAMPLES, load_sample
from kronos.errors import InvalidRequest
from kronos.store import open_store
from kronos.store.listing import Filters
from kronos.store.scoring import score_candles
from pages.ui.fan import stored
from pages.ui.forecasts import controls, view
from tests.pages.app_driver import charts, new_session, press, words
from tests.pages.workbooks import sheets
from tests.store.made import make_candles, make_forecast

SAMPLE = load_sample("GOOG_1d")


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", str(tmp_path / "store.sqlite3"))
    monkeypatch.delenv("KRONOS_PUBLIC", raising=False)
    controls._choices.clear()
    store = open_store()
    yield store
    store.close()


def save(store, *, position=-40, source="samples", candles=SAMPLE, **options):
    """The id of a stored forecast from a bar of the sample, with its outcome."""
    forecast = make_forecast(candles, len(candles.frame) + position, **options)
    return store.save(forecast, candles, source=source).id


def table(app):
    return app.dataframe[0].value


def test_an_empty_store_says_how_it_fills():
    app = new_session("forecasts").run()
    assert not app.exception
    assert "No stored forecast yet" in words(app)
    assert not app.dataframe


def test_a_store_that_is_off_is_said(monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", "off")
    app = new_session("forecasts", stored="ab").run()
    assert not app.exception
    assert "Forecasts are not saved" in words(app)


def test_rows_say_what_came_and_filters_keep_some(own_store):
    save(own_store)
    score_candles(own_store, SAMPLE, of_source="samples", bars_source="samples")
    save(own_store, model="ewma", position=-1)
    app = new_session("forecasts").run()
    found = table(app).set_index("Model")
    assert found.index.tolist() == ["ewma", "walk"]
    close = SAMPLE.frame["close"].to_numpy()
    move = close[-34] / close[-40] - 1
    assert found["Outcome"].to_dict() == {"ewma": "Waiting", "walk": f"{move:+.2%}, complete"}
    assert found["CRPS / cone"]["walk"] > 0
    assert np.isnan(found["CRPS / cone"]["ewma"])
    listed = sheets(view._list_workbook(Filters(model="walk")))
    assert [row[6] for row in listed["Forecasts"]] == ["model_version", listed["Forecasts"][1][6]]
    assert dict(listed["Settings"][1:])["model"] == "walk"
    app.selectbox(key="stored_state").set_value("Waiting").run()
    assert table(app)["Model"].tolist() == ["ewma"]
    app = new_session("forecasts", stored_model="walk").run()
    assert table(app)["Model"].tolist() == ["walk"], "a filter is in the link"
    app = new_session("forecasts", stored_model="walk", stored_state="Waiting").run()
    assert "No stored forecast matches these filters" in words(app)


def heading(app):
    return app.title[0].value.replace("\\", "")


def test_a_forecast_opens_in_a_second_session_with_the_bars_since(own_store):
    saved = save(own_store)
    app = new_session("forecasts").run()
    press(app, "stored_open_line")
    app.run()
    assert app.text_input(key="stored").value == saved
    assert app.query_params["stored"] in (saved, [saved])
    other = new_session("forecasts", stored=saved).run()
    for each in (app, other):
        assert not each.exception
        assert "GOOG 1d, walk, 6 bars from" in heading(each)
        assert not each.get("plotly_chart"), "the chart is the one that is worked in"
        assert "candlestick" in charts(each)[0]
    assert "The stored forecast and its paths" in words(other)
    press(other, "stored_close")
    assert other.text_input(key="stored").value == ""
    assert not charts(other)


def test_what_the_chart_knows_is_scored_and_the_list_says_the_same(own_store):
    saved = save(own_store)
    closes = SAMPLE.frame["close"].to_numpy()
    prediction = own_store.get(saved)
    low, high = (prediction.quantiles[:, list(prediction.levels).index(p)] for p in (0.1, 0.9))
    since = closes[-39:-33]
    n_inside = int(((since >= low) & (since <= high)).sum())
    known = [f"**{since[-1] / closes[-40] - 1:+.2%}**", "6 of 6 bars known", f"**{n_inside} of 6**"]
    assert table(new_session("forecasts").run())["Outcome"].tolist() == ["Waiting"]
    app = new_session("forecasts", stored=saved).run()
    said = words(app)
    assert all(each in said for each in known), said
    assert "scored" not in said
    assert table(app)["Outcome"].tolist() == [f"{since[-1] / closes[-40] - 1:+.2%}, complete"]
    assert f"{low[-1]:,.2f} to {high[-1]:,.2f}" in said
    assert f"from {closes[-40]:,.2f}" in said
    ahead = save(own_store, position=-1)
    assert "0 of 6 bars known" in words(new_session("forecasts", stored=ahead).run())


def test_an_unknown_id_is_an_error_in_words():
    for text in ("f" * 64, "../etc", "ABC"):
        app = new_session("forecasts", stored=text).run()
        assert not app.exception
        assert app.error


def test_older_and_newer_turn_the_pages(own_store, monkeypatch):
    monkeypatch.setattr(view, "PAGE_ROWS", 2)
    for position in (-40, -39, -38, -37, -36):
        save(own_store, position=position)
    app = new_session("forecasts").run()
    pages = [table(app)["Origin"].tolist()]
    for _ in range(2):
        press(app, "stored_older")
        pages.append(table(app)["Origin"].tolist())
    assert [len(each) for each in pages] == [2, 2, 1]
    assert len({origin for page in pages for origin in page}) == 5
    assert app.button(key="stored_older").disabled
    press(app, "stored_newer")
    assert table(app)["Origin"].tolist() == pages[1]
    app.selectbox(key="stored_interval").set_value("1d").run()
    assert table(app)["Origin"].tolist() == pages[0], "a change of a filter begins again"


def test_strangers_see_forecasts_of_public_markets_alone(own_store, monkeypatch):
    private = save(own_store, source="my-files", candles=make_candles(symbol="SECRET"))
    public = save(own_store)
    monkeypatch.setenv("KRONOS_PUBLIC", "true")
    app = new_session("forecasts").run()
    assert table(app)["Instrument"].tolist() == ["GOOG"]
    assert app.selectbox(key="stored_instrument").options == ["All", "GOOG"]
    for text in (private, private[:10]):
        app = new_session("forecasts", stored=text).run()
        assert "SECRET" not in words(app)
        assert heading(app) == "Forecasts"
        assert "no forecast with the id" in app.error[0].value.replace("\\", "")
    assert "GOOG" in heading(new_session("forecasts", stored=public).run())
    monkeypatch.setenv("KRONOS_PUBLIC", "false")
    assert "SECRET" in heading(new_session("forecasts", stored=private).run())


def test_bars_are_drawn_in_the_prices_of_the_forecast(own_store):
    prediction = own_store.get(save(own_store))
    split = SAMPLE.frame.copy()
    split[["open", "high", "low", "close"]] /= 20.0
    bars = type(SAMPLE)(split, SAMPLE.interval, SAMPLE.zone, SAMPLE.calendar, "GOOG", "samples")
    drawn = stored.then_and_since(prediction, bars)
    assert np.allclose(drawn.frame["close"], SAMPLE.frame["close"])
    assert not drawn.frame["volume"].any()
    assert stored.then_and_since(prediction, SAMPLE.slice(len(SAMPLE.frame) - 10, None)) is None


def test_the_stored_paths_give_the_stored_fan(own_store):
    prediction = own_store.get(save(own_store))
    fan = stored.rebuilt(prediction, own_store.paths(prediction)["close"])
    assert np.array_equal(fan.quantile(tuple(prediction.levels)).T, prediction.quantiles)
    assert np.array_equal(fan.probability_up(), prediction.probability_up)


def test_the_link_makes_the_request_again(own_store):
    prediction = own_store.get(save(own_store))
    origin = pd.Timestamp(prediction.origin).tz_convert(SAMPLE.zone)
    assert stored.forecast_link(prediction) == {
        "data": SAMPLES["GOOG_1d"].title, "origin": f"{origin:%Y-%m-%d}", "horizon": "6",
        "paths": "20", "seed": "0",
    }  # fmt: skip


def test_a_hidden_source_is_like_no_forecast(own_store, monkeypatch):
    saved = save(own_store, source="my-files", candles=make_candles())
    monkeypatch.setattr(stored, "visible_sources", lambda: ("samples",))
    with pytest.raises(InvalidRequest, match="no forecast with the id"):
        stored.open_stored(saved)
