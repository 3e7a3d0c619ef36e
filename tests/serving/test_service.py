"""The process-wide engine gives what the library gives."""

from contextlib import closing

import numpy as np
import pytest

import kronos
from data_sources.samples import load_sample
from kronos.errors import InvalidRequest
from kronos.forecast import SamplingParameters
from kronos.forecasters.baselines import baseline
from kronos.forecasters.inputs import calendar_fields, read_context
from kronos.serving.service import (
    engine,
    engine_sample,
    forecast_request,
    longest_context,
    new_engine,
)
from tests.test_imports import loaded_by


@pytest.fixture(scope="module")
def bundled():
    return kronos.load("bundled")


@pytest.fixture(scope="module")
def candles():
    return load_sample("BTCUSD_30m").slice(-200)


@pytest.fixture(scope="module")
def asked():
    with closing(new_engine("cpu")) as engine:
        yield engine


def test_a_forecast_through_the_engine_is_the_library_s_own(asked, bundled, candles):
    future = candles.future(6)
    sampling = SamplingParameters(sample_count=20, seed=5, top_p=0.9)
    request = forecast_request("bundled", candles.frame, future, sampling, lookback=64)
    found = asked.run("k", request, owner="o")
    direct = bundled.forecast(
        candles.frame, y_timestamp=future, sample_count=20, seed=5, top_p=0.9, lookback=64
    )
    assert np.array_equal(found.paths, direct.paths)
    assert found.metadata() == direct.metadata()


def test_samples_through_the_engine_are_the_library_s_own(asked, bundled, candles):
    frame = candles.frame
    contexts = [read_context(frame[:n], frame.index[:n], 50) for n in (80, 60)]
    futures = [calendar_fields(frame.index[n : n + 4]) for n in (80, 60)]
    sampling = SamplingParameters(sample_count=10, seed=2)
    found = engine_sample(asked, "bundled")(contexts, futures, sampling)
    direct = bundled.sample(contexts, futures, sampling)
    assert all(np.array_equal(a, b) for a, b in zip(found, direct, strict=True))


def test_the_longest_context_is_the_model_s(asked, bundled):
    assert longest_context(asked, "bundled", 24) == bundled.context_length(10**9, 24)


def test_a_baseline_is_asked_like_a_model(asked, candles):
    future = candles.future(6)
    sampling = SamplingParameters(sample_count=20, seed=5)
    request = forecast_request("ewma", candles.frame, future, sampling)
    found = asked.run("baseline", request, owner="o")
    direct = baseline("ewma").forecast(candles.frame, y_timestamp=future, sample_count=20, seed=5)
    assert np.array_equal(found.paths, direct.paths)
    assert found.metadata() == direct.metadata()
    assert longest_context(asked, "garch", 24) == 1000


def test_a_baseline_needs_no_torch():
    said = (
        "from data_sources.samples import load_sample\n"
        "from kronos.forecast import SamplingParameters\n"
        "from kronos.serving.service import forecast_request, new_engine\n"
        "candles = load_sample('BTCUSD_30m')\n"
        "asked = forecast_request('fhs', candles.frame, candles.future(3), SamplingParameters())\n"
        "engine = new_engine()\n"
        "assert engine.run('k', asked, owner='o').n_paths == 100\n"
        "engine.close()"
    )
    assert "torch" not in loaded_by(said)


def test_an_unknown_model_is_told(asked, candles):
    request = forecast_request(
        "nonesuch", candles.frame, candles.future(2), SamplingParameters(sample_count=1)
    )
    with pytest.raises(InvalidRequest, match="nonesuch"):
        asked.run("unknown", request, owner="o")


def test_a_loaded_model_says_where_it_computes(asked, bundled):
    longest_context(asked, "bundled", 24)
    found = asked.models[-1]
    assert (found.name, found.n_bytes) == ("bundled", bundled.n_bytes)
    assert (found.placement.device, found.placement.dtype) == ("cpu", "float32")
    assert found.placement.n_threads >= 1


def test_there_is_one_engine_in_a_process():
    assert engine() is engine()
