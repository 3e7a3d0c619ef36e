"""Exported files: complete, exact, harmless in a spreadsheet, and read back without loss."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from kronos import export
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast, SamplingParameters


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


def test_json_holds_every_setting_of_the_forecast(simulate):
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


def test_json_holds_the_digest_of_the_event_rows(simulate):
    candles, forecast = simulate()
    informed = replace(forecast, events_hash="ef" * 32)
    assert json.loads(export.forecast_json(candles, informed))["events_sha256"] == "ef" * 32


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r+", "\n-"])
def test_no_cell_begins_a_formula(simulate, start):
    candles, forecast = simulate(symbol=f"{start}cmd|' /C calc'!A0")
    for data in (export.quantiles_csv(candles, forecast), export.paths_csv(candles, forecast)):
        symbols = pd.read_csv(io.StringIO(data), dtype=str, keep_default_na=False)["symbol"]
        assert symbols.str.startswith("'").all()


def test_actual_closes_are_exported_as_far_as_they_are_known(simulate):
    candles, forecast = simulate(n_known=10)
    table = pd.read_csv(io.StringIO(export.quantiles_csv(candles, forecast)))
    actual = candles.frame["close"].to_numpy()[-10:]
    np.testing.assert_array_equal(table["actual"].to_numpy()[:10], actual)
    assert table["actual"][10:].isna().all()
    closes = json.loads(export.forecast_json(candles, forecast))["actual_close"]
    assert closes == [*actual.tolist(), *[None] * 14]
    assert "actual" not in export.quantiles_csv(*simulate())


def make_forecast(zone=None, start="2026-03-27 23:30", freq="30min", events_hash=None):
    times = pd.date_range(start, periods=6, freq=freq, tz=zone)
    return Forecast(
        paths=np.random.default_rng(0).normal(100, 1, (7, 5, 6)),
        timestamps=times[1:],
        origin=times[0],
        last_close=100.1,
        parameters=SamplingParameters(0.9, 0.8, 5, 7, 2**62),
        model_name="bundled",
        model_revision="abc",
        context_hash="0" * 64,
        n_context=64,
        anchor_factor=1.0 + 1e-15,
        seconds=0.7,
        events_hash=events_hash,
    )


@pytest.mark.parametrize(
    "made",
    [
        make_forecast(),
        make_forecast("UTC", freq="D"),
        make_forecast("Europe/Berlin", "2026-10-25 00:30"),  # an hour that comes twice
        make_forecast("+05:30"),
        make_forecast(events_hash="e" * 64),
    ],
    ids=["naive", "UTC", "clock change", "offset", "events"],
)
def test_a_forecast_that_is_written_and_read_is_the_same(made, tmp_path):
    export.save_forecast(made, tmp_path / "one.safetensors")
    read = export.load_forecast(tmp_path / "one.safetensors")
    assert np.array_equal(read.paths, made.paths)
    assert read.timestamps.equals(made.timestamps)
    assert str(read.timestamps.tz) == str(made.timestamps.tz)
    simple = {f.name for f in fields(Forecast)} - {"paths", "timestamps"}
    assert {n: getattr(read, n) for n in simple} == {n: getattr(made, n) for n in simple}
    assert [file.name for file in tmp_path.iterdir()] == ["one.safetensors"]


@pytest.mark.parametrize("content", [b"", b"\x10" + bytes(7) + b"{}", b"not a forecast"])
def test_a_file_of_another_kind_is_refused_by_name(content, tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"broken\.safetensors is no forecast"):
        export.load_forecast(path)


def test_a_file_of_other_tensors_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(InvalidRequest, match="no forecast"):
        export.load_forecast(path)
