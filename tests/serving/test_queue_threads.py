"""The queue where threads meet: who blocks, who is woken, and that nothing is lost."""

from __future__ import annotations

import itertools
import random
import threading
import time

import pytest

from kronos.errors import (
    Busy,
    DeadlineExceeded,
    ForecastCancelled,
)
from kronos.serving.jobs import Limits, Priority
from kronos.serving.queue import JobQueue
from tests.serving.submitting import submit

PATIENCE = 20.0
N_THREADS, N_REQUESTS, N_KEYS = 8, 400, 40


class Call:
    """A call in a thread of its own, with what came of it."""

    def __init__(self, function, *args, **kwargs) -> None:
        def run():
            try:
                self.result = function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the outcome, whichever it is
                self.error = error

        self.result = self.error = None
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    @property
    def is_blocked(self) -> bool:
        self.thread.join(0.05)
        return self.thread.is_alive()

    def end(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.result


def test_result_waits_for_the_end(queue):
    submit(queue, "a")
    call = Call(queue.result, "a", owner="owner of a")
    assert call.is_blocked
    job = queue.take(0)
    assert job.payload == "payload of a"
    queue.finish(job, "fan")
    assert call.end() == "fan"


def test_take_waits_for_a_job_and_no_longer_than_its_timeout(queue):
    assert queue.take(0.01) is None
    call = Call(queue.take)
    assert call.is_blocked
    submit(queue, "a")
    assert call.end().key == "a"


def test_a_job_wakes_a_worker_that_may_take_it(queue):
    people = [Call(queue.take, PATIENCE, worst=Priority.PERSON) for _ in range(2)]
    anyone = Call(queue.take, PATIENCE)
    assert anyone.is_blocked
    submit(queue, "background", priority=Priority.BATCH)
    assert anyone.end().key == "background"
    assert all(call.is_blocked for call in people)
    submit(queue, "one", "two")
    assert {call.end().key for call in people} == {"one", "two"}


@pytest.mark.parametrize("ticks", range(1, 12))
def test_a_deadline_that_passes_while_a_job_is_taken_ends_no_worker(ticks):
    """At each reading of the clock one second has passed."""
    queue = JobQueue(Limits(abandon_after=1e9), clock=itertools.count().__next__)
    submit(queue, "late", deadline=ticks)
    call = Call(queue.take)
    call.thread.join(0.02)
    submit(queue, "next")
    assert call.end() is not None


def test_waiting_for_room_ends_with_room(queue):
    submit(queue, "a", "b")
    call = Call(submit, queue, "c", wait=True)
    assert call.is_blocked
    assert queue.status("c") is None
    assert queue.take(0).key == "a"
    call.end()
    assert queue.status("c").position == 2


def test_room_is_passed_on_by_one_who_needs_none(queue):
    submit(queue, "a", "b")
    calls = [Call(submit, queue, "c", owner=name, wait=True) for name in "xyz"]
    calls.append(Call(submit, queue, "d", wait=True))
    assert all(call.is_blocked for call in calls)
    queue.leave("a", owner="owner of a")
    queue.leave("b", owner="owner of b")
    for call in calls:
        call.end()
    assert queue.status("c").watchers == 3
    assert queue.status("d").state == "queued"


def test_a_blocked_owner_is_never_abandoned():
    queue = JobQueue(Limits(abandon_after=0.02))
    submit(queue, "a")
    call = Call(queue.result, "a", owner="owner of a")
    assert call.is_blocked
    time.sleep(0.05)
    job = queue.take(0)
    assert queue.is_wanted(job)
    queue.finish(job, 1)
    assert call.end() == 1


def test_the_end_of_a_job_waits_for_no_owner_that_was_told_too_late():
    queue = JobQueue(Limits(max_queued=1))
    submit(queue, "running", deadline=0.05)
    job = queue.take(0)
    submit(queue, "a", owner="me", deadline=0.05)
    for key, owner in (("running", "owner of running"), ("a", "me")):
        with pytest.raises(DeadlineExceeded):
            queue.result(key, owner=owner, timeout=PATIENCE)
    assert not queue.is_wanted(job)
    queue.cancel(job)
    for key in ("running", "a"):
        found = queue.status(key)
        assert (found.state, found.watchers) == ("failed", 0)


def test_leaving_wakes_the_owner_and_nobody_else(queue):
    submit(queue, "a", owner="me")
    submit(queue, "a", owner="you")
    mine, yours = (Call(queue.result, "a", owner=name) for name in ("me", "you"))
    assert mine.is_blocked
    submit(queue, "b", owner="me")  # supersedes
    with pytest.raises(ForecastCancelled):
        mine.end()
    assert yours.is_blocked
    queue.finish(queue.take(0), 1)
    assert yours.end() == 1


def test_closing_wakes_everybody(queue):
    submit(queue, "running", "a")
    job = queue.take(0)
    submit(queue, "b")
    results = [Call(queue.result, key, owner=f"owner of {key}") for key in ("running", "a")]
    room = Call(submit, queue, "c", wait=True)
    assert all(call.is_blocked for call in (*results, room))
    idle = JobQueue()
    worker = Call(idle.take)
    assert worker.is_blocked
    queue.close()
    idle.close()
    for call in results:
        with pytest.raises(ForecastCancelled):
            call.end()
    with pytest.raises(Busy, match="shutting down"):
        room.end()
    assert worker.end() is None
    assert job.stop.is_set()
    assert not queue.is_wanted(job)
    with pytest.raises(Busy, match="shutting down"):
        submit(queue, "d")
    assert queue.take() is None


def test_a_worker_that_waits_elsewhere_is_woken_once_nobody_wants_its_job(queue):
    submit(queue, "a")
    job, woken = queue.take(0), threading.Event()
    job.on_stop = woken.set
    submit(queue, "a", owner="another")
    queue.leave("a", owner="owner of a")
    assert not woken.is_set()
    queue.leave("a", owner="another")
    assert woken.is_set()
    assert not queue.is_wanted(job)


def test_nothing_is_lost_among_threads():
    """Whoever does not leave gets the answer to its own key, in spite of all who do."""
    queue = JobQueue(Limits(max_queued=5, max_results=4))
    wrong, n_answers = [], [0] * N_THREADS

    def work():
        while (job := queue.take()) is not None:
            if not queue.is_wanted(job):
                queue.cancel(job)
            elif job.payload % 7 == 0:
                queue.fail(job, ZeroDivisionError(job.key))
            else:
                queue.finish(job, f"result of {job.key}")

    def ask(name):
        chance = random.Random(name)
        for n in range(N_REQUESTS):
            number = chance.randrange(N_KEYS)
            key, owner = f"key {number}", f"{name} {n % 2}"
            queue.submit(
                key,
                number,
                owner=owner,
                priority=chance.choice(list(Priority)),
                supersede=chance.random() < 0.5,
                wait=True,
            )
            if chance.random() < 0.3:
                queue.leave(key, owner=owner)
                continue
            try:
                answer = queue.result(key, owner=owner, timeout=PATIENCE)
            except ZeroDivisionError as error:
                answer = f"result of {error}" if number % 7 == 0 else repr(error)
            if answer != f"result of {key}":
                wrong.append((key, answer))
            n_answers[name] += 1

    workers = [Call(work) for _ in range(2)]
    askers = [Call(ask, name) for name in range(N_THREADS)]
    for call in askers:
        call.end()
    assert not wrong
    assert min(n_answers) > N_REQUESTS / 2
    assert queue.peek_priority() is None
    assert not any(
        status is not None and not status.is_final
        for status in (queue.status(f"key {number}") for number in range(N_KEYS))
    )
    queue.close()
    for call in workers:
        call.end()
