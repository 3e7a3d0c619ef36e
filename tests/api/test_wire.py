"""Requests and answers travel bit for bit, and no bytes make the reader fail otherwise."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from data_sources.samples import load_sample
from kronos.context import Context, calendar_fields
from kronos.errors import Busy, InvalidRequest, RateLimited, UnknownSymbol
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving import requests
from kronos.serving.wire import dump, load


def same(one, other):
    """Whether two values are the same, to the last bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and (
            one.tobytes() == other.tobytes()
        )  # fmt: skip
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, pd.DatetimeIndex):
        return one.identical(other) and one.unit == other.unit
    if isinstance(one, Exception):
        return str(one) == str(other) and vars(one) == vars(other)
    if is_dataclass(one) and not isinstance(one, ForecastRequest):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(one == other) or one != one


@pytest.fixture(scope="module")
def asked(service):
    """One request of every kind, of the bundled model and of baselines."""
    candles = load_sample("GOOG_1d").slice(-200)
    facts = service.facts("bundled")
    sampling = SamplingParameters(sample_count=4, seed=3)
    one = ForecastRequest.of_candles(candles, facts, horizon=3, sampling=sampling)
    cone = ForecastRequest.of_candles(candles, service.facts("ewma"), horizon=3, sampling=sampling)
    times = pd.DatetimeIndex(candles.local_index)
    context = Context(candles.frame.to_numpy()[-60:], calendar_fields(times[-60:]))
    future = calendar_fields(candles.future(2).tz_convert(candles.zone))
    of = (facts.model, facts.revision)
    sample = requests.SampleRequest(*of, (context,), (future,), sampling)
    return [
        one,
        cone,
        requests.FactsRequest(*of),
        requests.PlacementRequest(*of),
        requests.WarmUpRequest(*of),
        requests.ReconstructionRequest(*of, context),
        requests.BatchRequest(*of, (one, one)),
        sample,
        requests.ManySamplesRequest(*of, (sample,)),
    ]


def test_every_request_and_its_answer_travel_bit_for_bit(asked, service):
    own = requests.__name__  # other tests have kinds of their own
    kinds = [each for each in requests.ModelRequest.__subclasses__() if each.__module__ == own]
    assert {type(each) for each in asked} == {ForecastRequest, *kinds}
    for request in asked:
        arrived = load(dump(request))
        assert arrived.digest == request.digest
        answer = service.run(request)
        assert same(load(dump(answer)), answer), type(request)
        status = service.submit(request, owner="test")
        assert same(load(dump(status)), status)


def test_errors_keep_their_class_words_and_facts():
    for error in (
        Busy("Full.", position=3), RateLimited("Slow.", retry_after=2.5), UnknownSymbol("None.")
    ):  # fmt: skip
        assert same(load(dump(error)), error)
    assert str(load(dump(ValueError("odd")))) == "ValueError: odd"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text()
    | st.floats(allow_nan=False)
    | arrays.arrays(st.sampled_from(["<f8", "<f4", "<i8", "|b1"]), arrays.array_shapes(min_side=0)),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple)
    | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=60)
@given(PLAIN)
def test_whatever_is_written_is_read(value):
    assert same(load(dump(value)), value)


@settings(max_examples=150)
@given(st.data())
def test_damaged_bytes_are_refused_in_words(asked, data):
    whole = dump(asked[data.draw(st.integers(0, len(asked) - 1))])
    at = data.draw(st.integers(0, min(len(whole) - 1, 3000)))
    damaged = data.draw(
        st.sampled_from([whole[:at], whole[:at] + b"\x00" + whole[at + 1 :], b"KFW1" + whole[at:]])
    )
    with suppress(InvalidRequest):  # no other error; a digit may have become another one
        load(damaged)


def test_nothing_else_travels():
    with pytest.raises(TypeError, match="does not travel"):
        dump(object())
    for head in ('["object","SystemExit",{}]', '["object","ApiKey",{"name":"x"}]', '["eval","1"]'):
        with pytest.raises(InvalidRequest):
            load(b"KFW1" + len(head).to_bytes(4, "little") + head.encode() + bytes(4))


def test_requests_that_no_engine_can_read_are_refused(asked):
    sample = next(each for each in asked if type(each) is requests.SampleRequest)
    short = replace(sample, futures=(sample.futures[0][:, :4],))
    odd = replace(sample, contexts=sample.futures)
    unnamed = requests.WarmUpRequest(3, "main")
    for each in (short, odd, unnamed, requests.BatchRequest("m", "r", (sample,))):
        with pytest.raises(InvalidRequest):
            load(dump(each))


def test_a_small_message_does_not_unpack_to_a_large_one():
    head = b'["list",[["array",0,"<f8",[1]],["array",0,"<f8",[1]]]]'
    data = b"KFW1" + len(head).to_bytes(4, "little") + head
    data += (1).to_bytes(4, "little") + (8).to_bytes(8, "little") + bytes(8)
    with pytest.raises(InvalidRequest):
        load(data)
