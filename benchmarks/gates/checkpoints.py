"""Damaged models: crafted and mutated checkpoint folders and adapters, listed, asked and loaded.

Every case is tried in a child process that is watched: typed errors only, at most 5 s and 300 MB
over the memory of the process before the case. The originals are copies of the bundled model.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.gates import own_home
from benchmarks.gates.broken_models import CHECKPOINTS, adapters, copy_checkpoint, mutated
from benchmarks.gates.broken_models import write_adapter as write_valid_adapter
from benchmarks.revision import revision

ROOT = Path(__file__).parents[2]
MOST_SECONDS, MOST_BYTES = 5.0, 300e6
_WATCH_SECONDS = 0.02
_GIVE_UP_SECONDS = 30.0


class Case(NamedTuple):
    """One damaged model: the name of a crafted one, or the seed of a mutation."""

    kind: str
    name: str = ""
    seed: int = 0


class Tried(NamedTuple):
    """What came of a case: an error that is not typed, and seconds of the processor."""

    problem: str
    seconds: float


def cases(n_mutations: int, base: Path) -> Iterator[Case]:
    """Every crafted checkpoint and adapter, then mutations of both."""
    yield from (Case("checkpoint", name) for name in CHECKPOINTS)
    yield from (Case("adapter", name) for name in adapters(base))
    for seed in range(n_mutations):
        yield Case("mutated adapter" if seed % 3 == 0 else "mutated checkpoint", seed=seed)


def try_case(case: Case, home: Path, base: Path) -> Tried:
    """Make a case and do with it what pages and commands do; untyped errors are a problem."""
    from kronos.models.adapters import adapters_folder

    folder = home / "case"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(adapters_folder(), ignore_errors=True)
    adapters_folder().mkdir(parents=True)
    name = case.name or "mutated"
    adapter = adapters_folder() / f"{name}.safetensors"
    if case.kind == "adapter":
        adapters(base)[case.name](adapter)
    elif case.kind == "mutated adapter":
        write_valid_adapter(adapter, str(base), base)
        mutated(case.seed, adapter, is_adapter=True)
    else:
        copy_checkpoint(base, folder)
        if case.name:
            CHECKPOINTS[case.name](folder)
        else:
            mutated(case.seed, folder, is_adapter=False)
        adapter = adapters_folder() / "based.safetensors"
        write_valid_adapter(adapter, str(folder), base)
    began = time.process_time()
    problems = list(probe(folder if "checkpoint" in case.kind else None, adapter))
    return Tried("; ".join(problems), time.process_time() - began)


def probe(folder: Path | None, adapter: Path) -> Iterator[str]:
    """List, ask and load a checkpoint folder and an adapter; yields errors that are not typed."""
    from kronos import models
    from kronos.errors import KronosError
    from kronos.models.facts import model_facts, reads_events

    entries = []
    try:
        entries = models.available()
        names = [entry.name for entry in entries]
        if len(set(names)) < len(names):
            yield f"names twice: {names}"
        for entry in entries:
            reads_events(entry)
            "".join((entry.name, entry.title, entry.problem)).encode()
    except Exception as error:  # noqa: BLE001 - whatever it is, it takes every page down
        yield f"available: {error!r:.200}"
    own = [entry.name for entry in entries if entry.name.startswith(adapter.stem[:8])]
    wanted: list[str | Path] = [adapter, *own, *([] if folder is None else [folder, str(folder)])]
    for name in wanted:
        for ask in (model_facts, models.kind_of, models.load):
            try:
                ask(name)
            except KronosError as error:
                try:
                    str(error).encode()
                except UnicodeEncodeError:
                    yield f"{ask.__name__}: a text that no page can show: {error!r:.200}"
            except Exception as error:  # noqa: BLE001 - what the gate looks for
                yield f"{ask.__name__}: {type(error).__name__}: {error!s:.200}"


def serve(pipe: Connection, home: str, base: str) -> None:
    """Try the cases that come through a pipe, in a home of its own."""
    import logging

    logging.disable(logging.CRITICAL)
    os.environ |= own_home(home)
    from kronos import models

    models.load(base)  # imports what every case needs
    pipe.send(None)
    while (case := pipe.recv()) is not None:
        pipe.send(try_case(case, Path(home), Path(base)))


class Child:
    """A process that tries cases, and is killed if one takes too long."""

    def __init__(self, home: Path, base: Path) -> None:
        self.home, self.base = home, base
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(
            target=serve, args=(other, str(self.home), str(self.base)), daemon=True
        )
        self._process.start()
        self._pipe.recv()
        self._memory = psutil.Process(self._process.pid)

    def run(self, case: Case) -> tuple[Tried, float, float]:
        """The outcome of a case, its seconds and the bytes that it added to the process."""
        before = peak = self._memory.memory_info().rss
        began = time.monotonic()
        self._pipe.send(case)
        while not self._pipe.poll(_WATCH_SECONDS):
            peak = max(peak, self._memory.memory_info().rss)
            if time.monotonic() - began > _GIVE_UP_SECONDS or not self._process.is_alive():
                self.close()
                self._start()
                return Tried("killed: it hung or died", _GIVE_UP_SECONDS), _GIVE_UP_SECONDS, 0.0
        peak = max(peak, self._memory.memory_info().rss)
        return self._pipe.recv(), time.monotonic() - began, float(peak - before)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def main(argv: list[str] | None = None) -> int:
    """Run the gate; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 mutations instead of 6,000")
    parser.add_argument("--mutations", type=int, default=6000)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        base = copy_checkpoint(ROOT / "assets" / "bundled", Path(scratch, "base"))
        home = Path(scratch, "home")
        home.mkdir()
        return _run(list(cases(200 if args.quick else args.mutations, base)), home, base)


def _run(plan: list[Case], home: Path, base: Path) -> int:
    child = Child(home, base)
    failures: list[str] = []
    most_seconds, most_bytes = (0.0, plan[0]), (0.0, plan[0])
    for number, case in enumerate(plan, 1):
        tried, seconds, grown = child.run(case)
        most_seconds = max(most_seconds, (tried.seconds, case))
        most_bytes = max(most_bytes, (grown, case))
        if tried.problem or tried.seconds > MOST_SECONDS or grown > MOST_BYTES:
            found = tried.problem or f"{seconds:.1f} s, {grown / 1e6:.0f} MB"
            failures.append(f"{case.kind} {case.name or case.seed}: {found}")
        if number % 500 == 0:
            print(f"  {number:,} of {len(plan):,} cases, {len(failures)} failures", flush=True)
    child.close()
    for failure in failures[:40]:
        print(f"  {failure}")
    print(f"cases {len(plan):,}; failures {len(failures)}")
    print(f"most processor time {most_seconds[0]:.2f} s: {most_seconds[1]}")
    print(f"most memory of a case {most_bytes[0] / 1e6:.0f} MB: {most_bytes[1]}")
    print(f"revision {revision()}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
