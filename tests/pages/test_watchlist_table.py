"""The table, the small fan and the files of a run: numbers where there are, words where not."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from data_sources.samples import SAMPLES, SampleBars
from data_sources.source import Bars, Instrument
from pages.ui.inputs.candles import UPLOAD
from pages.ui.inputs.instruments import Entry, read_symbols
from pages.ui.inputs.ticker import TICKER
from pages.ui.watchlist.figure import HEIGHT, WIDTH, fan_image
from pages.ui.watchlist.text import (
    OPEN,
    counts_text,
    list_text,
    watch_csv,
    watch_json,
    watch_table,
    watch_workbook,
)
from pages.ui.watchlist.view import forecast_query, symbol_pixels
from pages.ui.watchlist.work import Row, WatchRun, problem_text, summarise
from tests.pages.watchlist_cases import request
from tests.pages.workbooks import settings, sheets

COLUMNS = ("P(up)", "±", "Expected move", "80% low", "80% high", "Last close")


@pytest.fixture
def make(simulate):
    """A summary, the bars and the forecast it was made of."""

    def make(*, stale: str = "", notes: tuple[str, ...] = (), name: str = "A name", **options):
        candles, forecast = simulate(**options)
        bars = Bars(
            candles,
            Instrument("slices", candles.symbol, name, currency="USD"),
            candles.frame.index[-1] + pd.Timedelta(hours=1),
            notes,
            stale,
        )
        return summarise(bars, forecast), forecast

    return make


@pytest.fixture
def finished(make):
    """A run of three lines, one of each end, as if it had been done."""

    def finished(symbol="BTCUSD", source="slices", entries=None, problem="No such thing."):
        asked = replace(request("S0", "S1", "S2", sample_count=60), source=source)
        asked = replace(asked, entries=entries or asked.entries)
        run = WatchRun(asked, [None] * 3, open_source=SampleBars, forecasts=None)
        summary = make(symbol=symbol)[0]
        names = [entry.symbol for entry in asked.entries]
        run._rows[:] = [
            Row(names[0], "done", summary),
            Row(names[1], "failed", problem=problem),
            Row(names[2], "forecasting"),
        ]
        run._has_begun = run._has_ended = True
        return run

    return finished


def svg_of(image: str) -> ElementTree.Element:
    head, _, body = image.partition(",")
    assert head == "data:image/svg+xml;utf8"
    return ElementTree.fromstring(unquote(body))


def points(shape: ElementTree.Element) -> np.ndarray:
    return np.array([[float(n) for n in pair.split(",")] for pair in shape.get("points").split()])


def test_a_summary_says_what_the_forecast_says(make):
    summary, forecast = make()
    assert summary.probability_up == forecast.probability_up()[-1]
    low, median, high = summary.moves
    assert low < median < high
    assert high == pytest.approx(forecast.quantile((0.9,))[0, -1] / forecast.last_close - 1)


@pytest.mark.parametrize("horizon", [1, 2, 24, 240])
def test_the_small_fan_opens_from_the_last_close_and_stays_inside(make, horizon):
    summary, _ = make(horizon=horizon)
    svg = svg_of(fan_image(summary))
    assert (svg.get("width"), svg.get("height")) == (str(WIDTH), str(HEIGHT))
    band, *lines = [points(shape) for shape in svg if shape.get("points")]
    median, past = lines
    for curve in (band, median, past):
        assert (curve >= 0).all()
        assert (curve <= (WIDTH, HEIGHT)).all()
    assert np.allclose(past[-1], median[0], atol=0.6), "what was and what may come meet"
    assert np.allclose(band[0], band[-1]), "all futures begin at the last close"
    upper, lower = band[: len(band) // 2], band[len(band) // 2 :][::-1]
    assert (upper[1:, 1] < lower[1:, 1]).all(), "up is up"
    assert len(fan_image(summary)) < 2500


def test_a_fan_without_any_spread_is_drawn(make):
    summary, _ = make()
    flat = replace(
        summary,
        recent=np.full(32, summary.last_close),
        quantiles=np.full_like(summary.quantiles, summary.last_close),
    )
    assert svg_of(fan_image(flat)) is not None


def test_numbers_sort_and_words_stand_where_there_are_none(make):
    asked = request("S0", "S1", "S2", sample_count=60)
    summary, forecast = make()
    rows = [
        Row("S0", "done", summary),
        Row("S1", "failed", problem="Line 3 is wrong."),
        Row("S2", "fetching"),
    ]
    table = watch_table(rows, asked, is_final=False)
    assert all(pd.api.types.is_float_dtype(table[name]) for name in COLUMNS)
    assert table.loc[1:, list(COLUMNS)].isna().all(axis=None)
    assert table["Status"].tolist() == ["Done", "Failed: Line 3 is wrong.", "Fetching bars"]
    assert table[OPEN].tolist() == [OPEN, "", ""]
    up = forecast.probability_up()[-1]
    assert table["P(up)"][0] == pytest.approx(100 * up, abs=1e-3)
    assert table["±"][0] == pytest.approx(100 * np.sqrt(up * (1 - up) / 60), abs=1e-3)
    assert table["Newest bar"][0] == summary.newest
    assert watch_table(rows, asked, is_final=True)["Status"][2] == "Stopped"
    assert counts_text(rows) == "1 of 3 done, 1 failed"


def test_old_and_unfinished_bars_are_said(make):
    summary, _ = make(stale="Yahoo does not answer.", notes=("The open bar was left out.",))
    table = watch_table([Row("S0", "done", summary)], request("S0"), is_final=True)
    assert table["Status"][0] == ("Older bars: Yahoo does not answer. The open bar was left out.")


def test_a_file_opens_like_any_line_and_has_price_interval_origin_and_age(make):
    asked = request(files=(Entry("x.csv", digest="d"),))
    summary = make()[0]
    table = watch_table([Row("x.csv", "done", summary)], asked, is_final=True)
    assert table[OPEN][0] == OPEN
    assert (table["Last close"][0], table["Bars"][0]) == (summary.last_close, summary.interval)
    assert table["Origin"][0] == table["Newest bar"][0] == summary.newest
    assert all(
        isinstance(table[name].dtype, pd.DatetimeTZDtype) for name in ("Origin", "Newest bar")
    )


def test_the_table_round_trips_as_csv(finished):
    run = finished()
    lines = list(csv.DictReader(io.StringIO(watch_csv(run).decode())))
    assert [line["state"] for line in lines] == ["done", "failed", "stopped"]
    summary = run.rows[0].summary
    assert float(lines[0]["last_close"]) == summary.last_close
    assert float(lines[0]["p90"]) == summary.quantiles[2, -1]
    assert pd.Timestamp(lines[0]["newest_bar"]) == summary.newest
    assert (lines[0]["paths"], lines[0]["source"], lines[0]["currency"]) == ("60", "slices", "USD")
    assert lines[1]["status"] == "Failed: No such thing."
    assert lines[1]["last_close"] == ""


def test_the_workbook_has_the_lines_as_numbers_and_dates(finished):
    evil = "=EVIL()"
    run = finished(symbol=evil, entries=(Entry(evil, digest="d"), Entry(evil), Entry(evil)))
    head, first, *_ = sheets(watch_workbook(run))["Watchlist"]
    line = dict(zip(head, first, strict=True))
    summary = run.rows[0].summary
    assert line["source"] == "file"
    assert line["last_close"] == pytest.approx(summary.last_close)
    newest = summary.newest.tz_convert("UTC").tz_localize(None)
    assert pd.Timestamp(line["newest_bar"]) == newest
    assert settings(watch_workbook(run))["paths"] == 60


def test_the_workbook_takes_times_with_and_without_fractions_of_a_second(finished):
    """Bars of a file are read now, those of a sample were fetched at a full hour."""
    run = finished(symbol="A", entries=(Entry("A"), Entry("B"), Entry("C")))
    summary = run.rows[0].summary
    whole, broken = (pd.Timestamp(f"2026-11-25 13:59:24{end}", tz="UTC") for end in ("", ".62"))
    run._rows[0] = replace(run.rows[0], summary=replace(summary, fetched_at=whole))
    run._rows[1] = replace(
        run.rows[0], summary=replace(summary, fetched_at=broken, newest=broken.floor("D"))
    )
    head, *lines = sheets(watch_workbook(run))["Watchlist"]
    column = head.index("fetched_at")
    assert [pd.Timestamp(line[column]) for line in lines[:2]] == [whole.tz_localize(None)] * 2


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t="])
def test_no_cell_begins_a_formula(finished, start):
    evil = f"{start}cmd|' /C calc'!A0"
    run = finished(symbol=evil, entries=(Entry(evil, digest="d"), Entry(evil), Entry(evil)))
    for line in csv.reader(io.StringIO(watch_csv(run).decode())):
        assert not [cell for cell in line if re.match(r"\s*[=+@]|\s*-\D", cell)]


def test_json_holds_every_setting_and_every_bar(finished):
    run = finished()
    facts = json.loads(watch_json(run))
    assert facts["parameters"]["sample_count"] == 60
    assert facts["revision"] == run.request.revision
    assert [row["state"] for row in facts["rows"]] == ["done", "failed", "stopped"]
    first = facts["rows"][0]
    assert len(first["timestamps"]) == len(first["close_quantiles"]["p50"]) == 24
    assert first["close_quantiles"]["p10"] == run.rows[0].summary.quantiles[0].tolist()


def test_a_list_as_text_reads_back():
    symbols = ("AAPL", "BTC/USDT:USDT", "^GSPC")
    assert read_symbols(list_text(symbols).decode()).symbols == symbols


def test_a_line_of_samples_opens_the_sample_with_the_settings(finished):
    entries = (Entry("GOOG", "1d"), Entry("IBM", "1d"), Entry("x.csv", digest="d"))
    run = finished(source="samples", entries=entries)
    assert forecast_query(run, 0, "Bundled") == {
        "data": SAMPLES["GOOG_1d"].title,
        "horizon": "3",
        "paths": "60",
        "seed": "1",
        "model": "Bundled",
    }
    assert forecast_query(run, 2, "Bundled") == {
        "data": UPLOAD, "horizon": "3", "paths": "60", "seed": "1", "model": "Bundled",
    }  # fmt: skip


def test_a_line_of_a_live_source_names_source_symbol_and_interval(finished):
    query = forecast_query(finished(symbol="BTC/USDT", source="binance"), 0, "")
    assert query == {
        "data": TICKER,
        "source": "Binance",
        "symbol": "BTC/USDT",
        "interval": "30m",
        "horizon": "3",
        "paths": "60",
        "seed": "1",
    }


def test_an_unforeseen_error_keeps_its_details_to_itself():
    text = problem_text(ZeroDivisionError("secret"))
    assert "secret" not in text
    assert "ZeroDivisionError" in text


def test_names_of_files_fit_into_their_column():
    assert symbol_pixels(["GOOG"]) == symbol_pixels([]) == 88
    assert symbol_pixels(["GOOG", "000088_1d.csv"]) >= 7.5 * len("000088_1d.csv") + 24
    assert symbol_pixels(["x" * 120]) < 390 / 2, (
        "it is pinned, and a phone shows the rest beside it"
    )
