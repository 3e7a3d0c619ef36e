"""Many processes write at once and are killed at any point: nothing acknowledged is lost."""

import random
import time

import pytest

from kronos.store.store import Store
from tests.store import writers

N_PROCESSES, N_SAVES = 4, 20


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


@pytest.mark.parametrize("n_kills", [2, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_killed_writers_lose_nothing_in_sqlite(tmp_path, n_kills):
    path, said = tmp_path / "store.sqlite3", tmp_path / "said"
    writers.kill_writers(f"sqlite:///{path}", said, n_kills)
    assert writers.check_sqlite(path, said) >= n_kills


@pytest.mark.postgres
@pytest.mark.parametrize("n_kills", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(1200)
def test_a_killed_server_and_killed_writers_lose_nothing_in_postgres(postgres, tmp_path, n_kills):
    """Server and writer are killed together; the writers left wait for the server and go on."""
    url, said = postgres.empty(), tmp_path / "said"

    def kill_server():
        postgres.kill()
        postgres.start()

    writers.kill_writers(url, said, n_kills, also=kill_server)
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
