"""The worker's laws: one at a time, one per key, bounded, cancellable, and never a lost result."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.errors import Busy, ForecastCancelled
from kronos.serving.jobs import JobControl, JobStatus, Limits
from kronos.serving.worker import Worker

PATIENCE = 10.0


class Gate:
    """Work that runs until it is opened, taking a step every millisecond."""

    def __init__(self, result: object = None) -> None:
        self.open = threading.Event()
        self.begun = threading.Event()
        self.steps = 0
        self.result = result

    def __call__(self, control: JobControl) -> object:
        self.begun.set()
        while not self.open.wait(0.001):
            self.steps += 1
            control.progress(self.steps, 10_000_000)
        return self.result


def wait_final(worker: Worker, key: str, owner: str | None = None) -> JobStatus:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = worker.queue.status(key, owner=owner)
        assert status is not None
        if status.is_final:
            return status
        time.sleep(0.001)
    raise AssertionError(f"{key} did not end")


@pytest.fixture
def worker():
    worker = Worker("worker", Limits(max_queued=2, max_results=3))
    yield worker
    assert worker.close(PATIENCE)


def test_result_and_progress_are_reported(worker):
    gate = Gate(result="fan")
    assert worker.queue.submit("a", gate, owner="me").state in ("queued", "running")
    assert gate.begun.wait(PATIENCE)
    while gate.steps < 3:
        time.sleep(0.001)
    running = worker.queue.status("a", owner="me")
    assert running.state == "running"
    assert running.done >= 1
    assert running.total == 10_000_000
    assert running.seconds_left > 0
    gate.open.set()
    assert wait_final(worker, "a").result == "fan"


def test_stage_restarts_progress(worker):
    gate = Gate()

    def work(control):
        control.progress(5, 5)
        control.stage("sampling")
        return gate(control)

    worker.queue.submit("a", work, owner="me")
    assert gate.begun.wait(PATIENCE)
    while gate.steps < 1:
        time.sleep(0.001)
    status = worker.queue.status("a")
    assert status.stage == "sampling"
    assert status.total == 10_000_000
    gate.open.set()


def test_equal_keys_compute_once(worker):
    gate = Gate(result=object())
    calls = []

    def work(control):
        calls.append(1)
        return gate(control)

    for owner in ("a", "b", "c", "a"):
        worker.queue.submit("same", work, owner=owner)
    assert worker.queue.status("same").watchers == 3
    gate.open.set()
    result = wait_final(worker, "same").result
    assert worker.queue.submit("same", work, owner="late").result is result
    assert calls == [1]


def test_cancel_stops_within_a_step_and_does_not_restart(worker):
    gate = Gate()
    worker.queue.submit("a", gate, owner="me")
    assert gate.begun.wait(PATIENCE)
    worker.queue.leave("a", owner="me")
    assert wait_final(worker, "a").state == "cancelled"
    steps = gate.steps
    time.sleep(0.02)
    assert gate.steps == steps


def test_a_job_goes_on_while_someone_still_waits(worker):
    gate = Gate(result=1)
    worker.queue.submit("a", gate, owner="me")
    worker.queue.submit("a", gate, owner="you")
    worker.queue.leave("a", owner="me")
    gate.open.set()
    assert wait_final(worker, "a").result == 1


def test_a_cancelled_key_can_be_run_again_at_once(worker):
    first, second = Gate(result=1), Gate(result=2)
    worker.queue.submit("a", first, owner="me")
    assert first.begun.wait(PATIENCE)
    worker.queue.leave("a", owner="me")
    second.open.set()
    worker.queue.submit("a", second, owner="me")
    assert wait_final(worker, "a").result == 2


def test_newest_request_of_an_owner_supersedes_the_older(worker):
    first, second, other = Gate(), Gate(result=2), Gate(result=3)
    worker.queue.submit("first", first, owner="me")
    assert first.begun.wait(PATIENCE)
    worker.queue.submit("other", other, owner="you")
    worker.queue.submit("second", second, owner="me")
    second.open.set()
    other.open.set()
    assert wait_final(worker, "first").state == "cancelled"
    assert wait_final(worker, "second").result == 2
    assert wait_final(worker, "other").result == 3


def test_full_queue_is_refused_with_the_position_and_changes_nothing(worker):
    running, waiting = Gate(), Gate()
    worker.queue.submit("running", running, owner="o0")
    assert running.begun.wait(PATIENCE)
    worker.queue.submit("w1", waiting, owner="o1")
    assert worker.queue.submit("w2", waiting, owner="o2").position == 2
    with pytest.raises(Busy, match="number 3") as refusal:
        worker.queue.submit("w3", waiting, owner="o3")
    assert refusal.value.position == 3
    with pytest.raises(Busy):
        worker.queue.submit("w3", waiting, owner="o0")  # o0's running job must survive the refusal
    assert worker.queue.status("running").state == "running"
    assert worker.queue.status("w3") is None
    # One's own waiting request makes room for its successor, and joining needs none.
    assert worker.queue.submit("w4", waiting, owner="o2").position == 2
    assert worker.queue.submit("w1", waiting, owner="o9").watchers == 2
    running.open.set()
    waiting.open.set()


def test_failure_is_kept_and_the_worker_lives_on(worker):
    def fail(control):
        raise ZeroDivisionError("boom")

    worker.queue.submit("bad", fail, owner="me")
    status = wait_final(worker, "bad")
    assert status.state == "failed"
    assert isinstance(status.error, ZeroDivisionError)
    worker.queue.submit("good", lambda control: 7, owner="me")
    assert wait_final(worker, "good").result == 7
    worker.queue.submit("bad", lambda control: 8, owner="me")
    assert wait_final(worker, "bad").result == 8


def test_results_are_dropped_least_recently_used_first(worker):
    for key in "abc":
        worker.queue.submit(key, lambda control: 1, owner="me")
        wait_final(worker, key, "me")
    worker.queue.status("a")
    worker.queue.submit("d", lambda control: 1, owner="me")
    wait_final(worker, "d", "me")
    assert worker.queue.status("b") is None
    assert all(worker.queue.status(key).state == "done" for key in "acd")


def test_a_job_whose_owners_went_silent_is_stopped():
    worker = Worker("worker", Limits(abandon_after=0.05))
    try:
        gate = Gate()
        worker.queue.submit("a", gate, owner="closed tab")
        assert wait_final(worker, "a").state == "cancelled"
        kept = Gate(result=1)
        worker.queue.submit("b", kept, owner="open tab")
        for _ in range(20):
            time.sleep(0.01)
            assert worker.queue.status("b", owner="open tab").state != "cancelled"
        kept.open.set()
        assert wait_final(worker, "b").result == 1
    finally:
        assert worker.close(PATIENCE)


def test_close_cancels_and_refuses():
    worker = Worker("worker")
    gate = Gate()
    worker.queue.submit("a", gate, owner="me")
    worker.queue.submit("b", gate, owner="you")
    assert gate.begun.wait(PATIENCE)
    assert worker.close(PATIENCE)
    assert worker.queue.status("a").state == "cancelled"
    assert worker.queue.status("b").state == "cancelled"
    with pytest.raises(Busy, match="shutting down"):
        worker.queue.submit("c", gate, owner="me")


def test_does_not_import_torch_or_streamlit():
    code = (
        "import sys, kronos.serving.worker; "
        "sys.exit(bool({'torch', 'streamlit'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OWNERS, KEYS = ("a", "b", "c"), ("k0", "k1", "k2", "k3")
actions = st.lists(
    st.tuples(
        st.sampled_from(("submit", "submit", "leave")),
        st.sampled_from(OWNERS),
        st.sampled_from(KEYS),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(actions)
def test_any_sequence_of_requests(sequence):
    """Never two jobs at once; the last request of every owner is answered with its own result."""
    worker = Worker("worker", Limits(max_queued=2, max_results=10))
    at_work, most_at_work = [], []

    def work_on(key):
        def work(control):
            at_work.append(key)
            most_at_work.append(len(at_work))
            try:
                for step in range(3):
                    time.sleep(0.0002)
                    control.progress(step + 1, 3)
            except ForecastCancelled:
                at_work.remove(key)
                raise
            at_work.remove(key)
            return f"result of {key}"

        return work

    wanted: dict[str, str] = {}
    try:
        for action, owner, key in sequence:
            if action == "leave":
                worker.queue.leave(key, owner=owner)
                if wanted.get(owner) == key:
                    del wanted[owner]
                continue
            try:
                status = worker.queue.submit(key, work_on(key), owner=owner)
            except Busy:
                continue
            wanted[owner] = key
            assert status.position <= 2
        for owner, key in wanted.items():
            status = wait_final(worker, key, owner)
            assert status.state == "done"
            assert status.result == f"result of {key}"
    finally:
        assert worker.close(PATIENCE)
    assert max(most_at_work, default=0) <= 1


def test_several_threads_work_at_once():
    worker = Worker("several", Limits(max_queued=4), n_threads=2)
    gates = {name: Gate(result=name) for name in "abc"}
    for name, gate in gates.items():
        worker.queue.submit(name, gate, owner=name)
    assert gates["a"].begun.wait(PATIENCE)
    assert gates["b"].begun.wait(PATIENCE)
    assert not gates["c"].begun.is_set(), "there are two threads"
    gates["b"].open.set()
    assert gates["c"].begun.wait(PATIENCE)
    assert wait_final(worker, "b", owner="b").result == "b"
    assert worker.close(PATIENCE), "both threads end"
    assert worker.queue.status("a").state == "cancelled"
