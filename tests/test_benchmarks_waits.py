"""benchmarks.cluster.waits: its simulation against the formulas of queues, and its own file."""

import json
import math

import numpy as np
import pytest
import simpy

from benchmarks.cluster import waits as command
from benchmarks.cluster.simulation import Replica, closed_waits, open_waits
from benchmarks.cluster.waits import Measured, Service

N = 15_000


def poisson(rate, seed):
    random = np.random.default_rng(seed)
    return random.exponential(1 / rate, N), random.exponential(1.0, N)


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_one_server_that_is_shared(load):
    """M/M/1-PS: 1 / (μ - λ), and a request's wait grows with its own work alone."""
    gaps, works = poisson(load, 1)
    waits = open_waits(gaps, works, lambda b: b)
    assert waits.mean() == pytest.approx(1 / (1 - load), rel=0.08)
    small, large = works < 0.5, works > 2
    assert (waits / works)[small].mean() == pytest.approx(1 / (1 - load), rel=0.08)
    assert (waits / works)[large].mean() == pytest.approx(1 / (1 - load), rel=0.08)


def test_the_wait_depends_on_the_mean_work_alone():
    """M/G/1-PS: equal work waits as long as random work of the same mean."""
    gaps, _ = poisson(0.6, 2)
    waits = open_waits(gaps, np.ones(N), lambda b: b)
    assert waits.mean() == pytest.approx(1 / 0.4, rel=0.08)


def test_several_servers():
    """M/M/c by Erlang's formula."""
    servers, load = 3, 1.8
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    expected = 1 + last / (sum(terms) + last) / (servers - load)
    gaps, works = poisson(load, 3)
    waits = open_waits(gaps, works, lambda b: b / min(b, servers))
    assert waits.mean() == pytest.approx(expected, rel=0.08)


def test_a_full_batch_takes_others_in_their_order():
    env = simpy.Environment()
    engine = Replica(env, lambda b: float(b), most=2)
    ends = {}
    for i in range(4):
        engine.answer().callbacks.append(lambda _, i=i: ends.setdefault(i, env.now))
    env.run()
    assert ends == {0: 2.0, 1: 2.0, 2: 4.0, 3: 4.0}


def test_a_small_world_by_hand():
    """With one person nobody waits for others."""
    waits = closed_waits(1, 1, lambda b: 0.2 + 0.1 * b, think=1, most=8, until=500)
    np.testing.assert_allclose(waits, 0.3, atol=1e-9)
    assert len(waits) == pytest.approx(400 / 1.3, rel=0.15)


def test_a_saturated_replica_answers_as_fast_as_it_can():
    waits = closed_waits(60, 1, lambda b: 0.1 * b, think=1, most=8, until=400)
    assert waits.mean() == pytest.approx(60 * 0.1 - 1, rel=0.05), "Little: N / X - think"
    assert len(waits) == pytest.approx(320 / 0.1, rel=0.05)
    held = closed_waits(60, 4, lambda b: 0.1 * b, think=1, most=8, until=400, carried=1)
    assert held.mean() == pytest.approx(60 * 0.1 - 1, rel=0.05), "one at a time is carried"


def test_a_line_is_found_in_what_was_measured():
    fitted = Service.fit({b: 0.05 + 0.02 * b for b in (1, 2, 4, 8)})
    assert fitted.own == pytest.approx(0.05)
    assert fitted.each == pytest.approx(0.02)
    assert fitted.seconds(3) == pytest.approx(0.11)
    assert fitted.off == pytest.approx(0, abs=1e-9)
    assert Service.fit({1: 0.1, 2: 0.2, 4: 0.41}).own == 0, "a batch has no cost below nothing"


def test_its_file_is_read_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "USERS", (10, 30))
    monkeypatch.setattr(command, "N_SIMULATED", 400)
    found = Measured(
        batches={"in process": {1: 0.1, 2: 0.15, 4: 0.25}, "1 replica": {1: 0.12, 2: 0.2, 4: 0.3}},
        waits={"in process": {30: [0.1, 0.12, 0.3]}, "2 replicas": {30: [0.12, 0.13, 0.5]}},
        think=30.0, foot="2 cores, revision abc",
    )  # fmt: skip
    (tmp_path / "waits.json").write_text(found.to_json())
    assert Measured.from_json((tmp_path / "waits.json").read_text()) == found
    assert command.main(["--from", str(tmp_path / "waits.json")]) == 0
    printed = capsys.readouterr().out
    assert "| in process | 30 | 3 | 120 ms |" in printed
    assert "| 2 replicas | 30 | 3 | 130 ms |" in printed
    assert printed.count("\n| 10 | 1 |") == 1
    assert "revision abc" in printed
    assert json.loads(found.to_json())["think"] == 30.0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_command_measures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "USERS", (10,))
    monkeypatch.setattr(command, "N_SIMULATED", 200)
    words = ["--seconds", "4", "--think", "1", "--sizes", "3", "--save", str(tmp_path / "w.json")]
    assert command.main(words) == 0
    found = Measured.from_json((tmp_path / "w.json").read_text())
    assert set(found.waits) == {"in process", "1 replica", "2 replicas"}
    assert all(waits[3] for waits in found.waits.values())
    assert "| 2 replicas | 3 |" in capsys.readouterr().out
