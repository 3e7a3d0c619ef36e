"""Exported files: complete, exact, and harmless in a spreadsheet."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from pages.ui import exports


def test_quantiles_round_trip(simulate):
    candles, forecast = simulate(zone="America/New_York")
    table = pd.read_csv(io.BytesIO(exports.quantiles_csv(candles, forecast)))
    expected = forecast.quantile()
    np.testing.assert_allclose(table[["p10", "p25", "p50", "p75", "p90"]].to_numpy().T, expected)
    stamps = pd.to_datetime(table["timestamp"], utc=True)
    assert (pd.DatetimeIndex(stamps) == forecast.timestamps.tz_convert("UTC")).all()
    assert table["timestamp"].str.contains(r"-0[45]:00$").all()


def test_paths_round_trip(simulate):
    candles, forecast = simulate(n_paths=7)
    table = pd.read_csv(io.BytesIO(exports.paths_csv(candles, forecast)))
    assert table.groupby("path").size().tolist() == [24] * 7
    values = table[["open", "high", "low", "close", "volume", "amount"]].to_numpy()
    np.testing.assert_allclose(values.reshape(forecast.paths.shape), forecast.paths)


def test_json_holds_everything_to_repeat_it(simulate):
    candles, forecast = simulate()
    facts = json.loads(exports.forecast_json(candles, forecast))
    assert facts["parameters"] == {
        "T": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "sample_count": 60,
        "seed": 0,
    }
    assert facts["context_sha256"] == forecast.context_hash
    assert facts["model_revision"] == forecast.model_revision
    assert facts["symbol"] == "BTCUSD"
    assert facts["calendar"] == "24/7"
    assert len(facts["close_quantiles"]["p50"]) == len(facts["timestamps"]) == 24


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r+", "\n-"])
def test_no_cell_begins_a_formula(simulate, start):
    candles, forecast = simulate(symbol=f"{start}cmd|' /C calc'!A0")
    for data in (exports.quantiles_csv(candles, forecast), exports.paths_csv(candles, forecast)):
        symbols = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)["symbol"]
        assert symbols.str.startswith("'").all()


def test_file_names_are_harmless(simulate):
    candles, forecast = simulate(symbol="../../etc/pass wd\n<x>")
    stem = exports.file_stem(candles, forecast)
    assert stem == "etc-pass-wd-x_30m_20190805T1800_24bars"
