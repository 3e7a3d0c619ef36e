"""SIGKILL at random moments: writers of a store, trainings, fine-tunings and walks.

    python -m benchmarks.gates.kills [--quick] [--seed 0] [--only NAME ...]

After each kill, what was acknowledged is there and the store is sound. A training, a fine-tuning
and a walk are started again with the same command until they end, some of them killed several times
on the way: weights are those of a run that was never killed, bit for bit, and a walk's store holds
the same windows with the same numbers. Writers in PostgreSQL are killed together with its server.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.gates import own_home
from benchmarks.revision import revision
from kronos.system import peak_bytes

N_KILLS = {"sqlite": 200, "postgres": 20, "training": 20, "fine-tuning": 20, "walk": 20}
N_QUICK = {"sqlite": 10, "postgres": 2, "training": 3, "fine-tuning": 3, "walk": 3}
MOST_KILLS = 4
"""Kills of one run, before it may end."""
PATIENCE = 300.0
"""Seconds after which a run counts as one that never ends."""
GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
LATER = frozenset({"created_at", "resolved_at", "recorded_at"})
"""Columns that hold the moment of storing."""
# Children are forked from one that has imported these: a kill hits work and not imports.
IMPORTED = (
    "tests.store.writers", "kronos.cli", "kronos.finetune.job", "kronos.serving.service",
    "kronos.training.run", "kronos.walk_forward", "streamlit",
)  # fmt: skip


@dataclass
class Tally:
    """What happened to one kind of process."""

    kills: int = 0
    failures: list[str] = field(default_factory=list)
    n_ends: int = 0  # runs that ended with the expected result
    slowest: float = 0.0  # seconds from a kill until its check, or of one run from start to end
    n_bytes: int = 0  # of a process about to be killed

    def measure(self, pid: int) -> None:
        """Note the memory of a process that is about to be killed."""
        self.kills += 1
        try:
            self.n_bytes = max(self.n_bytes, psutil.Process(pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return

    def expect(self, holds: object, failure: str) -> None:
        """Note a failure, unless this holds."""
        if not holds:
            self.failures.append(failure)


@dataclass(frozen=True)
class Command:
    """A run of commands that can be killed, and what must hold.

    Attributes:
        commands: Arguments of each `kronos` command, for a folder.
        acknowledged: What a run in a folder has confirmed, as a number that never falls; raises
            where its files cannot be read.
        result: What must be equal for all runs that ended.
    """

    commands: Callable[[Path], list[list[str]]]
    acknowledged: Callable[[Path], int]
    result: Callable[[Path], Any]


def run_commands(commands: list[list[str]], log: Path) -> None:
    """Run `kronos` commands in this process; the status of the first that fails is its own."""
    from kronos.cli import main as kronos

    with log.open("a") as opened, redirect_stdout(opened), redirect_stderr(opened):
        for arguments in commands:
            code = kronos(arguments)
            if code:
                raise SystemExit(code)


def kill_sqlite(n_kills: int, seed: int, folder: Path) -> Tally:
    """Kill writers of an SQLite store; the file and what it confirmed are checked each time."""
    from kronos.store.store import Store
    from tests.store import writers

    tally = Tally()
    path, said = folder / "store.sqlite3", folder / "said"

    def after() -> None:
        began = time.perf_counter()
        writers.check_file(path)
        with Store(str(path)) as store:
            writers.check_acknowledged(store, said)
        tally.slowest = max(tally.slowest, time.perf_counter() - began)

    try:
        writers.kill_writers(
            f"sqlite:///{path}", said, n_kills, before=tally.measure, after=after, seed=seed
        )
        tally.n_ends = writers.check_sqlite(path, said)
    except Exception as error:  # noqa: BLE001 (what is looked for)
        tally.failures.append(f"{type(error).__name__}: {error}")
    return tally


def kill_postgres(n_kills: int, seed: int, folder: Path) -> Tally:
    """Kill a PostgreSQL server and a writer together; the others wait for the server and go on."""
    from kronos.store.store import Store
    from tests.store import writers
    from tests.store.postgres_server import PostgresServer, find_programs

    tally, said = Tally(), folder / "said"
    programs = find_programs()
    if programs is None:
        tally.failures.append("no PostgreSQL was found; set POSTGRES_BIN to its programs")
        return tally
    server = PostgresServer(programs)
    try:
        url = server.empty()

        def kill_server() -> None:
            server.kill()
            server.start()

        def after() -> None:
            began = time.perf_counter()
            with Store(url) as store:
                writers.check_acknowledged(store, said)
            tally.slowest = max(tally.slowest, time.perf_counter() - began)

        writers.kill_writers(
            url, said, n_kills, also=kill_server, before=tally.measure, after=after, seed=seed
        )
        with Store(url) as store:
            tally.n_ends = writers.check(store, said)
    except Exception as error:  # noqa: BLE001 (what is looked for)
        tally.failures.append(f"{type(error).__name__}: {error}")
    finally:
        server.close()
    return tally


def kill_command(command: Command, n_kills: int, seed: int, folder: Path) -> Tally:
    """Kill runs of a command at any moment, start them again, and compare how they end."""
    from tests.store import writers

    tally, rng = Tally(), random.Random(seed)

    def begin(out: Path) -> Any:
        return writers.start(run_commands, command.commands(out), out.with_suffix(".log"))

    def end(out: Path, process: Any, began: float) -> Any:
        process.join(PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
        tally.slowest = max(tally.slowest, time.perf_counter() - began)
        if process.exitcode != 0:
            last = out.with_suffix(".log").read_text().strip().splitlines()[-1:]
            tally.failures.append(f"{out.name} ended with {process.exitcode}: {last}")
            return None
        return command.result(out)

    whole, first = folder / "whole", None
    # The first of two fills caches such as compiled code, so that the second tells the duration.
    for number in range(2):
        shutil.rmtree(whole, ignore_errors=True)
        began = time.perf_counter()
        wanted = end(whole, begin(whole), began)
        duration = time.perf_counter() - began
        if wanted is None:
            return tally
        tally.expect(number == 0 or wanted == first, "two runs without a kill differ")
        first = wanted
    number = 0
    while tally.kills < n_kills and len(tally.failures) < 10:
        number += 1
        out, kills, known = folder / f"run {number}", 0, 0
        most = rng.randint(1, MOST_KILLS)
        while True:
            began = time.perf_counter()
            process = begin(out)
            if kills < most and tally.kills < n_kills:
                process.join(rng.uniform(0, duration))
            if process.exitcode is not None or kills == most or tally.kills == n_kills:
                break
            known = _acknowledged(tally, command, out, known)
            tally.measure(process.pid)
            process.kill()
            process.join()
            if process.exitcode == 0:  # it ended in the moment before
                tally.kills -= 1
                break
            kills += 1
            known = _acknowledged(tally, command, out, known)
        found = end(out, process, began)
        if found is not None:
            tally.expect(found == wanted, f"{out.name}: {kills} kills changed the result")
            tally.n_ends += found == wanted
        shutil.rmtree(out, ignore_errors=True)
    return tally


def _acknowledged(tally: Tally, command: Command, out: Path, known: int) -> int:
    """What is acknowledged now; a failure where it is less than before or cannot be read."""
    try:
        found = command.acknowledged(out)
    except Exception as error:  # noqa: BLE001 (what is looked for)
        tally.failures.append(f"{out.name}: {type(error).__name__}: {error}")
        return known
    tally.expect(found >= known, f"{out.name}: {found} acknowledged after a kill, {known} before")
    return max(found, known)


def training(folder: Path) -> Command:
    """Both stages of `kronos train` on a few bars; the model is of the recipe's size."""
    bars = _bars(folder, n_series=4)
    common = ["--data", str(bars), "--holdout", "0", "--bars-per-batch", "512", "--seed", "3"]
    loop = ["--steps", "10", "--save-every", "1", "--device", "cpu"]

    def commands(out: Path) -> list[list[str]]:
        return [["train", stage, *common, *loop, "--out", str(out)] for stage in STAGES]

    return Command(commands, _steps, lambda out: [_weights(out / stage) for stage in STAGES])


STAGES = ("tokenizer", "model")


def finetuning(folder: Path) -> Command:
    """`kronos finetune lora` of a tiny base, with validation and the best of its steps."""
    bars, base = _bars(folder, n_series=3), folder / "base"
    for part in STAGES:
        shutil.copytree(GOLDEN / part, base / part)
    options = (
        "--base", str(base), "--data", str(bars), "--no-events", "--lr", "0.05", "--seed", "3",
        "--context", "24", "--horizon", "6", "--windows", "8", "--steps", "24",
        "--validate-every", "3", "--validation-windows", "8", "--paths", "8", "--patience", "0",
        "--device", "cpu",
    )  # fmt: skip

    def result(out: Path) -> Any:
        from kronos.models.adapters import read_facts

        facts = read_facts(out / "adapter.safetensors")
        return facts.tensors_sha256, facts.steps, facts.scores

    return Command(lambda out: [["finetune", "lora", *options, "--out", str(out)]], _steps, result)


def walk(folder: Path) -> Command:
    """`kronos walk-forward` of the bundled model and a baseline, stored with paths and scores."""
    bars = _bars(folder, n_series=3)
    options = (
        str(bars), "--models", "bundled", "ewma", "--origins", "40", "--history", "128",
        "--horizon", "6", "--paths", "8", "--keep-paths", "close", "--device", "cpu",
    )  # fmt: skip

    def store(out: Path) -> Path:
        return out / "store.sqlite3"

    def acknowledged(out: Path) -> int:
        from tests.store import writers

        if not store(out).is_file():
            return 0
        writers.check_file(store(out))
        with closing(sqlite3.connect(store(out))) as connection:
            tables = "select count(*) from sqlite_master where name = 'ml_predictions'"
            if not connection.execute(tables).fetchone()[0]:
                return 0
            return int(connection.execute("select count(*) from ml_predictions").fetchone()[0])

    return Command(
        lambda out: [["walk-forward", *options, "--store", str(store(out))]],
        acknowledged,
        lambda out: _rows(store(out)),
    )


def _bars(folder: Path, *, n_series: int) -> Path:
    from tests.training.conftest import made_up_bars

    bars = folder / "bars"
    bars.mkdir()
    for number in range(n_series):
        made_up_bars(600, seed=20 + number).to_csv(bars / f"series{number}.csv", index=False)
    return bars


def _steps(out: Path) -> int:
    """Steps in the saved states of a run, over its stages."""
    from safetensors import safe_open

    steps = 0
    for state in out.glob("*-run/state.safetensors"):
        with safe_open(state, framework="pt") as file:
            steps += int(json.loads(file.metadata()["place"])["step"])
            for name in file.keys():  # noqa: SIM118 (no dictionary)
                file.get_tensor(name)
    return steps


def _weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def _rows(path: Path) -> dict[str, list[str]]:
    """Every row of a store by table, without the moments of storing, sorted."""
    with closing(sqlite3.connect(path)) as connection:
        listed = "select name from sqlite_master where type = 'table'"
        found = {}
        for (table,) in connection.execute(listed).fetchall():
            rows = connection.execute(f'select * from "{table}"')
            names = [column[0] for column in rows.description]
            wanted = [i for i, name in enumerate(names) if name not in LATER]
            found[table] = sorted(repr([row[i] for i in wanted]) for row in rows)
        return found


KINDS: dict[str, Callable[[int, int, Path], Tally]] = {
    "sqlite": kill_sqlite,
    "postgres": kill_postgres,
    "training": lambda n, seed, folder: kill_command(training(folder), n, seed, folder),
    "fine-tuning": lambda n, seed, folder: kill_command(finetuning(folder), n, seed, folder),
    "walk": lambda n, seed, folder: kill_command(walk(folder), n, seed, folder),
}
"""What is killed, by name: takes the number of kills, the seed and a folder."""


def main(argv: list[str] | None = None) -> int:
    """Run the gate; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a trial of about a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    args = parser.parse_args(argv)
    from tests.store import writers

    writers.CONTEXT.set_forkserver_preload(list(IMPORTED))
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= own_home(scratch)
        # Threads that wait for each other on busy processors would take most of the time.
        os.environ["OMP_NUM_THREADS"] = "1"
        for name in args.only:
            folder = Path(scratch, name)
            folder.mkdir()
            began = time.perf_counter()
            n_kills = (N_QUICK if args.quick else N_KILLS)[name]
            tally = KINDS[name](n_kills, args.seed, folder)
            for failure in tally.failures[:10]:
                print(f"  {name}: {failure}")
            ends = "predictions in the store" if name in ("sqlite", "postgres") else "equal ends"
            print(
                f"{name}: {tally.kills} kills, {len(tally.failures)} failures, {tally.n_ends:,} "
                f"{ends}; slowest {tally.slowest:.1f} s, memory {tally.n_bytes / 1e6:,.0f} MB, "
                f"{time.perf_counter() - began:.0f} s in all",
                flush=True,
            )
            failures += len(tally.failures) + (tally.kills < n_kills)
    print(f"peak memory of the gate {peak_bytes() / 1e6:,.0f} MB; revision {revision()}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
