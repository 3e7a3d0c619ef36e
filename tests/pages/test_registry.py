"""The registry of long runs: equal requests share a run, and a run ends when nobody wants it."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from kronos.errors import Busy, ForecastCancelled
from pages.ui.jobs.registry import RUNS_STORED, RUNS_WAITING, Run, RunRegistry
from tests.pages.watchlist_cases import wait_for_end
from tests.patience import wait_until


class Gate:
    """Work that waits until it is opened, and reports a partial outcome before."""

    def __init__(self):
        self.opened = threading.Event()

    def __call__(self, control, run):
        run.outcome = "part"
        while not self.opened.wait(0.001):
            control.check()
        run.outcome = "all"

    def run(self, request="a"):
        return Run(request, request, self)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def registry():
    with closing(RunRegistry("runs", n_at_once=1)) as registry:
        yield registry


def test_an_equal_request_joins_the_run_under_way_and_repeats_an_ended_one(registry, gate):
    first = registry.start(gate.run(), owner="me")
    assert registry.start(gate.run(), owner="you") is first
    registry.leave(first, owner="me")
    gate.opened.set()
    wait_for_end(first)
    assert (first.outcome, first.error) == ("all", None)
    assert registry.join("a", owner="later") is first
    second = registry.start(gate.run(), owner="me")
    assert second is not first
    assert registry.newest("a") is second


def test_a_run_that_nobody_wants_ends_with_its_part_and_is_not_joined(registry, gate):
    run = registry.start(gate.run(), owner="me")
    wait_until(lambda: run.outcome == "part")
    registry.start(gate.run("b"), owner="me")  # leaves the other run
    wait_for_end(run)
    assert isinstance(run.error, ForecastCancelled)
    assert run.outcome == "part"
    assert registry.join("a", owner="you") is None
    assert registry.find(run.key) is run


def test_a_run_that_is_left_before_its_turn_has_ended(registry, gate):
    registry.start(gate.run("running"), owner="o")
    waiting = registry.start(gate.run("waiting"), owner="me")
    assert not waiting.is_final
    assert waiting.error is None
    registry.leave(waiting, owner="me")
    assert waiting.is_final
    assert isinstance(waiting.error, ForecastCancelled)
    assert waiting.outcome is None
    assert registry.join("waiting", owner="me") is None


def test_a_refused_run_changes_nothing(registry, gate):
    running = registry.start(gate.run("running"), owner="o")
    wait_until(lambda: registry.status(running, owner="o").state == "running")
    for n in range(RUNS_WAITING):
        registry.start(gate.run(f"waiting {n}"), owner=f"owner {n}")
    with pytest.raises(Busy):
        registry.start(gate.run("one more"), owner="o")
    assert registry.newest("one more") is None
    assert registry.status(running, owner="o").state == "running"


def test_ended_runs_are_dropped_oldest_first(registry, gate):
    gate.opened.set()
    runs = []
    for n in range(RUNS_STORED + 2):
        runs.append(registry.start(gate.run(f"{n}"), owner="me"))
        wait_for_end(runs[-1])
        wait_until(lambda: registry.status(runs[-1], owner="me").is_final)
    assert registry.find(runs[0].key) is None
    assert registry.find(runs[-1].key) is runs[-1]
