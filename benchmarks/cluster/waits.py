"""How long people wait, by their number and that of the replicas: measured, and predicted.

    OMP_NUM_THREADS=1 python -m benchmarks.cluster.waits [--save waits.json]     about 7 minutes
    python -m benchmarks.cluster.waits --from waits.json                         about a minute

Bundled model, context 128, 30 paths, 24 bars. Measures how long batches of 1 to 8 requests take,
in this process and at one replica, each with one thread, and fits a line to them: a cost of the
batch, and one of each request in it. Then 10, 30 and 100 people ask, wait, think for 30 s on
average, and ask again: in this process, of one replica, of two. `simulation` predicts their waits
from the lines alone; both are printed side by side. Last, its predictions for 10 to 10,000 people,
with as many replicas as are then in use for about 90%, 60% and 40% of the time, and an application
process for every 1,000 people.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.cluster.load import PATHS, answer_all, foot, requests, wait_until
from benchmarks.cluster.simulation import closed_waits
from kronos.decoding import MAX_ROWS
from kronos.serving.cluster import connection, deployment
from kronos.serving.cluster.replica import ONGOING
from kronos.serving.cluster.service import ClusterService
from kronos.serving.interface import ForecastService
from kronos.serving.local import LocalService

USERS = (10, 30, 100, 300, 1_000, 3_000, 10_000)
BATCHES, REPEATS = (1, 2, 4, 8), 3
MOST = math.ceil(MAX_ROWS / PATHS)
"""Requests that an engine takes into its batch."""
IN_USE = (0.9, 0.6, 0.4)
PEOPLE_OF_AN_APPLICATION = 1_000
N_SIMULATED = 20_000
"""Requests of a prediction, about."""
LOCAL, ONE, TWO = "in process", "1 replica", "2 replicas"
REPLICAS = {LOCAL: 1, ONE: 1, TWO: 2}


@dataclass(frozen=True)
class Service:
    """Seconds of a batch.

    Attributes:
        own: Of the batch itself.
        each: Of every request in it: one replica answers at most 1 / each a second.
        off: Largest distance of the line from what was measured, as a share of that.
    """

    own: float
    each: float
    off: float

    @classmethod
    def fit(cls, batches: dict[int, float]) -> Service:
        """The line of the least squared relative distances."""
        sizes, seconds = (np.array(each, float) for each in (list(batches), list(batches.values())))
        terms = np.stack([np.ones_like(sizes), sizes], axis=1) / seconds[:, None]
        own, each = np.linalg.lstsq(terms, np.ones_like(sizes), rcond=None)[0]
        if own < 0:
            own, each = 0.0, 1 / (sizes / seconds).mean()
        off = np.abs((own + each * sizes) / seconds - 1).max()
        return cls(float(own), float(each), float(off))

    def seconds(self, requests: int) -> float:
        """Of a batch of so many requests."""
        return self.own + self.each * requests


@dataclass
class Measured:
    """What was measured.

    Attributes:
        batches: Seconds of a batch by its requests, by place.
        waits: Seconds of each request by people, by place.
        think: Mean seconds between an answer and the next question.
        foot: Hardware and revision.
    """

    batches: dict[str, dict[int, float]] = field(default_factory=dict)
    waits: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    think: float = 30.0
    foot: str = ""

    def to_json(self) -> str:
        """As text of a file."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Measured:
        """Of the text of a file."""
        found = json.loads(text)
        for name in ("batches", "waits"):
            found[name] = {
                place: {int(n): each for n, each in known.items()}
                for place, known in found[name].items()
            }
        return cls(**found)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=35, help="of each measurement")
    parser.add_argument("--think", type=float, default=30.0, help="mean seconds before a question")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 30, 100], help="people")
    parser.add_argument("--save", type=Path, help="write what is measured to this file")
    parser.add_argument("--from", type=Path, dest="known", help="measure nothing, read this file")
    args = parser.parse_args(words)
    if args.known:
        found = Measured.from_json(args.known.read_text())
    else:
        found = measure(args.sizes, args.seconds, args.think)
        if args.save:
            args.save.write_text(found.to_json())
    print_all(found)
    return 0


def measure(sizes: list[int], seconds: float, think: float) -> Measured:
    """Batches and waits in this process, of one replica, and of two."""
    found = Measured(think=think, foot=foot())
    with closing(LocalService()) as local:
        measure_at(LOCAL, local, local, found, sizes, seconds)
        address = f"ray://{connection.start(3)}"
        try:
            for place in (ONE, TWO):
                deployment.deploy(deployment.Plan(replicas=REPLICAS[place], cpus=1))
                cluster = ClusterService(address)
                wait_until(lambda: len(cluster.replicas()) == REPLICAS[place])  # noqa: B023
                measure_at(place, cluster, local, found, sizes, seconds)
                cluster.worker.close()
        finally:
            connection.disconnect()
    return found


def measure_at(
    place: str, service: ForecastService, local: LocalService, found: Measured,
    sizes: list[int], seconds: float,
) -> None:  # fmt: skip
    answer_all(service, requests(local, 8, first_seed=90_000), 8)
    if place != TWO:
        found.batches[place] = {}
        for n in BATCHES:
            times = []
            for i in range(REPEATS):
                asked = requests(local, n, first_seed=1_000 * i + 10 * n)
                times.append(answer_all(service, asked, n)[2])
            found.batches[place][n] = float(np.median(times))
    found.waits[place] = {}
    for users in sizes:
        found.waits[place][users] = ask(service, local, users, seconds, found.think)
        print(f"{place}, {users} people: {len(found.waits[place][users])} answers", file=sys.stderr)


def ask(
    service: ForecastService, local: LocalService, users: int, seconds: float, think: float
) -> list[float]:
    """Waits of people who ask for so many seconds; the first fifth is left out."""
    waits: list[float] = []
    begun, stop = time.monotonic(), threading.Event()

    def person(i: int) -> None:
        random = np.random.default_rng(i)
        seeds = count(100_000 + 1_000 * i)
        while not stop.wait(random.exponential(think)):
            (asked,) = requests(local, 1, first_seed=next(seeds))
            since = time.monotonic()
            service.run(asked)
            if since > begun + seconds / 5:
                waits.append(time.monotonic() - since)

    people = [threading.Thread(target=person, args=(i,)) for i in range(users)]
    for each in people:
        each.start()
    time.sleep(seconds)
    stop.set()
    for each in people:
        each.join()
    return waits


def predict(service: Service, users: int, replicas: int, think: float) -> np.ndarray:
    """Simulated waits, in seconds."""
    return closed_waits(
        users, replicas, service.seconds, think=think, most=MOST,
        until=max(4 * think, N_SIMULATED * think / users),
        carried=ONGOING * math.ceil(users / PEOPLE_OF_AN_APPLICATION),
    )  # fmt: skip


def text_of(waits: list[float] | np.ndarray) -> str:
    """Median and 95% quantile in the cells of a table."""
    if not len(waits):
        return "- | -"
    return " | ".join(f"{1e3 * np.quantile(waits, level):,.0f} ms" for level in (0.5, 0.95))


def print_all(found: Measured) -> None:
    services = {place: Service.fit(batches) for place, batches in found.batches.items()}
    for place, service in services.items():
        batches = ", ".join(f"{n}: {1e3 * s:.0f} ms" for n, s in found.batches[place].items())
        print(
            f"{place}: batches of {batches}; a line of {1e3 * service.own:.0f} ms and "
            f"{1e3 * service.each:.0f} ms a request, within {service.off:.0%}"
        )
    services[TWO] = services[ONE]
    print(f"\nPeople who think for {found.think:.0f} s:\n")
    print("| where | people | answers | median | 95% | predicted median | 95% |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for place, waits in found.waits.items():
        for users, known in waits.items():
            expected = predict(services[place], users, REPLICAS[place], found.think)
            cells = f"{text_of(known)} | {text_of(expected)}"
            print(f"| {place} | {users} | {len(known)} | {cells} |")
    print("\nPredicted:\n\n| people | replicas | median | 95% |\n| ---: | ---: | ---: | ---: |")
    for users in USERS:
        busy = users / found.think * services[ONE].each  # replicas that never rest
        for replicas in sorted({math.ceil(busy / share) for share in IN_USE}):
            waits = predict(services[ONE], users, replicas, found.think)
            print(f"| {users:,} | {replicas:,} | {text_of(waits)} |", flush=True)
    print(f"\n{found.foot}")


if __name__ == "__main__":
    sys.exit(main())
