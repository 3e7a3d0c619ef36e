"""A job whose session has gone leaves; one that comes back in time, or again later, loses none."""

from __future__ import annotations

import pytest

from benchmarks.gates.session import Session, run_apart
from kronos.serving.jobs import JobStatus, Limits, Priority
from kronos.serving.queue import JobQueue
from pages.ui.jobs.presence import GRACE, LOOK_EVERY, Presence
from pages.ui.jobs.progress import POLL_SECONDS, SLOWEST_POLL_SECONDS, poll_seconds, progress_text
from tests.browser.conftest import start_server, stop_server


class Watched:
    """A queue, sessions that come and go, and a clock that moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.connected = {"s"}
        self.queue = JobQueue()
        self.presence = Presence(
            lambda name: name in self.connected, grace=GRACE, clock=lambda: self.now
        )

    def submit(self, key: str, owner: str = "o") -> None:
        self.presence.note("s", owner, self.queue)
        self.queue.submit(key, None, owner=owner, supersede=False)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_EVERY)):
            self.now += LOOK_EVERY
            self.presence.look()

    def state(self, key: str) -> str:
        status = self.queue.status(key)
        assert status is not None
        return status.state


def test_the_jobs_of_a_session_that_is_gone_leave_within_five_seconds():
    watched = Watched()
    watched.submit("a")
    watched.submit("b", owner="another page")
    watched.pass_time(60.0)
    assert watched.state("a") == watched.state("b") == "queued"
    watched.connected.clear()
    watched.pass_time(5.0)
    assert watched.state("a") == watched.state("b") == "cancelled"


def test_a_job_that_others_wait_for_goes_on():
    watched = Watched()
    watched.submit("shared")
    watched.queue.submit("shared", None, owner="somebody else")
    watched.connected.clear()
    watched.pass_time(5.0)
    assert watched.state("shared") == "queued"


def test_a_page_that_is_loaded_again_loses_nothing():
    watched = Watched()
    watched.submit("a")
    for _ in range(3):
        watched.connected.clear()
        watched.pass_time(GRACE - LOOK_EVERY)
        watched.connected.add("s")
        watched.pass_time(LOOK_EVERY)
    assert watched.state("a") == "queued"


def test_a_session_that_comes_back_later_learns_once_what_was_left():
    watched = Watched()
    watched.submit("a")
    watched.connected.clear()
    watched.pass_time(5.0)
    watched.connected.add("s")
    assert watched.presence.take_left("s", "a")
    assert not watched.presence.take_left("s", "a")
    assert not watched.presence.take_left("s", "b")
    assert not watched.presence.take_left("nobody", "a")


def test_a_person_who_pressed_run_goes_before_all_visits():
    queue = JobQueue(Limits(max_queued=2))
    for n in range(500):
        status = queue.submit(f"visit {n}", None, owner=f"v{n}", priority=Priority.VISIT)
        assert status.position == n + 1
    assert queue.submit("pressed", None, owner="p").position == 1
    assert queue.status("visit 0").position == 2
    assert queue.submit("walk", None, owner="w", priority=Priority.BATCH).position == 502
    # Equal ones are one, and a press of Run moves it to the better class.
    queue.submit("visit 7", None, owner="another", priority=Priority.VISIT)
    assert queue.status("visit 7").watchers == 2
    assert queue.submit("visit 7", None, owner="v7").position == 2
    assert [queue.take(0).key for _ in range(3)] == ["pressed", "visit 7", "visit 0"]


def test_a_press_of_run_raises_a_visit_that_runs_already():
    queue = JobQueue()
    queue.submit("a", None, owner="o", priority=Priority.VISIT)
    assert queue.take(0).priority is Priority.VISIT
    assert queue.submit("a", None, owner="o").priority is Priority.PERSON


def test_pages_look_less_often_the_further_back_they_wait():
    def waiting(place: int) -> JobStatus:
        return JobStatus("a", "queued", place)

    seconds = [poll_seconds([waiting(place)]) for place in range(1, 200)]
    assert seconds == sorted(seconds)
    assert (seconds[0], seconds[-1]) == (POLL_SECONDS, SLOWEST_POLL_SECONDS)
    # What runs, or is nearest, decides.
    assert poll_seconds([waiting(100), JobStatus("b", "running")]) == POLL_SECONDS
    assert poll_seconds([waiting(100), waiting(1), None]) == POLL_SECONDS
    assert progress_text(waiting(12)) == "Place 12 in line"


def test_pages_look_less_often_the_longer_a_job_takes():
    def running(seconds_left: float) -> JobStatus:
        return JobStatus("a", "running", seconds_left=seconds_left)

    seconds = [poll_seconds([running(left)]) for left in range(60)]
    assert seconds == sorted(seconds)
    assert (seconds[0], seconds[-1]) == (POLL_SECONDS, SLOWEST_POLL_SECONDS)
    assert all(poll <= max(POLL_SECONDS, left / 2) for left, poll in enumerate(seconds))
    assert poll_seconds([running(60), running(1)]) == POLL_SECONDS


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_crowd_gets_places_in_line_which_move_up_when_others_leave(tmp_path):
    server, process = start_server(tmp_path)

    async def crowd() -> None:
        # Long enough that most of them wait.
        link = "horizon=240&paths=500"
        sessions = [Session(server.url) for _ in range(14)]
        for n, session in enumerate(sessions):
            await session.__aenter__()
            await session.open("", f"{link}&seed={n}")
            await session.wait_for("has_answer_or_place")
        last = sessions[-1]
        assert last.seen.places
        assert last.seen.places[-1] > 8  # where people who press Run are told to wait
        before = last.seen.places[-1]
        for session in sessions[:-1]:
            await session.__aexit__()
        await last.wait_for(lambda seen: seen.is_running or seen.places[-1] < before)
        await last.wait_for(lambda seen: seen.is_running or seen.places[-1] == 1)
        assert not any(session.seen.errors for session in sessions)
        await last.__aexit__()

    try:
        run_apart(crowd())
    finally:
        stop_server(process)
