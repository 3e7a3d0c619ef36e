"""Files and code that the page offers."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import kronos
from data_sources.csv.reader import CsvChoices
from data_sources.samples import load_sample
from kronos.system import asset_path
from pages.ui.fan import exports
from pages.ui.frame.text import DISCLAIMER, file_part
from pages.ui.inputs.candles import fetch_code, sample_code, upload_code
from pages.ui.inputs.fetching import Wanted


def test_file_names_are_harmless(simulate):
    candles, forecast = simulate(symbol="../../etc/pass wd\n<x>")
    stem = exports.file_stem(candles, forecast)
    assert stem == "etc-pass-wd-x_30m_20190805T1800_24bars"


@pytest.mark.parametrize(
    ("name", "part"),
    [("BRK/B", "BRK-B"), ("7203 トヨタ", "7203-トヨタ"), ("..\\..", "file"), ("a" * 50, "a" * 40)],
)
def test_a_name_in_a_file_name_is_safe_and_keeps_its_script(name, part):
    assert file_part(name, "file") == part


def test_the_html_needs_no_network_and_says_what_it_is(simulate):
    candles, forecast = simulate(symbol="<img src=x onerror=alert(1)>")
    page = exports.chart_html(candles, forecast, {"view": "percent", "shown": ["bands"]})
    assert not re.search(r"<script[^>]+src=", page)
    assert DISCLAIMER.partition(":")[0] in page
    assert forecast.model_revision[:8] in page
    assert "<img src=x" not in page


@pytest.mark.parametrize("kind", ["sample", "upload"])
def test_the_snippet_makes_the_same_forecast(kind, tmp_path, capsys):
    origin = pd.Timestamp("2010-03-01", tz="America/New_York")
    candles = load_sample("GOOG_1d")
    known = candles.at_origin(origin).history
    shown = kronos.load("bundled").forecast(
        known.frame,
        x_timestamp=known.local_index,
        y_timestamp=known.future(3).tz_convert(known.zone),
        T=0.9,
        sample_count=4,
        seed=11,
        lookback=100,
    )
    if kind == "sample":
        code = sample_code("GOOG_1d")
    else:
        path = tmp_path / "it's GOOG.csv"
        path.write_bytes(asset_path("samples", "GOOG_1d.csv").read_bytes())
        code = upload_code(str(path), CsvChoices(clock="America/New_York"))
    found: dict = {}
    lines = {"levels": (0.05, 0.5, 0.95), "corridor": 0.8, "implied": 0.62}
    exec(exports.python_snippet(code, shown, **lines), found)
    np.testing.assert_array_equal(found["forecast"].paths, shown.paths)
    said = capsys.readouterr().out
    assert "not the bars" not in said
    assert str(shown.to_frame(lines["levels"])) in said
    assert str(shown.corridor(0.8)) in said
    assert str(shown.implied_cone(0.62, known.bar_years)) in said


def test_the_snippet_says_when_the_bars_are_others(capsys):
    candles = load_sample("GOOG_1d")
    origin = candles.frame.index[500]
    shown = kronos.load("bundled").forecast(
        candles.frame.iloc[:400], y_timestamp=candles.frame.index[400:402], sample_count=2
    )
    code = exports.python_snippet(sample_code("GOOG_1d"), shown)
    exec(code.replace(shown.origin.isoformat(), origin.isoformat()), {})
    assert "not the bars that the page read" in capsys.readouterr().out


def test_fetched_bars_are_named_by_their_first_and_last_time():
    candles = load_sample("IBM_1d").slice(10, 50)
    code = fetch_code(Wanted("samples", "IBM", "1d"), candles).replace(
        "open_source('samples')", "SampleBars()"
    )
    setup = "import pandas as pd\nfrom data_sources.samples import SampleBars\n"
    found: dict = {}
    exec(setup + code.partition("open_source\n")[2], found)
    pd.testing.assert_frame_equal(found["candles"].frame, candles.frame)
