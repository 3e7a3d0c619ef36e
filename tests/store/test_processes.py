"""Many processes write at once and are killed at any point: nothing acknowledged is lost."""

import random
import sqlite3
import time

import pytest

from kronos.store.store import Store
from tests.store import writers

N_WRITERS = 3
N_PROCESSES, N_SAVES = 4, 20


def working(said, alive):
    """Numbers of the writers that have stored something; waits for one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = sorted({number for _, _, number in writers.words(said)} & set(alive))
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError("the writers write nothing")


@pytest.mark.slow
def test_processes_that_write_at_once_lose_and_double_nothing(url, opened):
    """They also all find an empty database, and each would make its tables."""
    results = writers.CONTEXT.Queue()
    arguments = [(url, number, N_SAVES, results) for number in range(N_PROCESSES)]
    processes = [writers.start(writers.save_some, *given) for given in arguments]
    is_new = [results.get(timeout=100) for _ in processes]
    for process in processes:
        process.join()
    wanted = N_PROCESSES * N_SAVES // 2 + N_SAVES // 2
    counts = opened(url).counts()
    assert sum(is_new) == counts["ml_predictions"] == counts["prediction_paths"] == wanted


def kill_writers(url, said, n_kills, *, also=None, seed=0):
    """Kills one of several writers after the other, each at any point of its work."""
    rng = random.Random(seed)

    def start(number):
        return writers.start(writers.write_on_and_on, url, number, said)

    alive = {number: start(number) for number in range(N_WRITERS)}
    try:
        for kill in range(n_kills):
            victim = rng.choice(working(said, alive))
            time.sleep(rng.uniform(0, 0.03))
            if also is not None:
                also()
                time.sleep(rng.uniform(0, 0.1))
            process = alive.pop(victim)
            process.kill()
            process.join()
            assert process.exitcode == -9
            alive[N_WRITERS + kill] = start(N_WRITERS + kill)
    finally:
        for process in alive.values():
            process.kill()
            process.join()


def check_sqlite(path, said):
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with Store(str(path)) as store:
        return writers.check(store, said)


@pytest.mark.parametrize("n_kills", [2, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_killed_writers_lose_nothing_in_sqlite(tmp_path, n_kills):
    path, said = tmp_path / "store.sqlite3", tmp_path / "said"
    kill_writers(f"sqlite:///{path}", said, n_kills)
    assert check_sqlite(path, said) >= n_kills


@pytest.mark.postgres
@pytest.mark.parametrize("n_kills", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_a_killed_server_and_killed_writers_lose_nothing_in_postgres(postgres, tmp_path, n_kills):
    """Server and writer are killed together; the writers left wait for the server and go on."""
    url, said = postgres.empty(), tmp_path / "said"

    def kill_server():
        postgres.kill()
        postgres.start()

    kill_writers(url, said, n_kills, also=kill_server)
    with Store(url) as store:
        assert writers.check(store, said) >= n_kills


@pytest.mark.parametrize("n_kills", [2, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_a_store_whose_making_was_killed_is_made_by_the_next(tmp_path, n_kills):
    rng = random.Random(1)
    for kill in range(n_kills):
        path, said = tmp_path / f"{kill}.sqlite3", tmp_path / f"said {kill}"
        processes = [writers.start(writers.open_once, str(path), said) for _ in range(2)]
        time.sleep(rng.uniform(0, 0.15))
        processes[0].kill()
        for process in processes:
            process.join()
        assert processes[1].exitcode == 0
        assert said.exists()
        with Store(str(path)) as store:
            assert set(store.counts().values()) == {0}
