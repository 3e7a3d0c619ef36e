"""Damaged stores: bytes flipped, pages emptied, the end cut off; every operation on every copy.

A copy of a real SQLite store is damaged at random, and each operation of the store runs on it. An
operation may succeed, as not every byte matters, or raise one of the project's own errors, and it
leaves the file as it is or adds rows to it; anything else is a failure.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np

from benchmarks.revision import revision
from kronos.candles import Candles
from kronos.errors import KronosError
from kronos.forecast import Forecast, SamplingParameters
from kronos.store.backup import back_up, export_csv, export_json_lines
from kronos.store.record import read_quantiles, read_record, summarise
from kronos.store.resolving import due_series, stored_series
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from kronos.system import peak_bytes

N_BARS = 160
HORIZON = 5
Operation = Callable[[Store, Path], object]


def sound_store(path: Path, candles: Candles) -> Forecast:
    """Write a store with forecasts, paths and scores.

    Returns:
        A forecast that it does not hold.
    """
    from kronos.request import ForecastRequest
    from kronos.serving.service import LocalService

    service = LocalService(device="cpu")
    try:
        facts = service.facts("ewma")

        def forecast(origin: int) -> Forecast:
            sampling = SamplingParameters(sample_count=20, seed=origin)
            request = ForecastRequest.of_candles(
                candles, facts, origin=origin, horizon=HORIZON, sampling=sampling
            )
            found: Forecast = service.run(request)
            return found

        with Store(str(path)) as store:
            for origin in range(80, N_BARS - 1, 6):
                store.save(forecast(origin), candles.slice(0, origin + 1), source="samples")
            score_candles(store, candles.slice(0, N_BARS - 20), bars_source="samples")
        return forecast(N_BARS - 1)
    finally:
        service.close()


def damage(path: Path, rng: np.random.Generator) -> str:
    """Damage a file in place, and say how."""
    data = bytearray(path.read_bytes())
    kind = str(rng.choice(["bytes", "text", "page", "end", "header", "swap"]))
    at = int(rng.integers(100, len(data)))
    if kind == "bytes":
        for place in rng.integers(100, len(data), int(rng.integers(1, 200))):
            data[place] ^= int(rng.integers(1, 256))
    elif kind == "text":  # within the rows: what SQLite's own checks do not see
        data[at : at + 4] = b"\xff\xfe\xc3\x28"
    elif kind == "page":
        start = at // 4096 * 4096
        data[start : start + 4096] = bytes(4096)
    elif kind == "end":
        del data[at:]
    elif kind == "header":
        at = int(rng.integers(0, 100))
        data[at] ^= int(rng.integers(1, 256))
    else:
        other = int(rng.integers(100, len(data) - 64))
        data[at : at + 64] = data[other : other + 64]
    path.write_bytes(data)
    return f"{kind} at {at:,}"


def operations(candles: Candles, new: Forecast) -> dict[str, Operation]:
    """Everything that is done with a store, by name; each gets the store and a scratch folder."""

    def read(store: Store, _: Path) -> None:
        for prediction in store.predictions():
            store.paths(prediction)
            store.get(prediction.id)
        store.counts()

    def record(store: Store, _: Path) -> None:
        read_quantiles(store, read_record(store, lambda *_: None))
        summarise(store)

    def due(store: Store, _: Path) -> None:
        due_series(store)
        stored_series(store, "samples")

    def export(store: Store, _: Path) -> None:
        export_csv(store, StringIO())
        export_json_lines(store, StringIO())

    return {
        "read": read,
        "record": record,
        "due": due,
        "export": export,
        "back up": lambda store, folder: back_up(store, folder / "backup.sqlite3"),
        "score": lambda store, _: score_candles(store, candles, bars_source="samples"),
        "save": lambda store, _: store.save(new, candles, source="samples"),
    }


def attack(n_copies: int, *, seed: int = 0) -> tuple[Counter[str], list[str], float]:
    """Damage copies of a store, and run every operation on each.

    Args:
        n_copies: Number of copies.
        seed: Of the damage.

    Returns:
        Outcomes by kind, the failures in words, and the longest operation in seconds.
    """
    from data_sources.samples import load_sample

    candles = load_sample("ETHUSD_1h").slice(0, N_BARS)
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    longest = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound.sqlite3"
        todo = operations(candles, sound_store(sound, candles))
        for number in range(n_copies):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            copy = folder / "store.sqlite3"
            shutil.copy(sound, copy)
            how = damage(copy, rng)
            for name, operation in todo.items():
                began = time.perf_counter()
                try:
                    with Store(str(copy)) as store:
                        operation(store, folder)
                    outcomes["as before"] += 1
                except KronosError as error:
                    outcomes[type(error).__name__] += 1
                except Exception as error:  # noqa: BLE001 (what is looked for)
                    outcomes["untyped"] += 1
                    place = traceback.extract_tb(error.__traceback__)[-1]
                    where = f"{Path(place.filename).name}:{place.lineno}"
                    failures.append(f"{how}, {name}: {type(error).__name__} at {where}: {error}")
                longest = max(longest, time.perf_counter() - began)
            if not copy.is_file():
                failures.append(f"{how}: the file is gone")
            shutil.rmtree(folder)
    return outcomes, failures, longest


def main(argv: list[str] | None = None) -> int:
    """Run the gate; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 copies instead of 3,000")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    n_copies = 100 if args.quick else 3000
    outcomes, failures, longest = attack(n_copies, seed=args.seed)
    for failure in failures[:20]:
        print(f"  {failure}")
    named = ", ".join(f"{name} {n:,}" for name, n in outcomes.most_common())
    print(f"{n_copies:,} damaged copies, {outcomes.total():,} operations: {named}")
    print(f"failures {len(failures)}; longest operation {longest:.1f} s")
    print(f"peak memory {peak_bytes() / 1e6:,.0f} MB; revision {revision()}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
