"""Twenty thousand requests from many threads, with cancels and failures: none lost, none wrong."""

import gc
import logging
import os
import random
import threading
import time
from collections import Counter

import pytest
import torch

from kronos.decoding.decoder import Decoder
from kronos.decoding.sequence import TokenSequence
from kronos.errors import Busy, ForecastCancelled
from kronos.serving.engine import Engine
from kronos.serving.jobs import Limits, Priority
from tests.serving.scripted import Scripted, Stepping
from tests.serving.test_engine import expected, request

N_REQUESTS, N_THREADS, N_KINDS = 20_000, 32, 40


class Broken(RuntimeError):
    """What a failing request raises."""


def kind(i, failures):
    """One of the requests that occur; every tenth fails, half of those in the middle of a step."""
    asked = request(i, length=4 + i % 7, horizon=1 + i % 3, n_paths=1 + i % 5, T=i % 4 / 2)
    if i % 10:
        return asked
    if i % 20:

        def refuse(predictor):
            failures["begin"] += 1
            raise Broken("refused")

        return Scripted("tiny", refuse)

    def begin(predictor):
        pending = asked.begin(predictor)
        first = pending.sequences[0]
        first.context = BrokenContext(first.context, failures)
        return pending

    return Scripted("tiny", begin)


class BrokenContext:
    """A context that cannot be read."""

    def __init__(self, context, failures):
        self._context, self._failures = context, failures
        self.horizon = context.horizon

    def __len__(self):
        return len(self._context)

    def bars(self, which):
        self._failures["step"] += 1
        raise Broken("unreadable")


def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_soak(model, monkeypatch):
    # Thousands of wanted failures: what is told of them would be kept, and count as a leak.
    for name in ("engine", "worker"):
        monkeypatch.setattr(logging.getLogger(f"kronos.serving.{name}"), "disabled", True)
    failures = Counter()
    asked = [kind(i, failures) for i in range(N_KINDS)]
    right = [expected(model, one) if i % 10 else None for i, one in enumerate(asked)]

    class Tiny(Stepping):
        decoder = Decoder(model)

    tiny = Tiny()
    engine = Engine(lambda name, progress: tiny, limits=Limits(max_queued=6, max_results=16))
    outcomes, wrong, lock = Counter(), [], threading.Lock()
    memory = []

    def client(number):
        rng = random.Random(number)
        for turn in range(N_REQUESTS // N_THREADS):
            i = rng.randrange(N_KINDS)
            # Mostly keys of one's own, sometimes one that others ask for at the same time.
            key = f"shared {i}" if rng.random() < 0.2 else f"{number} {turn} {i}"
            owner = f"{number} {turn}"
            priority = rng.choice(list(Priority))
            outcome = "done"
            try:
                engine.queue.submit(
                    key, asked[i], owner=owner, priority=priority, wait=rng.random() < 0.9
                )
                if rng.random() < 0.25:
                    time.sleep(rng.random() * 0.002)
                    engine.queue.leave(key, owner=owner)
                answer = engine.queue.result(key, owner=owner, timeout=60)
                if right[i] is None or not torch.equal(answer, right[i]):
                    wrong.append((key, answer))
            except ForecastCancelled:
                outcome = "cancelled"
            except Busy:
                outcome = "busy"
            except Broken:
                outcome = "failed"
                if right[i] is not None:
                    wrong.append((key, "failed"))
            with lock:
                outcomes[outcome] += 1
                if number == 0 and turn % 100 == 0:
                    gc.collect()
                    memory.append(resident_mb())

    threads = [threading.Thread(target=client, args=(n,)) for n in range(N_THREADS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    print(f"\n{N_REQUESTS} requests in {seconds:.0f} s: {dict(outcomes)}, {dict(failures)}")
    print("resident memory over time, MB:", [round(m) for m in memory])

    assert not wrong
    assert sum(outcomes.values()) == N_REQUESTS
    assert set(outcomes) == {"done", "cancelled", "busy", "failed"}
    assert min(failures["begin"], failures["step"]) > 0
    assert engine.close()
    gc.collect()
    # Not isinstance, which asks what is found for its class, and weak references to nothing refuse.
    alive = [o for o in gc.get_objects() if type(o) is TokenSequence]
    assert len(alive) == 0, f"{len(alive)} series outlived the engine"
    assert memory[-1] - memory[1] < 60
