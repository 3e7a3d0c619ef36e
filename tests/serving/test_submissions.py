"""The soak of submissions, short: it finds nothing, but would find wrong answers."""

import threading

from benchmarks.gates.submissions import soak
from kronos.serving.queue import JobQueue


def test_a_soak_finds_nothing_wrong_lost_or_left_behind():
    found = soak(4000, n_threads=8)
    assert found.problems == []
    assert sum(found.tally.ends.values()) == 4000
    assert found.tally.ends.keys() >= {"wait done", "join done", "fail failed", "late too late"}


def test_a_soak_finds_wrong_answers(monkeypatch):
    finish, lock, calls = JobQueue.finish, threading.Lock(), []

    def finish_wrongly(queue, job, result):
        with lock:
            calls.append(job)
        finish(queue, job, "of another" if len(calls) % 50 == 0 else result)

    monkeypatch.setattr(JobQueue, "finish", finish_wrongly)
    found = soak(1000, n_threads=8)
    assert any("ended as done" in problem for problem in found.problems)
