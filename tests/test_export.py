"""Exported files: complete, exact, and harmless in a spreadsheet."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kronos import export


def test_quantiles_round_trip(simulate):
    candles, forecast = simulate(zone="America/New_York")
    table = pd.read_csv(io.StringIO(export.quantiles_csv(candles, forecast)))
    expected = forecast.quantile()
    np.testing.assert_allclose(table[["p10", "p25", "p50", "p75", "p90"]].to_numpy().T, expected)
    stamps = pd.to_datetime(table["timestamp"], utc=True)
    assert (pd.DatetimeIndex(stamps) == forecast.timestamps.tz_convert("UTC")).all()
    assert table["timestamp"].str.contains(r"-0[45]:00$").all()


def test_paths_round_trip(simulate):
    candles, forecast = simulate(n_paths=7)
    table = pd.read_csv(io.StringIO(export.paths_csv(candles, forecast)))
    assert table.groupby("path").size().tolist() == [24] * 7
    values = table[["open", "high", "low", "close", "volume", "amount"]].to_numpy()
    np.testing.assert_allclose(values.reshape(forecast.paths.shape), forecast.paths)


def test_json_holds_everything_to_repeat_it(simulate):
    candles, forecast = simulate()
    facts = json.loads(export.forecast_json(candles, forecast))
    assert facts["parameters"] == {
        "T": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "sample_count": 60,
        "seed": 0,
    }
    assert facts["context_sha256"] == forecast.context_hash
    assert "events_sha256" not in facts
    assert facts["model_revision"] == forecast.model_revision
    assert facts["symbol"] == "BTCUSD"
    assert facts["calendar"] == "24/7"
    assert len(facts["close_quantiles"]["p50"]) == len(facts["timestamps"]) == 24


def test_json_tells_what_was_known_of_events(simulate):
    candles, forecast = simulate()
    told = replace(forecast, events_hash="ef" * 32)
    assert json.loads(export.forecast_json(candles, told))["events_sha256"] == "ef" * 32


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r+", "\n-"])
def test_no_cell_begins_a_formula(simulate, start):
    candles, forecast = simulate(symbol=f"{start}cmd|' /C calc'!A0")
    for data in (export.quantiles_csv(candles, forecast), export.paths_csv(candles, forecast)):
        symbols = pd.read_csv(io.StringIO(data), dtype=str, keep_default_na=False)["symbol"]
        assert symbols.str.startswith("'").all()


def test_what_came_is_told_as_far_as_it_has_come(simulate):
    candles, forecast = simulate(n_known=10)
    table = pd.read_csv(io.StringIO(export.quantiles_csv(candles, forecast)))
    came = candles.frame["close"].to_numpy()[-10:]
    np.testing.assert_array_equal(table["actual"].to_numpy()[:10], came)
    assert table["actual"][10:].isna().all()
    told = json.loads(export.forecast_json(candles, forecast))["actual_close"]
    assert told == [*came.tolist(), *[None] * 14]
    assert "actual" not in export.quantiles_csv(*simulate())
