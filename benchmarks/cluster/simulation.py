"""Waits of people at replicas, by simulation.

A replica is a queue with processor sharing: its engine steps all requests together, so each of `b`
requests advances at the rate 1 / seconds(b), where seconds(b) is how long `b` requests that begin
together take. With seconds(b) = b / μ this is the queue M/M/1-PS; with b / (μ min(b, c)) the number
of requests has the law of M/M/c. Measured seconds are a + c b: a step has a cost of its own, and
every request adds to it, which is why a batch answers more a second than one at a time, up to
1 / c. Closed formulas for such queues assume independent arrivals and random work. Here people are
few and wait for their answer before they think of the next, and the work of equal requests is
equal; so it is simulated, by simpy, and tested against the formulas where those hold.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator, Sequence
from itertools import count
from typing import Any

import numpy as np
import simpy

__all__ = ["Replica", "closed_waits", "open_waits"]

Rate = Callable[[int], float]
"""Seconds that a number of requests take which begin together."""


class Replica:
    """One engine: requests in its batch share it, others wait for a place in their order."""

    def __init__(self, env: simpy.Environment, seconds: Rate, most: int) -> None:
        """Args:
        env: The clock.
        seconds: Seconds of a batch by its requests.
        most: Requests that the batch takes.
        """
        self._env, self._seconds, self._most = env, seconds, most
        self._line: deque[tuple[float, simpy.Event]] = deque()
        self._batch: list[tuple[float, int, simpy.Event]] = []
        self._numbers = count()
        self._done = 0.0  # work that each request of the batch has had since the clock began
        self._looked = 0.0
        self._version = 0

    def answer(self, work: float = 1.0) -> simpy.Event:
        """An event at the end of a request.

        Args:
            work: As a multiple of that of the requests that were measured.
        """
        end = self._env.event()
        self._advance()
        self._line.append((work, end))
        self._fill()
        return end

    def _advance(self) -> None:
        now = self._env.now
        if self._batch:
            self._done += (now - self._looked) / self._seconds(len(self._batch))
        self._looked = now

    def _fill(self) -> None:
        while self._line and len(self._batch) < self._most:
            work, end = self._line.popleft()
            heapq.heappush(self._batch, (self._done + work, next(self._numbers), end))
        self._version += 1
        if self._batch:
            self._env.process(self._next(self._version))

    def _next(self, version: int) -> Generator[simpy.Event, None, None]:
        left = max(self._batch[0][0] - self._done, 0.0)
        yield self._env.timeout(left * self._seconds(len(self._batch)))
        if version == self._version:  # nothing came or went since
            self._advance()
            _, _, end = heapq.heappop(self._batch)
            end.succeed()
            self._fill()


def closed_waits(
    users: int,
    replicas: int,
    seconds: Rate,
    *,
    think: float,
    most: int,
    until: float,
    carried: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Waits of people who ask, wait for the answer, think, and ask again.

    A request goes to the replica of its digest, which is any.

    Args:
        users: People.
        replicas: Engines.
        seconds: Of a batch by its requests.
        think: Mean seconds between an answer and the next question, exponentially distributed.
        most: Requests in the batch of a replica.
        until: Seconds to simulate; the first fifth of them is left out.
        carried: Requests that the applications carry at a time; None for any number.
        seed: Of the random numbers.

    Returns:
        Seconds of each request, by the time of its end.
    """
    env, random = simpy.Environment(), np.random.default_rng(seed)
    engines = [Replica(env, seconds, most) for _ in range(replicas)]
    line = simpy.Resource(env, carried or users)
    waits: list[float] = []

    def person() -> Generator[simpy.Event, Any, None]:
        while True:
            yield env.timeout(random.exponential(think))
            asked = env.now
            with line.request() as place:
                yield place
                yield engines[random.integers(replicas)].answer()
            if asked > until / 5:
                waits.append(env.now - asked)

    for _ in range(users):
        env.process(person())
    env.run(until)
    return np.array(waits)


def open_waits(
    arrivals: Sequence[float] | np.ndarray, works: Sequence[float] | np.ndarray, seconds: Rate
) -> np.ndarray:
    """Waits at one replica of requests that come at given times, whoever waits.

    Args:
        arrivals: Seconds between one request and the next.
        works: Work of each.
        seconds: Of a batch by its requests.
    """
    env = simpy.Environment()
    engine = Replica(env, seconds, len(works))
    waits = np.zeros(len(works))

    def request(i: int) -> Generator[simpy.Event, None, None]:
        asked = env.now
        yield engine.answer(works[i])
        waits[i] = env.now - asked

    def come() -> Generator[simpy.Event, None, None]:
        for i, gap in enumerate(arrivals):
            yield env.timeout(gap)
            env.process(request(i))

    env.process(come())
    env.run()
    return waits
