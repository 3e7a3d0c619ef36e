"""Place and progress of jobs in replicas: one question for all jobs of a replica."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from kronos.serving.cluster import board, calls, connection
from kronos.serving.cluster.board import Board
from kronos.serving.jobs import Job, Priority
from tests.patience import wait_until


class Replica:
    """Answers like `Replica.status`, and is the handle of its jobs."""

    def __init__(self, states):
        self.states, self.asked = states, []

    def options(self, *, method_name):
        assert method_name == "status"
        return self

    def remote(self, priorities):
        self.asked.append(priorities)

        async def answer():
            return {key: state for key, state in self.states.items() if key in priorities}

        return answer()


class Silent(Replica):
    """Has no slot for a question."""

    def __init__(self):
        super().__init__({})
        self.is_cancelled = False

    def remote(self, priorities):
        found = super().remote(priorities)
        found.close()
        owner = self

        class Never:
            def __await__(self):
                return asyncio.Event().wait().__await__()

            def cancel(self):
                owner.is_cancelled = True

        return Never()


@pytest.fixture
def places(monkeypatch):
    monkeypatch.setattr(board, "EVERY", 0.1)
    monkeypatch.setattr(calls, "is_joined", lambda: True)
    places = Board()
    yield places
    places.close()


def job(key):
    made = Job(key, None, 0.0)
    made.state = "running"
    return made


def test_one_question_brings_the_places_of_all_jobs_of_a_replica(places):
    here = Replica({f"a{i}": ("drawing", 0, 24, i) for i in range(30)})
    there = Replica({f"b{i}": ("drawing", i, 24, 0) for i in range(30)})
    jobs = {key: job(key) for key in (*here.states, *there.states)}
    for key, each in jobs.items():
        each.priority = Priority.VISIT
        places.add(each, here if key in here.states else there, connection.n_joined(), "bundled")
    wait_until(lambda: all(each.stage for each in jobs.values()))
    assert [jobs[f"a{i}"].place for i in range(30)] == list(range(30))
    assert [jobs[f"b{i}"].done for i in range(30)] == list(range(30))
    assert len(here.asked) + len(there.asked) <= 4
    assert set(here.asked[0].values()) == {int(Priority.VISIT)}


def test_a_job_that_ended_is_neither_asked_for_nor_written(places):
    replica = Replica({"a": ("drawing", 1, 24, 7), "b": ("drawing", 1, 24, 7)})
    ended, running = job("a"), job("b")
    for each in (ended, running):
        places.add(each, replica, connection.n_joined(), "bundled")
    places.remove(ended)
    wait_until(lambda: running.place == 7)
    assert ended.place == 0
    assert all("a" not in priorities for priorities in replica.asked)


def test_a_replica_without_a_slot_means_first_in_line(places):
    replica = Silent()
    waiting = [job(f"{i}") for i in range(3)]
    for each in waiting:
        places.add(each, replica, connection.n_joined(), "bundled")
    wait_until(lambda: all(each.place == 1 for each in waiting))
    wait_until(lambda: replica.is_cancelled)


@pytest.mark.parametrize("error", [ConnectionError("gone"), TypeError("of other code")])
def test_a_question_that_fails_leaves_the_jobs_as_they_are(places, error):
    replica, waiting = Replica({"a": ("drawing", 1, 24, 7)}), job("a")
    lost = threading.Event()

    def remote(priorities):
        lost.set()
        raise error

    answers, replica.remote = replica.remote, remote
    places.add(waiting, replica, connection.n_joined(), "bundled")
    assert lost.wait(5)
    assert waiting.place == 0
    replica.remote = answers
    wait_until(lambda: waiting.place == 7)  # the next round asks again


class Cancelled:
    """A response of Serve that was cancelled: awaited, it raises; called, it ends."""

    def __init__(self):
        self.is_cancelled, self._end = False, asyncio.Event()

    def remote(self):
        return self

    def cancel(self):
        self.is_cancelled = True
        calls._loop().call_soon_threadsafe(self._end.set)

    def __await__(self):
        try:
            yield from self._end.wait().__await__()
        finally:
            raise RuntimeError("The request was cancelled.")


class Late:
    def remote(self):
        return self

    def __await__(self):
        raise TimeoutError("in the replica")
        yield


def test_an_error_of_time_in_the_replica_is_raised_at_once():
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="in the replica"):
        calls.Call(Late(), connection.n_joined()).result()
    assert time.monotonic() - begun < 5


def test_a_call_that_is_cancelled_leaves_no_error_behind():
    faults = []
    loop = calls._loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        for _ in range(20):
            response = Cancelled()
            call = calls.Call(response, connection.n_joined())
            time.sleep(0.01)
            call.cancel()
            assert call.answer.cancelled()
            assert response.is_cancelled
            del call
        gc.collect()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result(5)
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert faults == []
