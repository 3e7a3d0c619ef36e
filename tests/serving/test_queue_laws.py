"""The queue beside a model of it that is slow and plain: whatever happens, both say the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.errors import Busy, DeadlineExceeded
from kronos.serving.jobs import Job, Limits, Priority
from kronos.serving.queue import JobQueue

MAX_QUEUED = 3
ABANDON_AFTER = 30.0
KEYS = tuple(f"k{n}" for n in range(7))
OWNERS = ("a", "b", "c")

DEADLINES = (None, None, 5.0, 20.0)
SECONDS = (1.0, 1.0, 6.0, 14.0)
N_ACTIONS = 60


@dataclass
class Expected:
    """What should become of one accepted job."""

    key: str
    token: int
    priority: Priority
    arrival: int
    state: str = "queued"
    is_stopped: bool = False
    seen: dict[str, float] = field(default_factory=dict)
    deadlines: dict[str, float] = field(default_factory=dict)
    last_deadline: float = math.inf
    error: type[Exception] | None = None

    @property
    def is_active(self) -> bool:
        return self.state in ("queued", "running")

    def watch(self, owner: str, now: float, deadline: float) -> None:
        self.seen[owner] = now
        self.deadlines[owner] = max(self.deadlines.get(owner, deadline), deadline)
        self.last_deadline = max(self.deadlines.values())

    def unwatch(self, owner: str) -> None:
        self.seen.pop(owner, None)
        self.deadlines.pop(owner, None)
        self.last_deadline = max(self.deadlines.values(), default=self.last_deadline)

    def is_unwanted(self, now: float) -> bool:
        is_abandoned = all(seen < now - ABANDON_AFTER for seen in self.seen.values())
        return self.is_stopped or self.last_deadline <= now or is_abandoned

    def give_up(self, now: float) -> None:
        is_late = self.last_deadline <= now
        self.state, self.error = ("failed", DeadlineExceeded) if is_late else ("cancelled", None)


class QueueBesideItsModel:
    """A queue on a clock of its own, and what it should say; each method does one thing to both."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.queue = JobQueue(
            Limits(MAX_QUEUED, 100, abandon_after=ABANDON_AFTER, max_visits=MAX_QUEUED),
            clock=lambda: self.now,
        )
        self.latest: dict[str, Expected] = {}
        self.all: list[Expected] = []
        self.taken: list[tuple[Job, Expected]] = []
        self.n_arrivals = 0

    def line(self, priority: Priority | None = None) -> list[Expected]:
        waiting = [job for job in self.all if job.state == "queued"]
        waiting.sort(key=lambda job: (job.priority, job.arrival))
        return [job for job in waiting if priority in (None, job.priority)]

    def leave_in_model(self, job: Expected, owner: str) -> None:
        if job.is_active and owner in job.seen:
            job.unwatch(owner)
            if not job.seen:
                job.is_stopped = True
                if job.state == "queued":
                    job.state = "cancelled"

    def arrive(self, job: Expected, priority: Priority) -> None:
        job.priority, job.arrival = priority, self.n_arrivals
        self.n_arrivals += 1

    def submit(self, key, owner, priority, deadline, supersede):
        job = self.latest.get(key)
        if job is not None and (job.is_stopped if job.is_active else job.state != "done"):
            job = None
        is_new = job is None
        is_raised = not is_new and job.state == "queued" and priority < job.priority
        others = [other for other in self.all if supersede and other.key != key]
        freed = [
            other for other in others if other.state == "queued" and set(other.seen) == {owner}
        ]
        in_class = [other for other in self.line(priority) if other not in freed]
        token = len(self.all)
        options = {
            "owner": owner,
            "priority": priority,
            "deadline": deadline,
            "supersede": supersede,
        }
        if (is_new or is_raised) and len(in_class) >= MAX_QUEUED:
            ahead = [o for o in self.line() if o.priority <= priority and o not in freed]
            with pytest.raises(Busy, match=f"number {len(ahead) + 1} in line") as refusal:
                self.queue.submit(key, token, **options)
            assert refusal.value.position == len(ahead) + 1
            return
        status = self.queue.submit(key, token, **options)
        for other in others:
            self.leave_in_model(other, owner)
        if is_new:
            job = self.latest[key] = Expected(key, token, priority, 0)
            self.all.append(job)
        if is_new or is_raised:
            self.arrive(job, priority)
        elif job.state == "running":
            job.priority = min(job.priority, priority)
        if job.is_active:
            job.watch(owner, self.now, math.inf if deadline is None else self.now + deadline)
        assert status.state == job.state

    def leave_all(self, owner):
        self.queue.leave_all(owner=owner)
        for job in self.all:
            self.leave_in_model(job, owner)

    def leave(self, key, owner):
        self.queue.leave(key, owner=owner)
        if key in self.latest:
            self.leave_in_model(self.latest[key], owner)

    def poll(self, key, owner):
        job = self.latest.get(key)
        if job is not None and owner in job.seen:
            job.seen[owner] = self.now
        status = self.queue.status(key, owner=owner)
        assert (status is None) == (job is None)

    def take(self):
        """Never out of order, never one that nobody wants."""
        line = self.line()
        assert self.queue.peek_priority() == (line[0].priority if line else None)
        job = self.queue.take(0)
        assert (job is None) == (not line)
        if job is not None:
            expected = line[0]
            assert (job.key, job.payload) == (expected.key, expected.token)
            expected.state = "running"
            self.taken.append((job, expected))

    def end(self, choice, is_failure):
        """The first end counts, whoever ends a job twice."""
        job, expected = self.taken[choice % len(self.taken)]
        if is_failure:
            self.queue.fail(job, ZeroDivisionError(job.key))
        else:
            self.queue.finish(job, f"{job.key} {expected.token}")
        if expected.state == "running":
            expected.state = "failed" if is_failure else "done"
            expected.error = ZeroDivisionError if is_failure else None

    def step(self, choice):
        """A worker that looks whether to go on, and gives up if not."""
        job, expected = self.taken[choice % len(self.taken)]
        is_wanted = expected.state == "running" and not expected.is_unwanted(self.now)
        assert self.queue.is_wanted(job) == is_wanted
        if not is_wanted:
            self.queue.cancel(job)
            if expected.state == "running":
                expected.is_stopped = True
                expected.give_up(self.now)

    def pass_time(self, seconds):
        self.now += seconds

    def says_what_the_model_says(self):
        for job in self.line():
            if job.is_unwanted(self.now):
                job.give_up(self.now)
        for key in KEYS:
            self.queue.status(key)  # a job that has become unwanted ends when it is looked at
        positions = {}
        for key in KEYS:
            status, expected = self.queue.status(key), self.latest.get(key)
            assert (status is None) == (expected is None)
            if status is None:
                continue
            assert status.state == expected.state
            assert status.priority == expected.priority
            if status.state == "queued":
                positions[status.position] = expected
            else:
                assert status.position == 0
            assert isinstance(status.error, expected.error or type(None))
            if status.state == "done":
                assert status.result == f"{key} {expected.token}"
        assert [positions[n + 1] for n in range(len(positions))] == self.line()

    def is_bounded_and_single(self):
        for priority in Priority:
            assert len(self.line(priority)) <= MAX_QUEUED
        active = [job.key for job in self.all if job.is_active and not job.is_stopped]
        assert len(active) == len(set(active))

    def act(self, action: int, subject: int, object_: int, manner: int) -> None:
        """One of the actions, chosen and filled in by four bytes."""
        key, owner = KEYS[subject % len(KEYS)], OWNERS[object_ % len(OWNERS)]
        match action % 10:
            case 0 | 1 | 2 | 3:
                deadline = DEADLINES[manner // 4 % len(DEADLINES)]
                self.submit(key, owner, Priority(manner % 3), deadline, manner // 2 % 2 == 0)
            case 4:
                self.leave(key, owner)
            case 5:
                self.poll(key, owner)
            case 6 | 7:
                self.take()
            case 8 if self.taken and manner % 2:
                self.end(subject, object_ % 3 == 0)
            case 8 if self.taken:
                self.step(subject)
            case 9 if subject % 4 == 0:
                self.leave_all(owner)
            case 9:
                self.pass_time(SECONDS[manner % len(SECONDS)])
        self.says_what_the_model_says()
        self.is_bounded_and_single()

    def wind_up(self):
        """Once the work is over, every accepted job has ended, and in one way."""
        while self.line():
            self.take()
        for n in range(len(self.taken)):
            self.end(n, is_failure=False)
        self.says_what_the_model_says()
        assert not any(job.is_active for job in self.all)
        for job, expected in self.taken:
            assert job.state == expected.state
            assert job.payload is None


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.binary(min_size=4 * N_ACTIONS, max_size=4 * N_ACTIONS))
def test_the_queue_does_what_its_model_does(schedule):
    both = QueueBesideItsModel()
    for at in range(0, len(schedule), 4):
        both.act(*schedule[at : at + 4])
    both.wind_up()
