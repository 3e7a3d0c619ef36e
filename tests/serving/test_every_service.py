"""What holds for every forecast service: of this process, a child, a server, a Ray cluster."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from data_sources.samples import load_sample
from kronos.errors import (
    DeadlineExceeded,
    ForecastCancelled,
    InvalidRequest,
    KronosError,
    NotFinished,
    RevisionMismatch,
)
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.interface import BulkRequest
from kronos.serving.jobs import Priority
from kronos.serving.requests import FactsRequest
from tests.patience import wait_until

LONG = 400
"""Bars that take seconds."""


@pytest.fixture
def request_of(service):
    def make(model="bundled", paths=10, horizon=3, seed=0, **options):
        return ForecastRequest.of_candles(
            load_sample("GOOG_1d"), service.facts(model), horizon=horizon,
            sampling=SamplingParameters(sample_count=paths, seed=seed, **options),
        )  # fmt: skip

    return make


def test_it_gives_the_bits_of_this_process(service, reference, request_of):
    for model in ("bundled", "ewma"):
        request = request_of(model)
        theirs, ours = service.run(request), reference.run(request)
        np.testing.assert_array_equal(theirs.paths, ours.paths)
        assert theirs.metadata() == ours.metadata()
    assert service.facts("bundled") == reference.facts("bundled")
    assert "bundled" in {model.name for model in service.models}


def test_progress_is_seen_and_who_leaves_ends_the_work(service, request_of):
    request = request_of(paths=2000, horizon=LONG, seed=1)
    service.submit(request, owner="page")
    status = wait_until(
        lambda: (found := service.status(request.digest, owner="page")) and found.done and found
    )
    assert status.done < status.total
    assert status.result is None
    with pytest.raises(NotFinished):
        service.result(request.digest, owner="page", timeout=0.05)
    service.leave(request.digest, owner="page")
    wait_until(
        lambda: (found := service.status(request.digest)) is None or found.state == "cancelled"
    )
    assert service.run(request_of(seed=2)).n_paths == 10, "the engine is free again"


def test_equal_requests_are_one(service, request_of):
    request = request_of(paths=200, horizon=40, seed=3)
    for owner in ("one", "two"):
        status = service.submit(request, owner=owner)
    assert status.watchers == 2
    service.leave(request.digest, owner="one")
    assert service.result(request.digest, owner="two").n_paths == 200


def test_a_person_goes_before_work_in_the_background(service, request_of):
    long = request_of(paths=2000, horizon=LONG, seed=4)
    service.submit(long, owner="walk", priority=Priority.BATCH)
    wait_until(lambda: service.status(long.digest, owner="walk").state == "running")
    assert service.run(request_of(seed=5), priority=Priority.PERSON).n_paths == 10
    assert not service.status(long.digest, owner="walk").is_final
    assert service.leave_all(owner="walk") == (long.digest,)


def test_a_deadline_is_kept(service, request_of):
    long = request_of(paths=2000, horizon=LONG, seed=6)
    with pytest.raises(DeadlineExceeded):
        service.run(long, deadline=0.5)


def test_errors_arrive_as_they_were_raised(service, request_of):
    with pytest.raises(InvalidRequest, match="T must be 1 for"):
        service.run(request_of("ewma", T=0.5))
    with pytest.raises(KronosError, match="nonesuch"):
        service.facts("nonesuch")
    with pytest.raises(RevisionMismatch):
        service.run(replace(request_of(), revision="0" * 40))


def test_many_are_answered_and_end_where_the_caller_stops(service, reference, request_of):
    requests = [request_of(seed=10 + i) for i in range(6)]
    many = (BulkRequest(each, last_close, i) for i, each in enumerate(requests))
    found = {each.label: answer for each, answer in service.run_many(many)}
    assert found == {i: last_close(reference.run(each)) for i, each in enumerate(requests)}

    class Stopped(Exception):
        pass

    def stop():
        raise Stopped

    with pytest.raises(Stopped):
        list(service.run_many([BulkRequest(request_of(horizon=LONG))], watch=stop))


def last_close(forecast):
    return float(forecast.column("close")[:, -1].mean())


def test_a_question_without_sampling_is_answered_while_others_are_drawn(service, request_of):
    facts = service.facts("bundled")
    long = request_of(paths=2000, horizon=LONG, seed=7)
    service.submit(long, owner="walk", priority=Priority.BATCH)
    assert service.run(FactsRequest("bundled", facts.revision)) is not None
    service.leave_all(owner="walk")


def test_threads_of_any_number_may_ask(service, reference, request_of):
    requests = [request_of(seed=20 + i, paths=20, horizon=6) for i in range(8)]
    found = {}

    def ask(request):
        found[request.digest] = service.run(request)

    threads = [threading.Thread(target=ask, args=(each,)) for each in requests]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in requests:
        np.testing.assert_array_equal(found[each.digest].paths, reference.run(each).paths)


def test_a_cancelled_job_says_so_to_those_who_come_back(service, request_of):
    long = request_of(paths=2000, horizon=LONG, seed=8)
    service.submit(long, owner="page")
    answers = []

    def wait():
        try:
            service.result(long.digest, owner="page", timeout=60)
        except ForecastCancelled as error:
            answers.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.3)
    service.leave_all(owner="page")
    waiting.join(30)
    assert len(answers) == 1
