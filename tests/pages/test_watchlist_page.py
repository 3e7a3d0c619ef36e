"""The watchlist by Streamlit's own test driver: what it says and does, without a browser."""

from __future__ import annotations

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from data_sources import registry as markets
from data_sources.yahoo.source import Yahoo
from kronos.system import asset_path
from pages.ui.inputs.candles import UPLOAD
from pages.ui.inputs.instruments import sample_intervals
from pages.ui.watchlist import view
from tests.loopback_markets import LoopbackMarkets, yahoo_session
from tests.pages.app_driver import new_session, press, run_until, words


def watchlist(**link: str) -> AppTest:
    """The page at a link, after its first run in a session of its own."""
    return new_session("watchlist", **({"list_horizon": "3", "list_paths": "10"} | link)).run()


def table(app: AppTest) -> pd.DataFrame:
    return app.dataframe[0].value if app.dataframe else pd.DataFrame({"Status": []})


def is_finished(app: AppTest) -> bool:
    has_ended = table(app)["Status"].str.match("Done|Failed|The |Older|Assumed").all()
    return bool(app.dataframe) and bool(has_ended) and not is_running(app)


def is_running(app: AppTest) -> bool:
    return any(button.key == "watch_cancel" for button in app.button)


def press_run(app: AppTest) -> AppTest:
    return press(app, "watch_run_button")


@pytest.fixture
def yahoo(tmp_path, monkeypatch):
    """Yahoo's real client, pointed at a server on loopback that knows AAPL and SPY."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with LoopbackMarkets() as server:
        markets.register_source(
            "yahoo", lambda: Yahoo(yahoo_session(server.url), clock=server.clock)
        )
        yield server
        markets.register_source("yahoo", Yahoo)


def test_a_first_visit_forecasts_the_samples_without_a_click(fresh_seed):
    app = run_until(watchlist(list_seed=fresh_seed), is_finished)
    assert table(app)["Symbol"].tolist() == list(sample_intervals())
    assert (table(app)["Status"] == "Done").all()
    assert table(app)["P(up)"].between(0, 100).all()
    assert "press Run" not in words(app)


def test_a_line_opens_whatever_the_forecast_page_showed_before():
    app = new_session(data="Ticker", horizon=12, T=0.7).run()
    app = run_until(app.switch_page("pages/watchlist.py").run(), is_finished)
    press(app, "watch_open_line")
    assert app.title[0].value.startswith("BTCUSD")
    assert (app.number_input(key="horizon").value, app.slider(key="T").value) == (24, 1.0)
    assert not app.warning


def test_a_changed_list_asks_for_run_and_run_obeys(fresh_seed):
    app = run_until(watchlist(samples="IBM", list_seed=fresh_seed), is_finished)
    assert table(app)["Symbol"].tolist() == ["IBM"]
    app.text_area(key="samples").set_value("ethusd; GOOG NOPE").run()
    assert "changed: press Run" in words(app)
    assert table(app)["Symbol"].tolist() == ["IBM"], "the old table stays until Run is pressed"
    run_until(press_run(app), is_finished)
    assert table(app)["Symbol"].tolist() == ["ETHUSD", "GOOG", "NOPE"]
    assert table(app)["Status"][2].startswith("Failed: There is no sample")
    assert "press Run" not in words(app)


def test_one_bad_symbol_is_an_error_in_its_line(yahoo, fresh_seed):
    link = {"list_source": "Yahoo Finance", "symbols": "AAPL, NOPE, SPY"}
    app = watchlist(list_seed=fresh_seed, **link)
    assert not yahoo.requests, "a link alone asks no vendor for anything"
    assert "Press Run" in words(app)
    run_until(press_run(app), is_finished)
    assert table(app)["Symbol"].tolist() == ["AAPL", "NOPE", "SPY"]
    assert table(app)["Status"].str.startswith("Failed").tolist() == [False, True, False]
    assert "no such symbol" in table(app)["Status"][1]
    assert table(app)["Name"].tolist()[::2] == ["Apple Inc.", "SPDR S&P 500"]
    assert app.selectbox(key="list_interval").value == "1d"
    assert "- **NOPE**" in words(app)


def test_a_source_that_is_down_is_told_in_every_line(yahoo, fresh_seed):
    yahoo.faults.status = 451
    link = {"list_source": "Yahoo Finance", "symbols": "AAPL SPY ^GSPC"}
    app = run_until(press_run(watchlist(list_seed=fresh_seed, **link)), is_finished)
    assert table(app)["Status"].str.contains("refuses").all()
    assert not app.exception


def test_found_symbols_are_added_to_the_list(yahoo):
    app = watchlist(list_source="Yahoo Finance", symbols="MSFT")
    known = run_until(app, lambda app: app.selectbox(key="watch_find").options)
    apple = next(
        option for option in known.selectbox(key="watch_find").options if "Apple" in option
    )
    app.selectbox(key="watch_find").set_value(apple).run()
    assert app.text_area(key="symbols").value == "MSFT, AAPL"
    assert app.selectbox(key="watch_find").value is None
    assert not yahoo.requests


def test_hostile_text_is_cut_said_and_shown_as_text(yahoo):
    app = watchlist(list_source="Yahoo Finance")
    assert "Paste or find symbols" in words(app)
    pasted = "<script>alert(1)</script>\n" + "\n".join(f"S{n}" for n in range(10_000))
    app.text_area(key="symbols").set_value(pasted).run()
    assert "Skipped, not a symbol: '<script>alert(1)</script" in words(app)
    assert "Skipped 9,800 of 10,000" in words(app)
    assert len(app.text_area(key="symbols").value) < 2000
    assert not yahoo.requests


def test_files_are_lines_and_a_bad_one_spoils_no_other(fresh_seed):
    app = run_until(watchlist(samples="IBM", list_seed=fresh_seed), is_finished)
    good = b"".join(asset_path("samples", "ETHUSD_1h.csv").read_bytes().splitlines(True)[:200])
    uploader = app.file_uploader(key="watch_files")
    uploader.upload("<b>good.csv", good, "text/csv")
    uploader.upload("bad.csv", b"date,open\n1,2\n", "text/csv").run()
    run_until(press_run(app), is_finished)
    assert table(app)["Symbol"].tolist() == ["IBM", "<b>good.csv", "bad.csv"]
    assert table(app)["Status"].str.startswith("Failed").tolist() == [False, False, True]
    other = run_until(watchlist(samples="IBM", list_seed=fresh_seed), is_finished)
    assert table(other)["Symbol"].tolist() == ["IBM"], "files stay in their session"


def test_a_line_of_a_file_opens_on_the_forecast_page_until_the_file_is_gone(
    fresh_seed, monkeypatch
):
    app = run_until(watchlist(samples="IBM", list_seed=fresh_seed), is_finished)
    content = b"".join(asset_path("samples", "ETHUSD_1h.csv").read_bytes().splitlines(True)[:200])
    app.file_uploader(key="watch_files").upload("mine.csv", content, "text/csv").run()
    run_until(press_run(app), is_finished)
    names = app.selectbox(key="watch_line").options
    app.selectbox(key="watch_line").select(names[1]).run()
    with monkeypatch.context() as patch:
        patch.setattr(view, "uploaded_content", lambda entry: None)
        press(app, "watch_open_line")
        assert "no longer in this session" in words(app)
    press(app, "watch_open_line")
    assert not app.exception
    assert app.selectbox(key="data").value == UPLOAD
    assert "Earlier upload: mine.csv" in words(app)
    assert app.number_input(key="seed").value == int(fresh_seed)


def test_the_clock_of_files_can_be_chosen(fresh_seed):
    app = run_until(watchlist(samples="IBM", list_seed=fresh_seed), is_finished)
    assert "watch_clock" not in [each.key for each in app.selectbox]
    hours = pd.date_range("2024-01-16 03:00", periods=48, freq="h")
    rows = [f"{hour:%Y-%m-%d %H:%M},1.09,1.1,1.08,1.095" for hour in hours]
    content = "\n".join(["time,open,high,low,close", *rows]).encode()
    app.file_uploader(key="watch_files").upload("EURUSD.csv", content, "text/csv").run()
    app.selectbox(key="watch_clock").select("Asia/Tokyo").run()
    run_until(press_run(app), is_finished)
    assert table(app)["Status"].str.startswith("Failed").tolist() == [False, False]
    assert not app.exception


def test_a_new_page_finds_the_run_of_a_closed_one(fresh_seed):
    link = {"list_seed": fresh_seed, "list_horizon": "40", "list_paths": "200"}
    first = watchlist(**link)
    assert is_running(first)
    second = watchlist(**link)
    key = first.session_state["watch_run"]
    assert second.session_state["watch_run"] == key
    press(second, "watch_cancel")
    run_until(second, lambda app: "Cancelled" in words(app))
    for _ in range(3):
        second.run()
    assert not is_running(second), "what was cancelled does not start again"
    first.run()
    assert is_running(first), "the first page still waits for it"
    press(first, "watch_cancel")


@pytest.mark.parametrize(
    "link", [{"list_horizon": "99999"}, {"list_source": "mars"}, {"list_model": "../../etc"}]
)
def test_a_link_with_impossible_settings_falls_back(link):
    app = watchlist(**link)
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="list_source").value == "samples"
    if is_running(app):
        press(app, "watch_cancel")


def test_lines_that_have_bars_in_common_are_shown_together(yahoo, fresh_seed):
    link = {"list_source": "Yahoo Finance", "symbols": "AAPL, SPY", "list_seed": str(fresh_seed)}
    app = run_until(press_run(watchlist(**link)), is_finished)
    text = words(app)
    assert "Portfolio" in text
    assert "Value at risk 95%" in text
    assert "Sum of lines 95%" in text
    assert "Paths move together" in text
    assert not app.exception


def test_lines_of_one_interval_are_chosen_and_others_say_why_they_have_no_portfolio(fresh_seed):
    app = run_until(watchlist(list_seed=fresh_seed), is_finished)
    lines = next(box for box in app.multiselect if box.label == "Lines")
    assert len(lines.value) >= 2
    assert "Sum of lines 95%" in words(app)
    lines.set_value(lines.options).run()
    assert "needs bars of one interval" in words(app)
    lines = next(box for box in app.multiselect if box.label == "Lines")
    lines.set_value([]).run()
    assert "needs 2 instruments or more, found 0" in words(app)
    assert not app.exception
