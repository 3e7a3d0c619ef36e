"""One training at a time on a machine, whoever starts it and however it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kronos.errors import Busy
from pages.ui.training import process

FIRST, SECOND = "a" * 22, "b" * 22
HOLD = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1], timeout=0)
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(process, "runs_folder", lambda: tmp_path / "runs")
    return tmp_path / "runs"


@contextmanager
def held_by_another_process(lock: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_a_machine_without_a_run_is_free(runs: Path) -> None:
    assert process.running() == ""
    process.require_free()
    assert not runs.exists()


def test_the_server_that_starts_a_run_has_the_machine_until_the_run_has_it(runs: Path) -> None:
    starting = process.take_lock(runs, FIRST)
    for _ in range(3):
        assert process.running() == FIRST
        with pytest.raises(Busy, match="Another training is under way"):
            process.take_lock(runs, SECOND)
        assert process.running() == FIRST
    with held_by_another_process(runs / "lock") as training:
        starting.release()
        assert process.running() == FIRST
        with pytest.raises(Busy, match="one at a time"):
            process.take_lock(runs, SECOND)
        assert process.running() == FIRST
        training.kill()
        training.wait()
        assert process.running() == "", "the system frees the lock of a process that is killed"
    process.take_lock(runs, SECOND).release()


def test_a_server_that_is_killed_while_it_starts_a_run_leaves_the_machine_free(runs: Path) -> None:
    process.take_lock(runs, FIRST).release()
    with held_by_another_process(runs / "starting") as server:
        assert process.running() == FIRST
        with pytest.raises(Busy):
            process.take_lock(runs, SECOND)
        server.kill()
        server.wait()
    assert process.running() == ""
    process.take_lock(runs, SECOND).release()


def test_the_files_that_are_left_mean_nothing(runs: Path) -> None:
    """No number of a process is stored: another process of that number is no holder."""
    process.take_lock(runs, FIRST).release()
    assert (runs / "holder").read_text() == FIRST
    assert process.running() == ""
