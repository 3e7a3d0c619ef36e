"""Workbooks have dates, numbers and texts as such, and the settings on the second sheet."""

from __future__ import annotations

import datetime as dt
import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from kronos.export import quantiles_csv
from pages.ui.chart.panels import Contender
from pages.ui.compare.text import Cost, compare_workbook
from pages.ui.fan.exports import forecast_workbook
from pages.ui.frame.excel import SETTINGS, workbook
from pages.ui.track_record.record import _read_card
from pages.ui.track_record.study import Chosen
from pages.ui.track_record.text import record_workbook
from tests.pages.workbooks import settings, sheets


def test_times_numbers_and_texts_are_what_they_are():
    times = pd.date_range("2024-03-08 09:30", periods=2, freq="1D", tz="America/New_York")
    table = pd.DataFrame(
        {
            "timestamp": times,
            "day": times.normalize(),
            "close": [1.25, np.nan],
            "n": np.array([3, 4]),
            "sure": [True, False],
            "odd": [np.inf, None],
        }
    )
    found = sheets(workbook({"Bars": table, "More": table[["n"]]}, {"seed": 7, "a": {"b": (1, 2)}}))
    assert list(found) == ["Bars", SETTINGS, "More"]
    assert found["Bars"][1] == [
        dt.datetime(2024, 3, 8, 9, 30), dt.date(2024, 3, 8), 1.25, 3.0, True, "inf",
    ]  # fmt: skip
    assert found["Bars"][2] == [
        dt.datetime(2024, 3, 9, 9, 30),
        dt.date(2024, 3, 9),
        "",
        4.0,
        False,
        "",
    ]
    assert found[SETTINGS] == [
        ["Setting", "Value"], ["seed", 7.0], ["a: b", "1, 2"],
        ["clock of the times", "America/New_York"],
    ]  # fmt: skip


@pytest.mark.parametrize("sign", "=+-@\t")
def test_no_text_is_a_formula_or_a_link(sign):
    text = f'{sign}HYPERLINK("http://example.com")'
    texts = [text, "http://example.com", "12", "\ud800 x" + "y" * 40_000]
    table = pd.DataFrame({text: texts}, dtype=object)
    data = workbook({"A": table}, {text: text})
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        for name in parts.namelist():
            if name.startswith("xl/worksheets"):
                content = parts.read(name)
                assert b"<f>" not in content
                assert b"hyperlink" not in content
                assert b'<c r="A2"><v>' not in content
    found = sheets(data)
    assert [row[0].strip() for row in found["A"][:4]] == [
        text.strip(), text.strip(), "http://example.com", "12",
    ]  # fmt: skip
    assert len(found["A"][4][0]) == 32_767


def test_tables_without_rows_have_their_names():
    found = sheets(workbook({"A": pd.DataFrame({"x": []})}, {}))
    assert found["A"] == [["x"]]


def test_a_forecast_has_the_numbers_of_its_csv_files(simulate):
    candles, forecast = simulate(n_known=10, symbol="=EVIL()")
    data = forecast_workbook(candles, forecast, levels=(0.1, 0.5), corridor=0.8, implied=0.4)
    found = sheets(data)
    assert list(found) == ["Quantiles", SETTINGS, "Paths"]
    head, *rows = found["Quantiles"]
    text = quantiles_csv(candles, forecast, (0.1, 0.5), corridor=0.8, implied=0.4)
    expected = pd.read_csv(io.StringIO(text))
    assert head == list(expected)
    table = pd.DataFrame(rows, columns=head)
    np.testing.assert_allclose(table["p50"].astype(float), expected["p50"], rtol=1e-12)
    assert table["symbol"].tolist() == ["=EVIL()"] * forecast.horizon
    assert table["timestamp"][0] == forecast.timestamps[0].tz_localize(None).to_pydatetime()
    assert len(found["Paths"]) == 1 + forecast.n_paths * forecast.horizon
    made_of = settings(data)
    assert made_of["parameters: seed"] == forecast.parameters.seed
    assert made_of["model revision"] == forecast.model_revision
    assert made_of["clock of the times"] == str(forecast.timestamps.tz)


def test_a_comparison_has_every_bar_of_every_model(simulate):
    candles, forecast = simulate(n_known=10)
    fans = [Contender(i, f"Model {i}", forecast) for i in range(2)]
    data = compare_workbook(candles, fans, [Cost(1, 1), Cost(2, 0)])
    found = sheets(data)
    assert [row[0] for row in found["Cost and scores"]] == ["model", "A · Model 0", "B · Model 1"]
    assert len(found["Quantiles"]) == 1 + 2 * forecast.horizon
    assert isinstance(found["Quantiles"][1][1], dt.datetime)
    assert settings(data)["A · Model 0: horizon"] == forecast.horizon


def test_a_track_record_has_its_figures_as_numbers():
    study = _read_card().answer(Chosen()).study
    data = record_workbook(study)
    found = sheets(data)
    assert next(iter(found)) == "Skill"
    skill = dict(zip(*found["Skill"][:2], strict=True))
    assert skill["crps_skill"] == pytest.approx(study.rivals[0].skill.skill)
    assert len(found["Groups"]) == 1 + len(study.parts)
    assert len(found["Reliability"]) == 1 + len(study.reliability)
    assert settings(data)["forecasts"] == study.n_forecasts
    assert isinstance(settings(data)["first origin"], (dt.date, str))
