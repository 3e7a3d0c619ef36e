"""Processes that write into a store until they are killed, and what must hold afterwards.

A writer writes to a file what the store has confirmed: "P id number" once a prediction is saved,
"E id number" once it is scored, with the writer's own number. Processes are forked from one that
has imported everything already, so that a kill hits work and not imports.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import command  # noqa: F401  (loaded ahead, like all a writer needs)

from kronos.errors import StoreUnavailable
from kronos.evaluation.scores import LEVELS
from kronos.store.schema import predictions, signal_evaluations
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from tests.store.made import make_candles, make_forecast

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

HORIZON = 6
N_WRITERS = 3
CANDLES = make_candles()


def start(target: object, *arguments: object) -> BaseProcess:
    """A running process."""
    process = CONTEXT.Process(target=target, args=arguments)  # type: ignore[arg-type]
    process.start()
    return process


def write_on_and_on(url: str, number: int, said: Path) -> None:
    """Saves forecasts nobody else saves, and scores them, without end."""
    mouth = os.open(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    store = _patiently(lambda: Store(url))
    for i in range(1_000_000):
        candles = replace(CANDLES, symbol=f"{number}-{i}")
        forecast = make_forecast(candles, horizon=HORIZON, seed=i)
        saved = _patiently(lambda f=forecast, c=candles: store.save(f, c))  # type: ignore[misc]
        os.write(mouth, f"P {saved.id} {number}\n".encode())
        _patiently(lambda c=candles: score_candles(store, c))  # type: ignore[misc]
        os.write(mouth, f"E {saved.id} {number}\n".encode())


def save_some(url: str, number: int, n_saves: int, results: Any) -> None:
    """Saves forecasts, half of them the same for every number, and tells how many were new."""
    n_new = 0
    with Store(url) as store:
        for i in range(n_saves):
            seed = i if i % 2 else 1000 * (number + 1) + i
            n_new += store.save(make_forecast(CANDLES, seed=seed), CANDLES).is_new
    results.put(n_new)


def open_once(url: str, said: Path) -> None:
    """Opens a store that may not be there yet, and says so."""
    with Store(url) as store:
        store.counts()
    said.touch()


def _patiently(work):  # type: ignore[no-untyped-def]
    """The result of some work, tried again while the server is down."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return work()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def words(said: Path) -> list[tuple[str, str, int]]:
    """Everything that writers have said."""
    lines = said.read_text().splitlines() if said.exists() else []
    spoken = [line.split() for line in lines]
    return [(kind, prediction_id, int(number)) for kind, prediction_id, number in spoken]


def check(store: Store, said: Path) -> int:
    """Nothing acknowledged is lost and nothing is half written; the number of predictions."""
    spoken = words(said)
    saved, scored = ({i for kind, i, _ in spoken if kind == wanted} for wanted in "PE")
    stored = {prediction.id: prediction for prediction in store.predictions()}
    assert saved <= set(stored)
    counts = store.counts()
    assert counts["prediction_paths"] == len(stored)
    steps = store.evaluations().groupby("prediction_id").size().to_dict()
    whole = set(store.path_evaluations()["prediction_id"])
    assert set(steps.values()) <= {HORIZON}
    assert scored <= set(steps) == whole <= set(stored)
    for prediction in stored.values():
        paths = store.paths(prediction)["close"]
        assert np.array_equal(np.quantile(paths, LEVELS, axis=0).T, prediction.quantiles)
    return len(stored)


def check_acknowledged(store: Store, said: Path) -> None:
    """Every confirmed row is there; reads ids alone, for use after each of many kills."""
    spoken = words(said)  # before the store is read: writers go on
    confirmed = {kind: {i for found, i, _ in spoken if found == kind} for kind in "PE"}
    with store.database.reading() as connection:
        saved = set(connection.execute(sa.select(predictions.c.id)).scalars())
        scored = set(connection.execute(sa.select(signal_evaluations.c.prediction_id)).scalars())
    assert confirmed["P"] <= saved, f"{len(confirmed['P'] - saved)} confirmed predictions are lost"
    assert confirmed["E"] <= scored, f"{len(confirmed['E'] - scored)} confirmed scores are lost"


def check_sqlite(path: Path, said: Path) -> int:
    """The file is sound, and so are its rows; the number of predictions."""
    check_file(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with Store(str(path)) as store:
        return check(store, said)


def check_file(path: Path) -> None:
    """SQLite finds nothing wrong with a file."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def kill_writers(
    url: str,
    said: Path,
    n_kills: int,
    *,
    also: Callable[[], None] = lambda: None,
    before: Callable[[int], None] = lambda pid: None,
    after: Callable[[], None] = lambda: None,
    seed: int = 0,
) -> None:
    """Kill one of several writers after the other, each at any point of its work.

    Args:
        url: Their store.
        said: Where they write what the store has confirmed.
        n_kills: Number of kills.
        also: Called between the choice of a writer and its kill.
        before: Called with the process id of a writer that is about to be killed.
        after: Called after each kill, while the other writers go on.
        seed: Of the moments.
    """
    rng = random.Random(seed)

    def begin(number: int) -> BaseProcess:
        return start(write_on_and_on, url, number, said)

    alive = {number: begin(number) for number in range(N_WRITERS)}
    try:
        for kill in range(n_kills):
            victim = rng.choice(_working(said, alive))
            time.sleep(rng.uniform(0, 0.03))
            also()
            time.sleep(rng.uniform(0, 0.1))
            process = alive.pop(victim)
            before(process.pid or 0)
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL, "a writer ended before it was killed"
            after()
            alive[N_WRITERS + kill] = begin(N_WRITERS + kill)
    finally:
        for process in alive.values():
            process.kill()
            process.join()


def _working(said: Path, alive: Collection[int]) -> list[int]:
    """Numbers of the writers that have stored something; waits for one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = sorted({number for _, _, number in words(said)} & set(alive))
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError("the writers write nothing")
