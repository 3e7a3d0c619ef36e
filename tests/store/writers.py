"""Processes that write into a store until they are killed, and what must hold afterwards.

A writer writes to a file what the store has confirmed: "P id number" once a prediction is saved,
"E id number" once it is scored, with the writer's own number. Processes are forked from one that
has imported everything already, so that a kill hits work and not imports.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from alembic import command  # noqa: F401  (loaded ahead, like all a writer needs)

from kronos.errors import StoreUnavailable
from kronos.evaluation.scores import LEVELS
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from tests.store.made import make_candles, make_forecast

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])

HORIZON = 6
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
