"""What the machine tells about its memory and processors."""

import os
from pathlib import Path

import numpy as np

from kronos import machine


def test_the_memory_of_this_process_follows_what_it_holds():
    before = machine.process_bytes()
    block = np.ones(8_000_000)
    assert machine.process_bytes() - before > 0.9 * block.nbytes


def test_the_parts_fit_into_the_whole():
    total = machine.total_bytes()
    assert machine.process_bytes() < total
    assert machine.free_bytes() is None or machine.free_bytes() <= total
    assert 1 <= machine.n_processors() <= os.cpu_count()


def test_a_system_without_proc_is_asked_by_ps(monkeypatch):
    known = machine.process_bytes()
    monkeypatch.setattr(machine, "_STATUS", Path("nowhere"))
    monkeypatch.setattr(machine, "_MEMORY", Path("nowhere"))
    assert 0.5 < machine.process_bytes() / known < 2
    assert machine.free_bytes() is None
    monkeypatch.setenv("PATH", "")
    assert machine.process_bytes() is None
