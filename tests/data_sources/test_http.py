"""The policy for repeating requests: how often, how long, and for which errors."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor

import ccxt
import pytest

from data_sources.exchange.client import ExchangeClient
from data_sources.http import Body, Retry, raise_for_redirect
from kronos.errors import (
    IntervalUnavailable,
    RateLimited,
    SourceBlocked,
    SourceDown,
    SourceNonsense,
    UnknownSymbol,
)


class Requests:
    """A request that raises one error after another, and then succeeds."""

    def __init__(self, *errors):
        self.errors = iter(errors)
        self.seconds = []

    def __call__(self, seconds):
        self.seconds.append(seconds)
        error = next(self.errors, None)
        if error is not None:
            raise error
        return "bars"


def test_a_request_to_a_broken_source_is_repeated_after_pauses_that_double():
    pauses, request = [], Requests(SourceDown("no"), SourceDown("no"))
    assert Retry("It", sleep=pauses.append).run(request) == "bars"
    assert pauses == [0.5, 1.0]


def test_the_error_of_the_last_attempt_is_raised():
    errors = [SourceDown(f"{n}") for n in range(4)]
    request = Requests(*errors)
    with pytest.raises(SourceDown) as caught:
        Retry("It", sleep=lambda _: None).run(request)
    assert caught.value is errors[2]


@pytest.mark.parametrize(
    "kind", [UnknownSymbol, IntervalUnavailable, SourceBlocked, SourceNonsense, ValueError]
)
def test_no_other_error_is_worth_a_second_request(kind):
    request = Requests(kind("no"))
    with pytest.raises(kind):
        Retry("It", sleep=lambda _: pytest.fail("slept")).run(request)
    assert len(request.seconds) == 1


def test_all_attempts_end_in_time_however_long_each_may_take():
    request = Requests(*[SourceDown("no")] * 3)
    with pytest.raises(SourceDown):
        Retry("It", seconds=0.2, sleep=lambda _: None).run(request)
    assert len(request.seconds) == 1
    assert request.seconds[0] <= 0.2


def test_a_short_rate_limit_is_waited_for():
    request = Requests(RateLimited("slowly", retry_after=0.05))
    start = time.monotonic()
    assert Retry("It").run(request) == "bars"
    assert time.monotonic() - start >= 0.05


@pytest.mark.parametrize(("named", "wait"), [(30.0, 30.0), (None, 60.0)])
def test_during_a_long_rate_limit_nobody_sends_a_request(named, wait):
    retry = Retry("It", sleep=lambda _: pytest.fail("slept"))
    with pytest.raises(RateLimited, match="slowly"):
        retry.run(Requests(RateLimited("slowly", retry_after=named)))
    assert wait - 5 < retry.seconds_to_wait <= wait
    other = Requests()
    with pytest.raises(
        RateLimited, match=r"It got too many requests \(requests are paused\)"
    ) as got:
        retry.run(other)
    assert other.seconds == []
    assert wait - 5 < got.value.retry_after <= wait


def test_a_patient_caller_sleeps_through_a_long_rate_limit_and_leaves_other_errors_alone():
    slept = []
    retry = Retry("It", longest_wait=90, seconds=1e9, repeat_on=(RateLimited,), sleep=slept.append)
    assert retry.run(Requests(RateLimited("slowly", retry_after=80.0))) == "bars"
    assert slept == [pytest.approx(80, abs=5)]
    down = Requests(SourceDown("no"))
    with pytest.raises(SourceDown):
        retry.run(down)
    assert len(down.seconds) == 1


def test_all_threads_wait_for_the_end_of_a_rate_limit():
    retry, sent = Retry("It", attempts=1), []
    start = time.monotonic()
    with pytest.raises(RateLimited):
        retry.run(Requests(RateLimited("slowly", retry_after=0.2)))
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(retry.run, lambda _: sent.append(time.monotonic() - start))
    assert len(sent) == 4
    assert min(sent) >= 0.2


def test_no_client_library_repeats_requests_of_its_own():
    from data_sources.yahoo.client import _configured
    from data_sources.yahoo.session import ChartSession

    assert _configured().config.network.retries == 0
    assert ChartSession().retry.count == 0
    for name in ("binance", "kraken", "okx"):
        client = ExchangeClient(name).ccxt
        assert isinstance(client, ccxt.Exchange)
        assert client.handle_option_and_params({}, "any", "maxRetriesOnFailure", 9)[0] == 0
        assert client.session.get_adapter("https://x").max_retries.total == 0


def test_bytes_after_the_end_of_a_compressed_body_are_refused():
    """They have no place in the body, so that its limit would not hold for them."""
    body = Body("A source", "gzip", most=1000)
    assert body.add(gzip.compress(b"[]"))
    with pytest.raises(SourceNonsense, match="compression is damaged"):
        body.add(b"\0")
    assert body.content() == b"[]"


@pytest.mark.parametrize(
    "target", ["https://x/?api_key=SECRET", "https://u:SECRET@x/", "http://[SECRET"]
)
def test_a_redirect_that_repeats_the_key_of_a_request_is_named_without_it(target):
    with pytest.raises(SourceNonsense, match="redirects to another address") as caught:
        raise_for_redirect("A source", "https://host/?api_key=SECRET", target)
    assert "SECRET" not in str(caught.value)
