"""The service of a process gives what the library gives."""

import sys
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

import kronos
from data_sources.samples import load_sample
from kronos.cli.evaluate import sampler
from kronos.context import calendar_fields, read_context
from kronos.errors import InvalidRequest, RevisionMismatch
from kronos.forecast import SamplingParameters
from kronos.forecasters.baselines import baseline
from kronos.request import ForecastRequest
from kronos.serving.interface import BulkRequest
from kronos.serving.requests import BatchRequest, FactsRequest
from kronos.serving.service import LocalService, service
from tests.test_imports import loaded_by


@pytest.fixture(scope="module")
def bundled():
    return kronos.load("bundled")


@pytest.fixture(scope="module")
def candles():
    return load_sample("BTCUSD_30m").slice(-200)


@pytest.fixture(scope="module")
def local():
    with closing(LocalService(device="cpu")) as local:
        yield local


def request(local, candles, model="bundled", **options):
    sampling = SamplingParameters(sample_count=20, seed=5, top_p=options.pop("top_p", 1.0))
    facts = local.facts(model)
    return ForecastRequest.of_candles(candles, facts, horizon=6, sampling=sampling, **options)


def test_a_forecast_through_the_service_is_the_library_s_own(local, bundled, candles):
    found = local.run(request(local, candles, top_p=0.9, lookback=64))
    direct = bundled.forecast(
        candles.frame, x_timestamp=candles.local_index,
        y_timestamp=candles.future(6).tz_convert(candles.zone),
        sample_count=20, seed=5, top_p=0.9, lookback=64,
    )  # fmt: skip
    assert np.array_equal(found.paths, direct.paths)
    assert found.metadata() == direct.metadata()


def test_samples_through_the_service_are_the_library_s_own(local, bundled, candles):
    frame = candles.frame
    ends = (80, 60, 75, 90, 61)  # more than go into one request
    contexts = [read_context(frame[:n], frame.index[:n], 50) for n in ends]
    futures = [calendar_fields(frame.index[n : n + 4]) for n in ends]
    sampling = SamplingParameters(sample_count=10, seed=2)
    found = sampler(local, local.facts("bundled"))(contexts, futures, sampling)
    direct = bundled.sample(contexts, futures, sampling)
    assert all(np.array_equal(a, b) for a, b in zip(found, direct, strict=True))


@pytest.mark.parametrize("model", ["bundled", "ewma", "garch", "ensemble"])
def test_the_facts_of_files_are_those_of_the_loaded_model(local, model):
    facts = local.facts(model)
    assert local.run(FactsRequest(facts.model, facts.revision)) == facts


def test_the_longest_context_is_the_model_s(local, bundled):
    facts = local.facts("bundled")
    assert facts.context_length(sys.maxsize, 24) == bundled.context_length(10**9, 24)
    assert local.facts("garch").context_length(sys.maxsize, 24) == 1000


def test_a_baseline_is_a_model_like_others(local, candles):
    found = local.run(request(local, candles, "ewma"))
    direct = baseline("ewma").forecast(
        candles.frame, x_timestamp=candles.local_index,
        y_timestamp=candles.future(6).tz_convert(candles.zone), sample_count=20, seed=5,
    )  # fmt: skip
    assert np.array_equal(found.paths, direct.paths)
    assert found.metadata() == direct.metadata()


def loaded_by_a_forecast(model: str) -> set[str]:
    said = (
        "from data_sources.samples import load_sample\n"
        "from kronos.forecast import SamplingParameters\n"
        "from kronos.request import ForecastRequest\n"
        "from kronos.serving.service import LocalService\n"
        "candles = load_sample('BTCUSD_30m')\n"
        "local = LocalService()\n"
        "request = ForecastRequest.of_candles(\n"
        f"    candles, local.facts({model!r}), horizon=3, sampling=SamplingParameters())\n"
        "assert local.run(request).n_paths == 100\n"
        "local.close()"
    )
    return loaded_by(said)


def test_a_baseline_needs_no_torch():
    assert "torch" not in loaded_by_a_forecast("fhs")


def test_a_forecast_waits_for_no_compiler_of_torch():
    """Its import, and that of sympy, takes longer than the model does."""
    loaded = loaded_by_a_forecast("bundled")
    assert "torch" in loaded
    assert "sympy" not in loaded


def test_an_unknown_model_is_refused(local):
    with pytest.raises(InvalidRequest, match="nonesuch"):
        local.facts("nonesuch")


def test_weights_of_another_revision_are_refused_in_words(local, candles):
    right = request(local, candles)
    wrong = replace(right, revision="0" * 40)
    with pytest.raises(RevisionMismatch, match=r"bundled .*revision 0{16}; this machine has"):
        local.run(wrong)
    assert local.run(right).model_revision == right.revision


def test_one_series_that_cannot_be_forecast_spoils_no_other_of_a_batch(local, candles):
    good, short = request(local, candles, "garch"), request(local, candles.slice(-50), "garch")
    answers = local.run(BatchRequest("garch", good.revision, (short, good)))
    assert "needs at least 101 bars" in str(answers[0])
    assert np.array_equal(answers[1].paths, local.run(good).paths)


def test_a_loaded_model_says_where_it_computes(local, bundled, candles):
    local.run(request(local, candles))
    found = next(model for model in local.models if model.name == "bundled")
    assert found.n_bytes == bundled.n_bytes
    assert (found.placement.device, found.placement.dtype) == ("cpu", "float32")
    assert found.placement.n_threads >= 1


def test_there_is_one_service_in_a_process():
    assert service() is service()


def highest(forecast):
    return float(forecast.column("high").max())


def test_many_requests_are_answered_as_one_by_one_and_reduced(local, candles):
    requests = [request(local, candles.slice(0, 120 + i)) for i in range(5)]
    read = []

    def bulk():
        for i, each in enumerate(requests):
            read.append(i)
            yield BulkRequest(each, highest, i)

    found = {}
    for each, answer in local.run_many(bulk()):
        found[each.label] = answer
        assert len(read) <= len(found) + 2, "requests are built as there is room"
    assert found == {i: highest(local.run(each)) for i, each in enumerate(requests)}


def test_many_requests_stop_at_an_error_or_where_the_caller_stops(local, candles):
    right = request(local, candles)
    wrong = replace(right, revision="0" * 40)
    with pytest.raises(RevisionMismatch):
        list(local.run_many(map(BulkRequest, [wrong, right])))

    class Stopped(Exception):
        pass

    def stop():
        raise Stopped

    with pytest.raises(Stopped):
        list(local.run_many([BulkRequest(right)], watch=stop))
    give_up = time.monotonic() + 60
    while local.status(right.digest) is not None:  # the engine ends it between two steps
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.mark.timeout(60)
def test_a_job_that_ends_between_two_looks_is_answered(local, candles, monkeypatch):
    look = local.status

    def look_late(key, **options):
        while not look(key).is_final:
            time.sleep(0.01)
        return look(key, **options)

    monkeypatch.setattr(local, "watch_every", 0.001)
    monkeypatch.setattr(local, "status", look_late)
    asked = request(local, candles, lookback=71)
    assert local.run(asked, watch=lambda status: None).n_paths == 20
