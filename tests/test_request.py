"""A request is data: the same bytes in every process, and the same answer."""

from __future__ import annotations

import importlib
import json
import pickle
import struct
import subprocess
import sys
from contextlib import closing
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sources.samples import load_sample
from kronos.candles import Candles
from kronos.context import calendar_fields, read_context
from kronos.errors import InvalidRequest
from kronos.events import event_inputs, load_events
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecasters.reconstruction import Reconstruction
from kronos.request import EngineRequest, ForecastRequest, Market, ModelFacts, market_of
from kronos.self_test.steps import DecodingCheck
from kronos.serving.requests import (
    BatchRequest,
    FactsRequest,
    ManySamplesRequest,
    ModelRequest,
    PlacementRequest,
    ReconstructionRequest,
    SampleRequest,
    WarmUpRequest,
)
from kronos.serving.service import LocalService, forecaster_facts
from tests.source_tree import ROOT, module_name, python_files

GOOG = load_sample("GOOG_1d")
READER = ModelFacts(
    "reader", "Reader", "r1", 2, 512, advised=128, shares_window=True, reads_events=True
)


def request(facts: ModelFacts = READER, **changes: Any) -> ForecastRequest:
    """A request of 128 bars with event rows, where the model reads them."""
    sampling = SamplingParameters(sample_count=10, seed=4)
    found = ForecastRequest.of_candles(
        GOOG, facts, horizon=24, sampling=sampling, events=event_inputs(load_events(), GOOG)
    )
    return replace(found, **changes)


def same(one: ForecastRequest, other: ForecastRequest) -> bool:
    """Whether two requests are the same to the last bit."""
    values = (getattr(each, field.name) for field in fields(one) for each in (one, other))
    pairs = zip(values, values, strict=True)
    return all(
        a.tobytes() == b.tobytes() and a.dtype == b.dtype and a.shape == b.shape
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
        else a.equals(b) and (a.dtype, a.name) == (b.dtype, b.name)
        if isinstance(a, pd.DatetimeIndex)
        else a == b
        for a, b in pairs
    )


def test_128_bars_with_event_rows_take_less_than_10_kb():
    wanted = request()
    assert (len(wanted.bars), len(wanted.events)) == (128, 152)
    assert len(wanted.to_bytes()) < 9_500
    assert len(pickle.dumps(wanted)) < 10_000
    noisy = np.random.default_rng(0).lognormal(size=(128, 6))
    assert len(pickle.dumps(replace(wanted, bars=noisy))) < 10_000, "prices without any pattern"


def test_it_comes_back_bit_for_bit():
    wanted = request()
    for found in (
        ForecastRequest.from_bytes(wanted.to_bytes()),
        pickle.loads(pickle.dumps(wanted)),
    ):
        assert same(found, wanted)
        assert found == wanted
        assert found.digest == wanted.digest
        assert hash(found) == hash(wanted)


@settings(max_examples=60)
@given(
    n_bars=st.integers(2, 40),
    horizon=st.integers(1, 9),
    zone=st.sampled_from([None, "UTC", "America/New_York", "Asia/Kolkata", "Europe/Berlin"]),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    name=st.sampled_from([None, "timestamp"]),
    T=st.sampled_from([0, 1, 0.7, 1.0]),
    lookback=st.sampled_from([None, 2]),
    n_channels=st.sampled_from([None, 20]),
    market=st.sampled_from([None, Market("BTC/USDT", "1h", "24/7", "UTC", "binance")]),
    anchor=st.booleans(),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_request_comes_back_bit_for_bit(
    n_bars, horizon, zone, unit, name, T, lookback, n_channels, market, anchor, seed
):
    rng = np.random.default_rng(seed % 2**32)
    index = pd.date_range("2024-10-20", periods=n_bars + horizon, freq="1h", tz="UTC").as_unit(unit)
    index = index.tz_localize(None) if zone is None else index.tz_convert(zone)
    rows = None
    if n_channels is not None:
        rows = rng.normal(size=(n_bars + horizon, n_channels)).astype(np.float32)
    wanted = ForecastRequest(
        "model", "revision", "Name", rng.lognormal(size=(n_bars, 6)), index[:n_bars],
        index[n_bars:].rename(name), SamplingParameters(T, 0.9, 3, 7, seed), lookback, rows,
        market, anchor,
    )  # fmt: skip
    found = ForecastRequest.from_bytes(wanted.to_bytes())
    assert same(found, wanted)
    assert found.digest == wanted.digest


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=200)
def test_bytes_of_anything_else_are_refused(position, change):
    wanted = request()
    data = bytearray(wanted.to_bytes())
    data[position % len(data)] ^= change
    try:
        found = ForecastRequest.from_bytes(bytes(data))
    except InvalidRequest:
        return
    # A letter of a name makes another request; nothing raises another error.
    assert found.digest != wanted.digest or replace(found, model=wanted.model) == wanted


def changed(**facts: Any) -> bytes:
    """The bytes of a request, with other facts at their head."""
    data = request().to_bytes()
    (size,) = struct.unpack_from("<I", data, 4)
    head = json.dumps(json.loads(data[8 : 8 + size]) | facts).encode()
    return data[:4] + struct.pack("<I", len(head)) + head + data[8 + size :]


@pytest.mark.parametrize(
    "facts",
    [
        {"zone": 10**30}, {"zone": ""}, {"zone": "No/Where"}, {"shape": [10**30, 1]},
        {"shape": [0, 0], "n_channels": 0}, {"units": ["x", "ns"]}, {"sampling": [1]},
        {"model": {}}, {"revision": None}, {"name": 3}, {"market": {"zone": 1}}, {"market": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_facts_that_are_none_of_a_request_are_refused(facts):
    with pytest.raises(InvalidRequest):
        ForecastRequest.from_bytes(changed(**facts))


def test_lists_within_lists_are_refused():
    nested = b"[" * 100_000
    with pytest.raises(InvalidRequest, match="no forecast request"):
        ForecastRequest.from_bytes(b"KFR1" + struct.pack("<I", len(nested)) + nested)


@pytest.mark.parametrize("data", [b"", b"KFR1", b"KFR1\xff\xff\xff\xff", b"{}", b"KFR1\0\0\0\0"])
def test_what_is_no_request_is_refused(data):
    with pytest.raises(InvalidRequest, match="no forecast request"):
        ForecastRequest.from_bytes(data)


def test_the_digest_covers_all_that_the_forecast_depends_on():
    wanted = request()
    bars, rows = wanted.bars.copy(), wanted.events.copy()
    bars[5, 3] = np.nextafter(bars[5, 3], 0.0)
    rows[3, 0] += 1.0
    sampling = wanted.sampling
    others = [
        replace(wanted, name="Another"),
        replace(wanted, revision="r2"),
        replace(wanted, bars=bars),
        replace(wanted, times=wanted.times - pd.Timedelta("1min")),
        replace(wanted, future=wanted.future + pd.Timedelta("1min")),
        *(
            replace(wanted, sampling=replace(sampling, **change))
            for change in ({"T": 0.9}, {"top_p": 0.9}, {"top_k": 1}, {"seed": 5})
        ),
        replace(wanted, sampling=replace(sampling, sample_count=11)),
        replace(wanted, lookback=64),
        replace(wanted, events=rows),
        replace(wanted, events=None),
        replace(wanted, market=None),
        replace(wanted, market=replace(wanted.market, instrument="IBM")),
        replace(wanted, anchor=False),
    ]
    assert len({each.digest for each in (wanted, *others)}) == len(others) + 1


def test_equal_questions_have_equal_digests():
    """Bars that are not read, a number's type and the way to the weights are no part of it."""
    wanted = request()
    shorter = ForecastRequest.of_candles(
        GOOG.slice(-300), READER, horizon=24, sampling=SamplingParameters(1, 1, 0, 10, 4),
        events=event_inputs(load_events(), GOOG),
    )  # fmt: skip
    assert shorter.digest == wanted.digest
    assert replace(wanted, model="/folder/of/the/same/weights").digest == wanted.digest
    unknown = replace(wanted, revision="")
    assert replace(unknown, model="another").digest != unknown.digest


def test_a_lookback_that_the_bars_show_is_no_part_of_a_request():
    def of(candles: Candles, facts: ModelFacts, lookback: Any) -> ForecastRequest:
        sampling = SamplingParameters(sample_count=10)
        return ForecastRequest.of_candles(
            candles, facts, horizon=24, sampling=sampling, lookback=lookback
        )

    assert of(GOOG, READER, 128).digest == of(GOOG, READER, None).digest
    assert of(GOOG, READER, 64).digest == of(GOOG.slice(-64), READER, None).digest
    longer = of(GOOG, READER, 200)
    assert (longer.lookback, len(longer.context(READER).values)) == (200, 200)
    ensemble = forecaster_facts("ensemble")
    some = of(GOOG, ensemble, 200)
    assert (some.lookback, len(some.context(ensemble).values)) == (200, 200)
    for member in ensemble.members:
        n_read = member.context_length(len(some.bars), 24)
        alone = of(GOOG, member, min(200, n_read))
        assert some.for_member(member, ensemble).digest == alone.digest


def test_numbers_of_numpy_make_the_same_request():
    sampling = SamplingParameters(np.float32(1), np.float64(1), np.int32(0), np.int64(10), 4)
    for lookback in (np.int64(200), 200.0):
        found = ForecastRequest.of_frame(
            GOOG.frame, READER, x_timestamp=GOOG.local_index,
            y_timestamp=GOOG.future(24).tz_convert(GOOG.zone), sampling=sampling,
            lookback=lookback, anchor=np.bool_(True), market=market_of(GOOG),
        )  # fmt: skip
        plain = ForecastRequest.of_candles(
            GOOG, READER, horizon=24, sampling=SamplingParameters(sample_count=10, seed=4),
            lookback=200,
        )  # fmt: skip
        assert found.digest == plain.digest
        assert ForecastRequest.from_bytes(found.to_bytes()) == found


@pytest.mark.parametrize("model", ["bundled", "ensemble"])
@pytest.mark.parametrize("lookback", [64.5, True, "64"])
def test_a_lookback_is_a_whole_number(model, lookback):
    with pytest.raises(InvalidRequest, match="lookback must be a whole number"):
        forecaster_facts(model).context_length(500, 24, lookback)


def test_the_digest_is_the_same_in_every_version():
    """Queues, caches and stores know requests by it."""
    times = pd.date_range("2025-01-01", periods=4, freq="1h", tz="UTC", unit="ns")
    fixed = ForecastRequest(
        "bundled", "abc", "bundled", np.arange(1.0, 19.0).reshape(3, 6), times[:3], times[3:],
        SamplingParameters(sample_count=5), market=Market("X", "1h", "24/7", "UTC", "file"),
    )  # fmt: skip
    assert fixed.digest == "85f92bfa99f7a1a1f3c7f770b7c40e5092d6ba0b88222df954946a6c037a8e62"


def test_a_model_that_reads_no_events_gets_no_event_rows():
    plain = request(replace(READER, reads_events=False))
    assert plain.events is None
    with pytest.raises(InvalidRequest, match="never trained with events"):
        ForecastRequest.of_frame(
            GOOG.frame, replace(READER, reads_events=False), x_timestamp=GOOG.local_index,
            y_timestamp=GOOG.future(2).tz_convert(GOOG.zone), sampling=SamplingParameters(),
            events=np.zeros((len(GOOG) + 2, 20)),
        )  # fmt: skip


def test_shapes_and_clocks_that_do_not_fit_are_refused():
    wanted = request()
    with pytest.raises(InvalidRequest, match=r"bars must be float64 of \(128, 6\)"):
        replace(wanted, bars=wanted.bars[1:])
    with pytest.raises(InvalidRequest, match="events must be float32 rows of 128 bars and 24"):
        replace(wanted, events=wanted.events[1:])
    with pytest.raises(InvalidRequest, match="bars of finite numbers"):
        replace(wanted, bars=np.full_like(wanted.bars, np.nan))
    with pytest.raises(InvalidRequest, match="20 finite numbers each"):
        replace(wanted, events=wanted.events[:, :3])
    with pytest.raises(InvalidRequest, match="on the clock America/New_York"):
        replace(wanted, future=wanted.future.tz_convert("UTC"))


def every_kind() -> set[type[EngineRequest]]:
    """Every class of request in the tree that can be made."""
    for file in python_files("kronos"):
        if "EngineRequest" in (text := file.read_text(encoding="utf-8")) or "ModelRequest" in text:
            importlib.import_module(module_name(file))
    found: set[type[EngineRequest]] = set()
    left = [EngineRequest]
    while left:
        kind = left.pop()
        found.add(kind)
        left += kind.__subclasses__()
    own = {kind for kind in found if kind.__module__.startswith("kronos.")}
    return own - {EngineRequest, ModelRequest}


def one_of_each() -> list[EngineRequest]:
    facts = forecaster_facts("bundled")
    name, revision = facts.model, facts.revision
    contexts = [read_context(GOOG.frame[:n], GOOG.local_index[:n], 40) for n in (80, 60)]
    futures = [calendar_fields(GOOG.local_index[n : n + 3]) for n in (80, 60)]
    sampling = SamplingParameters(sample_count=3, seed=2)
    samples = SampleRequest(name, revision, tuple(contexts), tuple(futures), sampling)
    other = replace(samples, sampling=replace(sampling, T=0.5))
    return [
        request(facts),
        request(forecaster_facts("fhs")),
        request(forecaster_facts("ensemble")),
        BatchRequest(name, revision, (request(facts), request(facts, lookback=40))),
        samples,
        ManySamplesRequest(name, revision, (samples, other)),
        FactsRequest(name, revision),
        PlacementRequest(name, revision),
        ReconstructionRequest(name, revision, contexts[0]),
        WarmUpRequest(name, revision),
        DecodingCheck(name, revision),
    ]


def as_bytes(answer: object) -> object:
    """An answer in a form that can be compared to the last bit."""
    if isinstance(answer, Forecast):
        facts = [field.name for field in fields(answer) if field.name not in ("seconds", "paths")]
        known = [as_bytes(getattr(answer, name)) for name in facts]
        return [answer.paths.tobytes(), *known]
    if isinstance(answer, Reconstruction):
        return [as_bytes(getattr(answer, field.name)) for field in fields(answer)]
    if isinstance(answer, np.ndarray):
        return answer.tobytes()
    if isinstance(answer, list | tuple):
        return [as_bytes(each) for each in answer]
    if isinstance(answer, pd.DatetimeIndex):
        return [answer.asi8.tobytes(), str(answer.tz)]
    return answer


OTHER_PROCESS = """\
import pickle, sys
from contextlib import closing
from kronos.serving.service import LocalService
requests = pickle.loads(open(sys.argv[1], "rb").read())
with closing(LocalService(device="cpu")) as service:
    answers = [(request.digest, service.run(request)) for request in requests]
open(sys.argv[2], "wb").write(pickle.dumps(answers))
"""


def test_another_process_gives_bitwise_the_same_answer_to_every_kind_of_request(tmp_path):
    requests = one_of_each()
    assert {type(each) for each in requests} == every_kind(), "a new kind belongs into the list"
    sent, received = tmp_path / "requests", tmp_path / "answers"
    sent.write_bytes(pickle.dumps(requests))
    subprocess.run([sys.executable, "-c", OTHER_PROCESS, sent, received], cwd=ROOT, check=True)
    others = pickle.loads(received.read_bytes())
    with closing(LocalService(device="cpu")) as service:
        for each, (digest, answer) in zip(requests, others, strict=True):
            assert digest == each.digest
            assert as_bytes(answer) == as_bytes(service.run(each)), type(each).__name__


def test_rows_are_those_that_the_model_was_trained_with():
    events = event_inputs(load_events(), GOOG)
    held, future = GOOG.slice(-128), GOOG.future(24)
    for alignment in ("bar", "ahead"):
        found = request(replace(READER, event_alignment=alignment)).events
        np.testing.assert_array_equal(found, events.rows(held, future, [alignment]))
    assert request().digest != request(replace(READER, event_alignment="ahead")).digest


def test_members_of_an_ensemble_get_rows_of_their_own_alignment():
    own = replace(READER, advised=None, most=200)
    ahead = replace(own, model="ahead", name="Ahead", event_alignment="ahead")
    silent = replace(own, model="silent", name="Silent", reads_events=False)
    ensemble = replace(own, model="both", name="Both", members=(silent, ahead, own))
    assert ensemble.event_alignments == ("bar", "ahead")
    whole = request(ensemble)
    assert whole.events.shape[1] == 40
    assert same(ForecastRequest.from_bytes(whole.to_bytes()), whole)
    for member in ensemble.members:
        assert whole.for_member(member, ensemble).digest == request(member).digest
    alone = replace(ensemble, members=(silent, ahead))
    assert alone.event_alignments == ("ahead",)
    assert request(alone).for_member(ahead, alone).digest == request(ahead).digest
    given = ForecastRequest.of_frame(
        GOOG.frame, ensemble, x_timestamp=GOOG.local_index,
        y_timestamp=GOOG.future(24).tz_convert(GOOG.zone), sampling=whole.sampling,
        events=np.zeros((len(GOOG.frame) + 24, 40)),
    )  # fmt: skip
    assert given.events.shape == whole.events.shape
