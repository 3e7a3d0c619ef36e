"""A forecast that was written and read is the same forecast."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from kronos.errors import InvalidRequest
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecast_file import load_forecast, save_forecast


def forecast(zone=None, start="2026-03-27 23:30", freq="30min", events_hash=None):
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
        forecast(),
        forecast("UTC", freq="D"),
        forecast("Europe/Berlin", "2026-10-25 00:30"),  # an hour that comes twice
        forecast("+05:30"),
        forecast(events_hash="e" * 64),
    ],
    ids=["naive", "UTC", "clock change", "offset", "events"],
)
def test_everything_is_read_as_it_was_written(made, tmp_path):
    save_forecast(made, tmp_path / "one.safetensors")
    read = load_forecast(tmp_path / "one.safetensors")
    assert np.array_equal(read.paths, made.paths)
    assert read.timestamps.equals(made.timestamps)
    assert str(read.timestamps.tz) == str(made.timestamps.tz)
    simple = {f.name for f in fields(Forecast)} - {"paths", "timestamps"}
    assert {n: getattr(read, n) for n in simple} == {n: getattr(made, n) for n in simple}
    assert [file.name for file in tmp_path.iterdir()] == ["one.safetensors"]


@pytest.mark.parametrize("content", [b"", b"\x10" + bytes(7) + b"{}", b"not a forecast"])
def test_what_is_no_forecast_is_refused_by_name(content, tmp_path):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"broken\.safetensors is no forecast"):
        load_forecast(path)


def test_a_file_of_other_tensors_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(InvalidRequest, match="no forecast"):
        load_forecast(path)
