"""Requests, clients and processor times, for the other commands of this folder."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import psutil

from benchmarks.revision import revision
from data_sources.samples import load_sample
from kronos.forecast import Forecast, SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.interface import ForecastService

CONTEXT, PATHS, HORIZON = 128, 30, 24
_BARS = load_sample("ETHUSD_1h")


def requests(service: ForecastService, n: int, *, first_seed: int = 0, paths: int = PATHS,
             horizon: int = HORIZON) -> list[ForecastRequest]:  # fmt: skip
    """Requests of the bundled model, each from an origin and seed of its own."""
    facts = service.facts("bundled")
    made = []
    for i in range(first_seed, first_seed + n):
        start = 13 * i % (len(_BARS) - CONTEXT)
        made.append(
            ForecastRequest.of_candles(
                _BARS.slice(start, start + CONTEXT), facts, horizon=horizon,
                sampling=SamplingParameters(sample_count=paths, seed=i),
            )
        )  # fmt: skip
    return made


def answer_all(
    service: ForecastService, asked: Sequence[ForecastRequest], clients: int
) -> tuple[list[Any], np.ndarray, float]:
    """Answers or errors, seconds of each, and seconds in all, of clients that ask in turn."""

    def ask(request: ForecastRequest) -> tuple[Any, float]:
        begun = time.perf_counter()
        try:
            found: Any = service.run(request)
        except Exception as error:  # noqa: BLE001 (what is counted)
            found = error
        return found, time.perf_counter() - begun

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        done = list(pool.map(ask, asked))
    total = time.perf_counter() - begun
    return [found for found, _ in done], np.array([seconds for _, seconds in done]), total


def same(one: Any, other: Any) -> bool:
    """Whether two answers are forecasts with the same bits."""
    both = isinstance(one, Forecast) and isinstance(other, Forecast)
    return both and np.array_equal(one.paths, other.paths)


def processor_seconds(pids: Sequence[int]) -> float:
    """Processor time of processes so far."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            total += sum(psutil.Process(pid).cpu_times()[:2])
    return total


class Load:
    """Clients that ask one request after another until they are stopped."""

    def __init__(self, service: ForecastService, asked: Sequence[ForecastRequest], clients: int):
        self.asked, self.answers = asked, {}
        self._service, self._next, self._lock = service, 0, threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                i = self._next
                self._next += 1
            if i >= len(self.asked):
                return
            begun = time.perf_counter()
            try:
                found: Any = self._service.run(self.asked[i])
            except Exception as error:  # noqa: BLE001 (what is counted)
                found = error
            with self._lock:
                assert i not in self.answers
                self.answers[i] = found, time.perf_counter() - begun

    def stop(self) -> dict[int, tuple[Any, float]]:
        """End the clients once their last request is answered; the answers, by request."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.answers


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> float:
    """Seconds until a condition holds.

    Raises:
        TimeoutError: It does not hold in time.
    """
    begun = time.perf_counter()
    while not condition():
        if time.perf_counter() - begun > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(0.02)
    return time.perf_counter() - begun


def foot() -> str:
    """Hardware and revision."""
    return f"{os.cpu_count()} cores, {platform.machine()}, revision {revision()}"
