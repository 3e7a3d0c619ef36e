"""The queue seen by one thread: order, bounds, deadlines, stored results and errors."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
import weakref

import pytest

from kronos.errors import (
    Busy,
    DeadlineExceeded,
    InvalidRequest,
    NotFinished,
)
from kronos.serving.jobs import Limits, Priority
from kronos.serving.queue import JobQueue
from tests.serving.submitting import submit

PATIENCE = 20.0


def test_many_run_at_once_and_end_in_any_order(queue):
    submit(queue, "a", "b")
    first, second = queue.take(0), queue.take(0)
    assert queue.status("a").state == queue.status("b").state == "running"
    queue.finish(second, 2)
    queue.finish(first, 1)
    assert queue.result("a", owner="owner of a") == 1
    assert queue.result("b", owner="owner of b") == 2


def test_what_is_forgotten_is_done_anew(queue):
    submit(queue, "a")
    queue.forget("a")  # of one that waits there is nothing to forget
    queue.finish(queue.take(0), 1)
    submit(queue, "a")
    assert queue.take(0) is None, "the kept result answers"
    queue.forget("a")
    assert queue.status("a") is None
    submit(queue, "a")
    queue.finish(queue.take(0), 2)
    assert queue.result("a", owner="owner of a") == 2


def test_persons_go_before_batches(queue):
    submit(queue, "background", priority=Priority.BATCH)
    submit(queue, "person")
    assert queue.status("background").position == 2
    assert queue.peek_priority() is Priority.PERSON
    assert [queue.take(0).key, queue.take(0).key] == ["person", "background"]


def test_a_worker_of_people_leaves_the_background_to_others(queue):
    submit(queue, "background", priority=Priority.BATCH)
    submit(queue, "visit", priority=Priority.VISIT)
    assert queue.take(0, worst=Priority.PERSON) is None
    assert queue.take(0, worst=Priority.VISIT).key == "visit"
    assert queue.take(0, worst=Priority.VISIT) is None
    assert queue.take(0).key == "background"


def test_a_job_is_promoted_as_if_a_person_had_joined_it(queue):
    submit(queue, "first", "second", priority=Priority.BATCH)
    queue.promote("second", Priority.PERSON)
    assert (queue.status("second").position, queue.status("first").position) == (1, 2)
    running = queue.take(0)
    queue.promote("second", Priority.BATCH)
    queue.promote("first", Priority.BATCH)
    queue.promote("unknown", Priority.PERSON)
    assert (running.key, running.priority) == ("second", Priority.PERSON)
    batch = queue.take(0)
    queue.promote("first", Priority.VISIT)
    assert batch.priority is Priority.VISIT


def test_joining_by_a_person_moves_a_job_behind_those_who_were_there(queue):
    submit(queue, "shared", "other", priority=Priority.BATCH)
    submit(queue, "first")
    status = queue.submit("shared", None, owner="person")
    assert (status.priority, status.position, status.watchers) == (Priority.PERSON, 2, 2)
    assert [queue.take(0).key for _ in range(3)] == ["first", "shared", "other"]


def test_classes_are_bounded_apart(queue):
    submit(queue, "b1", "b2", priority=Priority.BATCH)
    with pytest.raises(Busy) as refusal:
        submit(queue, "b3", priority=Priority.BATCH)
    assert refusal.value.position == 3
    submit(queue, "p1", "p2")
    with pytest.raises(Busy) as refusal:
        submit(queue, "b1")  # a place among persons, which joining needs too, is not there
    assert refusal.value.position == 3
    assert queue.status("b1").priority is Priority.BATCH
    with pytest.raises(Busy) as refusal:
        submit(queue, "b3", priority=Priority.BATCH)
    assert refusal.value.position == 5


def test_waiting_for_room_ends_at_the_deadline(queue):
    submit(queue, "a", "b")
    with pytest.raises(DeadlineExceeded):
        submit(queue, "c", wait=True, deadline=0.05)
    assert queue.status("c") is None


@pytest.mark.parametrize("deadline", [5.0, None])
def test_jobs_that_nobody_wants_any_more_make_room(deadline):
    now = 0.0
    queue = JobQueue(Limits(max_queued=2, abandon_after=10.0), clock=lambda: now)
    submit(queue, "a", "b", deadline=deadline)
    now = 11.0
    submit(queue, "c")
    assert queue.status("c").position == 1


def test_an_owner_of_many_keeps_them_and_finds_every_result(queue):
    keys = [f"k{n}" for n in range(20)]
    for key in keys:
        queue.submit(key, None, owner="batch", supersede=False)
        queue.finish(queue.take(0), key)
    assert [queue.result(key, owner="batch") for key in keys] == keys
    kept = [key for key in keys if queue.status(key) is not None]
    assert kept == keys[-3:]  # seen, they are kept like any other


def test_results_of_owners_who_went_silent_are_let_go():
    now = 0.0
    queue = JobQueue(Limits(max_results=1, abandon_after=10.0), clock=lambda: now)
    for key in "abc":
        queue.submit(key, None, owner=key)
        queue.finish(queue.take(0), key)
    assert queue.status("a").state == "done"
    now = 11.0
    queue.submit("d", None, owner="d")
    queue.finish(queue.take(0), "d")
    assert [key for key in "abcd" if queue.status(key)] == ["c", "d"]


def test_result_gives_up_after_its_timeout_and_the_job_goes_on(queue):
    submit(queue, "a")
    with pytest.raises(NotFinished, match="queued") as info:
        queue.result("a", owner="owner of a", timeout=0.01)
    assert isinstance(info.value, TimeoutError)
    queue.finish(queue.take(0), 1)
    assert queue.result("a", owner="owner of a", timeout=0.01) == 1


def test_a_job_past_its_deadline_fails_and_is_not_handed_out(queue):
    submit(queue, "late", deadline=0.02)
    submit(queue, "next")
    time.sleep(0.03)
    assert queue.take(0).key == "next"
    assert isinstance(queue.status("late").error, DeadlineExceeded)
    with pytest.raises(DeadlineExceeded):
        queue.result("late", owner="owner of late")


def test_a_deadline_wakes_its_owner_though_no_worker_looks(queue):
    submit(queue, "late", deadline=0.02)
    with pytest.raises(DeadlineExceeded):
        queue.result("late", owner="owner of late", timeout=PATIENCE)
    assert queue.status("late").state == "failed"


def test_a_running_job_lasts_until_the_latest_deadline(queue):
    submit(queue, "shared", owner="hasty", deadline=0.02)
    submit(queue, "shared", owner="patient")
    job = queue.take(0)
    with pytest.raises(DeadlineExceeded):
        queue.result("shared", owner="hasty", timeout=PATIENCE)
    assert queue.is_wanted(job)
    queue.leave("shared", owner="patient")
    assert not queue.is_wanted(job)
    queue.cancel(job)
    assert isinstance(queue.status("shared").error, DeadlineExceeded)


def test_a_job_found_unwanted_is_not_joined():
    queue = JobQueue(Limits(abandon_after=0.01))
    submit(queue, "a", owner="gone")
    former = queue.take(0)
    time.sleep(0.02)
    assert not queue.is_wanted(former)
    submit(queue, "a", owner="new")
    job = queue.take(0)
    queue.cancel(former)
    assert queue.status("a", owner="new").state == "running"
    queue.finish(job, 1)
    assert queue.result("a", owner="new") == 1


def test_an_offered_result_answers_whoever_asks_for_it(queue):
    queue.offer("a", "known before")
    assert queue.submit("a", None, owner="me").result == "known before"
    assert queue.take(0) is None
    assert queue.result("a", owner="me") == "known before"


def test_an_offer_changes_nothing_that_is_known(queue):
    submit(queue, "a")
    queue.offer("a", "older")
    assert queue.status("a").state == "queued"
    queue.finish(queue.take(0), "newer")
    queue.offer("a", "older")
    assert queue.result("a", owner="owner of a") == "newer"


def test_a_result_nobody_knows_of_is_refused(queue):
    with pytest.raises(InvalidRequest, match="submit it first"):
        queue.result("never", owner="me")


@pytest.mark.parametrize("room", [{"max_queued": 0}, {"max_results": 0}])
def test_refuses_room_for_nothing(room):
    with pytest.raises(InvalidRequest, match="=0"):
        Limits(**room)


def test_does_not_import_torch():
    code = "import sys, kronos.serving.queue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_nobody_asked_to_keep_is_dropped_once_seen_and_displaces_nothing(queue):
    submit(queue, "kept")
    queue.finish(queue.take(0), "result")
    queue.result("kept", owner="owner of kept")
    for n in range(5):
        key = f"passing {n}"
        queue.submit(key, None, owner="me", supersede=False, keep=False)
        queue.finish(queue.take(0), n)
        assert queue.status(key).result == n, "it is owed until its owner has seen it"
        assert queue.status(key, owner="me").result == n
        assert queue.status(key) is None
    assert queue.status("kept").result == "result"


def test_a_passing_result_that_another_asks_to_keep_is_kept(queue):
    queue.submit("shared", None, owner="me", keep=False)
    queue.submit("shared", None, owner="you")
    queue.finish(queue.take(0), "result")
    for owner in ("me", "you"):
        assert queue.result("shared", owner=owner) == "result"
    assert queue.status("shared").result == "result"


def test_errors_are_raised_to_each_owner_as_a_copy(queue):
    class Picky(Exception):
        def __init__(self, *, detail):
            super().__init__("picky")
            self.detail = detail

    for key, error in (("a", ZeroDivisionError("boom")), ("b", Picky(detail=3))):
        submit(queue, key)
        submit(queue, key, owner="second")
        queue.fail(queue.take(0), error)
        raised = []
        for owner in (f"owner of {key}", "second"):
            with pytest.raises(type(error), match=str(error)) as info:
                queue.result(key, owner=owner)
            raised.append(info.value)
        assert vars(raised[1]) == vars(error)
        # An error that cannot be copied is shared.
        assert (raised[0] is raised[1]) == isinstance(error, Picky)
    assert queue.status("a").error.__traceback__ is None


def test_kept_errors_hold_nothing_their_frames_held(queue):
    class Tensor:
        pass

    def work(tensor):
        try:
            raise KeyError("handled")
        except KeyError as handled:
            cycle = handled
        raise ValueError("boom") from LookupError(str(cycle))

    def step():
        tensor = Tensor()
        try:
            work(tensor)
        except ValueError as error:
            queue.fail(queue.take(0), error)
        return weakref.ref(tensor)

    submit(queue, "a")
    gc.disable()
    try:
        assert step()() is None
    finally:
        gc.enable()
    error = queue.status("a").error
    assert error.__traceback__ is None
    assert isinstance(error.__cause__, LookupError)
    assert "in work" in error.__notes__[0]
