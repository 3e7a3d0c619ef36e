"""Disks, folders and clocks that fail, met by commands and by a server.

    python -m benchmarks.gates.machine [--quick] [--only FAULT ...] [--verbose]

Needs Linux. The gate runs in a mount namespace of its own (`unshare`), where small file systems can
be full or read-only; root's power over modes is given up (`setpriv`), and the wall clock is
moved by clock.c, which needs a C compiler. The checkout itself is read-only throughout.

Under each fault every command and every page runs for real. A command ends with status 0, or with 2
and one line that says what to do; a page shows no exception, and a forecast after a press of Run is
in the store or its page says why it is not. There is no traceback anywhere. Afterwards the store is
sound and has all rows of before, other files are as they were or replaced as a whole, and once the
fault has gone a forecast can be saved.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.gates.session import Session, run_apart, serve
from benchmarks.revision import revision

ROOT = Path(__file__).parents[2]
INSIDE = "KRONOS_GATE_INSIDE"
"""Environment variable of the gate within its namespace."""
SECONDS = 120.0
"""Patience with one command and with one page."""
MOST_BYTES = 64 << 20
TURNING = "turning_clock"
"""File of the shift of a clock that is set back while processes run."""
PAGES = ("compare", "what_if", "watchlist", "forecasts", "track_record", "backtest", "synthetic",
         "training",
         "models")  # fmt: skip
NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Makes modes of files hold for root, who owns them here."""
ALWAYS = frozenset({"forecast", "models"})
"""Commands that write nothing and need no file of the user: they succeed under every fault."""
NO_HOME = "unknown user without home"
"""Here every command asks for HOME, and Streamlit itself, which needs it, does not start."""


@dataclass(frozen=True)
class Place:
    """A user's files during a fault.

    Attributes:
        folder: All of them; a file system of its own.
        prefix: What a command begins with.
        environment: Variables beside those of `environment`.
    """

    folder: Path
    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The environment of a process; an empty value leaves a variable out."""
        home = str(self.folder / "home")
        given = {
            **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
            "HOME": home, "HF_HOME": f"{home}/hub", "HF_HUB_OFFLINE": "1", "KRONOS_STORE": "",
            "TMPDIR": str(self.folder / "tmp"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            **self.environment,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value}


@dataclass
class Tally:
    """What was tried, and what failed."""

    n_tried: int = 0
    failures: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    slowest: float = 0.0
    n_bytes: int = 0

    def expect(self, holds: object, failure: str) -> None:
        """Note a failure, unless this holds."""
        if not holds:
            self.failures.append(failure)


Fault = Callable[[Path], "contextlib.AbstractContextManager[Place]"]


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


@contextmanager
def full_disk(folder: Path, *, n_left: int = 0) -> Iterator[Place]:
    """A file system with so many bytes left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as opened, contextlib.suppress(OSError):
        while True:
            opened.write(bytes(1 << 16))
    with filler.open("ab", buffering=0) as opened, contextlib.suppress(OSError):
        while True:
            opened.write(bytes(4096))
    if n_left:
        os.truncate(filler, filler.stat().st_size - n_left)
    yield Place(folder)
    filler.unlink()


@contextmanager
def read_only_disk(folder: Path) -> Iterator[Place]:
    """A file system that is mounted to be read only."""
    _mount("-o", "remount,ro", str(folder))
    yield Place(folder)
    _mount("-o", "remount,rw", str(folder))


@contextmanager
def closed_folders(folder: Path, *, mode: int) -> Iterator[Place]:
    """Folders with a mode, for a user for whom modes hold."""
    found = [path for path in folder.rglob("*") if path.is_dir()]
    modes = {path: path.stat().st_mode for path in found}
    for path in reversed(found):
        path.chmod(mode)
    yield Place(folder, NO_CAPABILITIES)
    for path in found:
        path.chmod(modes[path])


@contextmanager
def file_size_limit(folder: Path) -> Iterator[Place]:
    """No file may grow beyond 16 kB."""
    yield Place(folder, ("prlimit", "--fsize=16384"))


@contextmanager
def another_home(folder: Path, home: str) -> Iterator[Place]:
    """A home that cannot be used, while the working folder can."""
    yield Place(folder, environment={"HOME": home, "HF_HOME": f"{home}/hub"})


@contextmanager
def unknown_user(folder: Path) -> Iterator[Place]:
    """A user without a name or a home, as containers have them."""
    os.chmod(folder, 0o777)
    prefix = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
    yield Place(folder, prefix, {"HOME": "", "HF_HOME": ""})


@contextmanager
def clock(folder: Path, shift: int) -> Iterator[Place]:
    """A clock that is off by so many seconds; where by none, it is set back by two days later."""
    setting, library = folder / (TURNING if shift == 0 else "clock"), folder / "clock.so"
    setting.write_bytes(struct.pack("l", shift))
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    yield Place(folder, environment={"LD_PRELOAD": str(library), "KRONOS_GATE_CLOCK": str(setting)})
    setting.unlink()
    library.unlink()


FAULTS: dict[str, Fault] = {
    "full disk": full_disk,
    "almost full disk": lambda folder: full_disk(folder, n_left=40_000),
    "file size limit": file_size_limit,
    "read-only disk": read_only_disk,
    "folders closed to writing": lambda folder: closed_folders(folder, mode=0o555),
    "folders closed to reading": lambda folder: closed_folders(folder, mode=0o000),
    "missing home": lambda folder: another_home(folder, "/proc/nowhere"),
    "home that is a file": lambda folder: another_home(folder, str(folder / "work" / "old.csv")),
    NO_HOME: unknown_user,
    "clock three years back": lambda folder: clock(folder, -3 * 365 * 86400),
    "clock set back meanwhile": lambda folder: clock(folder, 0),
}
"""What fails, by name. Each is entered with the folder of a user's files."""
QUICK = ("full disk", "read-only disk", "missing home")


def commands(bars: str) -> dict[str, list[str]]:
    """Every command by name, for a working folder as `prepare` makes it and a folder of bars."""
    sample = str(ROOT / "assets" / "samples" / "ETHUSD_1h.csv")
    ewma = [sample, "--model", "ewma", "--horizon", "5", "--paths", "20"]
    loop = ["--steps", "2", "--save-every", "1", "--device", "cpu", "--holdout", "0"]
    tune = [
        "finetune", "lora", "--base", "./tiny", "--data", bars, "--no-events", "--context", "24",
        "--horizon", "6", "--windows", "8", "--steps", "2", "--validate-every", "1",
        "--validation-windows", "2", "--paths", "2", "--device", "cpu",
    ]  # fmt: skip
    train = ["train", "tokenizer", "--data", bars, "--bars-per-batch", "256", *loop]
    walk = ["walk-forward", bars, "--models", "ewma", "--origins", "4", "--horizon", "5"]
    return {
        "forecast": ["forecast", sample, "--horizon", "5", "--paths", "20"],
        "forecast --save": ["forecast", *ewma, "--save", "--seed", "5"],
        "forecast -o": ["forecast", *ewma, "-o", "old.csv"],
        "forecast into a full output": ["forecast", *ewma, "-o", "/dev/full"],
        "models": ["models"],
        "events": ["events", "list"],
        "events add": ["events", "add", "events.csv"],
        "store": ["store"],
        "store backup": ["store", "backup", "backup.sqlite3"],
        "store export": ["store", "export", "-o", "old.csv"],
        "store restore": ["store", "restore", "other.sqlite3"],
        "score": ["score", sample],
        "calibrate": ["calibrate", "--about", "a trial"],
        "ensemble": ["ensemble"],
        "walk-forward": walk,
        "train": [*train, "--out", "new-run"],
        "train on": [*train, "--out", "run"],
        "finetune": [*tune, "--out", "tuned", "--name", "mine"],
        "backtest": [
            "backtest",
            "--data",
            bars,
            "--interval",
            "1h",
            "--model",
            "ewma",
            "--top-k",
            "1",
        ],
        "synthesize": ["synthesize", sample, "--bars", "100", "-o", "old.csv"],
    }


def run_all(work: str, bars: str, found: str) -> None:
    """Run every command in a process of its own, forked from this one; write what they did."""
    import kronos.finetune.job
    import kronos.serving.service
    import kronos.training.run
    import kronos.walk_forward  # noqa: F401 (before the forks, so that each need not)

    os.chdir(ROOT)
    with contextlib.suppress(OSError):
        os.chdir(work)
    context = multiprocessing.get_context("fork")
    results = {}
    for name, arguments in commands(bars).items():
        began = time.monotonic()
        log = Path(found).with_name(f"{name.replace(' ', '-').replace('/', '-')}.log")
        process = context.Process(target=_run_one, args=(arguments, str(log)))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
        text = log.read_text(errors="replace") if log.exists() else ""
        results[name] = (process.exitcode, text, time.monotonic() - began)
    json.dump(results, sys.stdout)


def _run_one(arguments: list[str], log: str) -> None:
    from kronos.cli import main as kronos

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["kronos", *arguments]
    sys.exit(kronos(arguments))


def attack_commands(tally: Tally, fault: str, place: Place, scratch: Path, bars: Path) -> None:
    """Run all commands under a fault."""
    results = scratch / "results"
    results.mkdir(mode=0o777)
    results.chmod(0o777)
    code = "import sys; from benchmarks.gates.machine import run_all; run_all(*sys.argv[1:])"
    found = results / "found.json"
    # The reports of the commands are no files of the user: no limit of size holds for them.
    folders = [str(place.folder / "work"), str(bars), str(found)]
    arguments = [sys.executable, "-c", code, *folders]
    with (results / "errors").open("w") as errors:
        done = subprocess.run(
            [*place.prefix, *arguments], env=place.variables(), check=False,
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    if done.returncode:
        text = (results / "errors").read_text(errors="replace").strip()
        tally.failures.append(f"{fault}: the commands did not run: {text[-400:]}")
        return
    for name, (code_of, text, seconds) in json.loads(done.stdout).items():
        tally.n_tried += 1
        tally.slowest = max(tally.slowest, seconds)
        lines = text.strip().splitlines() or [""]
        tally.said.append(f"{fault}, {name}: {code_of} {lines[-1]}")
        tally.expect("Traceback" not in text and "Exception ignored" not in text,
                     f"{fault}, {name}: a traceback: {lines[-1]}")  # fmt: skip
        expected = (2,) if fault == NO_HOME else (0,) if name in ALWAYS else (0, 2)
        tally.expect(code_of in expected, f"{fault}, {name}: status {code_of}: {lines[-1]}")
        if code_of == 2:
            says = lines[-1].startswith("kronos: ") and len(lines[-1]) > 40
            tally.expect(says, f"{fault}, {name}: says no way out: {lines[-1]}")


def attack_server(tally: Tally, fault: str, place: Place, scratch: Path) -> None:
    """Open every page of a server under a fault, and press Run."""
    log = scratch / "server.log"
    try:
        with serve(place.variables(), log, prefix=place.prefix) as (url, process):
            run_apart(_visit(tally, fault, place, url))
            tally.n_bytes = max(tally.n_bytes, psutil.Process(process.pid).memory_info().rss)
    except (RuntimeError, TimeoutError, StopIteration) as error:
        tally.failures.append(f"{fault}: the server or its page: {error!r}")
    text = log.read_text(errors="replace")
    _, is_there, rest = text.partition("Traceback")
    tally.expect(not is_there, f"{fault}: a traceback in the server's log: {rest[:3000]}")


async def _visit(tally: Tally, fault: str, place: Place, url: str) -> None:
    began = time.monotonic()
    async with Session(url) as session:
        await session.open("", "horizon=6&paths=20")
        await session.wait_for("is_finished", SECONDS)
        tally.n_tried += 1
        turning = place.folder / TURNING
        if turning.exists():
            with turning.open("r+b") as opened:  # a file without bytes would end its readers
                opened.write(struct.pack("l", -2 * 86400))
        n_before = _rows(place)
        await session.open("", "horizon=7&paths=20&seed=11")
        await session.wait_for(lambda seen: "Run" in str(seen.buttons), SECONDS)
        await session.press(next(name for name in session.seen.buttons if "Run" in name))
        await session.wait_for("is_finished", SECONDS)

        def is_settled(seen: object) -> bool:
            return bool(_not_saved(seen.texts)) or _rows(place) > n_before  # type: ignore[attr-defined]

        try:
            await session.wait_for(is_settled, 15)
        except TimeoutError:
            said = f"{fault}: neither saved nor said: {session.seen}"
            tally.expect(is_settled(session.seen), said)
        tally.said.append(f"{fault}, page: {_not_saved(session.seen.texts) or 'saved'}")
        unexpected = [text for text in session.seen.errors if "Not saved" not in text]
        tally.expect(not unexpected, f"{fault}, forecast page: {unexpected}")
    tally.slowest = max(tally.slowest, time.monotonic() - began)
    for page in PAGES:
        async with Session(url) as session:
            await session.open(page)
            await session.wait_for("n_runs", SECONDS)
            await asyncio.sleep(2.0)  # what follows: fragments, and a page that asks to be redrawn
            tally.n_tried += 1
            bad = [text for text in session.seen.errors if "Error" in text.split(" ")[0]]
            bad += [text for text in session.seen.texts if "Unexpected error" in text]
            tally.expect(not bad, f"{fault}, page {page}: {bad}")
            tally.said += [f"{fault}, page {page}: {text}" for text in session.seen.texts]


def _not_saved(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if "Not saved" in text or "not saved" in text]


def _store(folder: Path) -> Path:
    return folder / "home" / ".local" / "share" / "kronos-fan" / "forecasts.sqlite3"


def _rows(place: Place) -> int:
    """Predictions in the user's store; 0 where the fault hides it."""
    try:
        with closing(sqlite3.connect(f"file:{_store(place.folder)}?mode=ro", uri=True)) as opened:
            return int(opened.execute("select count(*) from ml_predictions").fetchone()[0])
    except sqlite3.Error:
        return 0


def _facts(folder: Path) -> dict[str, str]:
    """Rows of the stores and digests of the other files."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.suffix == ".sqlite3":
            with closing(sqlite3.connect(path)) as opened:
                found[name] = str(opened.execute("PRAGMA integrity_check").fetchone()[0])
                listed = opened.execute("select name from sqlite_master where type = 'table'")
                for (table,) in listed.fetchall():
                    for row in opened.execute(f'select * from "{table}"'):
                        found[f"{name} {table} {hash(row)}"] = ""
        elif path.is_file() and "tmp" not in path.parts and not name.endswith(".log"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _is_whole(path: Path) -> bool:
    """Whether a file that was replaced is a whole one of its kind."""
    if path.suffix == ".csv":
        text = path.read_text()
        widths = {line.count(",") for line in text.splitlines()}
        return text.endswith("\n") and len(widths) == 1
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            return all(file.get_tensor(name) is not None for name in file.keys())  # noqa: SIM118
    if path.suffix in (".json", ".jsonl"):
        return all(json.loads(line) is not None for line in path.read_text().splitlines() if
                   path.suffix == ".jsonl") and (path.suffix == ".jsonl" or
                                                 bool(json.loads(path.read_text())))  # fmt: skip
    return False


def prepare(folder: Path, bars: Path) -> None:
    """Bars, and a user's files: a store, one to restore, a base, a training, tables."""
    from benchmarks.gates.damaged_store import N_BARS, sound_store
    from data_sources.samples import load_sample
    from tests.training.conftest import made_up_bars

    _store(folder).parent.mkdir(parents=True)
    work = folder / "work"
    for name in ("tmp", "work"):
        (folder / name).mkdir()
    bars.mkdir()
    sound_store(_store(folder), load_sample("ETHUSD_1h").slice(0, N_BARS))
    shutil.copy(_store(folder), work / "other.sqlite3")
    for number in range(2):
        made_up_bars(600, seed=number).to_csv(bars / f"series{number}.csv", index=False)
    shutil.copytree(ROOT / "tests" / "golden" / "model", work / "tiny" / "model")
    shutil.copytree(ROOT / "tests" / "golden" / "tokenizer", work / "tiny" / "tokenizer")
    (work / "old.csv").write_text("an,earlier,result\n1,2,3\n")
    (work / "events.csv").write_text("time,kind,region,title\n2026-01-14 13:30,cpi,US,CPI\n")
    train = commands(str(bars))["train on"]
    variables = Place(folder).variables()
    done = subprocess.run(
        [sys.executable, "-m", "kronos", *train], cwd=work, env=variables, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"The training that is there before could not be made: {done.stderr}")


def attack(name: str, sound: Path, bars: Path, tally: Tally) -> None:
    """Meet one fault with every command and page, then check what is left and that work goes on."""
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        scratch.chmod(0o755)
        folder = scratch / "user"
        folder.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={MOST_BYTES}", "tmpfs", str(folder))
        try:
            shutil.copytree(sound, folder, dirs_exist_ok=True)
            before = _facts(folder)
            with FAULTS[name](folder) as place:
                attack_commands(tally, name, place, scratch, bars)
                if name != NO_HOME:
                    attack_server(tally, name, place, scratch)
            after = _facts(folder)
            for fact, value in before.items():
                if fact not in after:
                    tally.failures.append(f"{name}: lost: {fact}")
                elif after[fact] != value and not _is_whole(folder / fact):
                    tally.failures.append(f"{name}: {fact} is neither as before nor whole")
            variables = Place(folder).variables()
            save = [sys.executable, "-m", "kronos", *commands("")["forecast --save"]]
            done = subprocess.run(
                [*save, "--seed", "77"], env=variables, capture_output=True, text=True, check=False
            )
            tally.n_tried += 1
            is_saved = done.returncode == 0 and "saved as" in done.stderr
            tally.expect(is_saved, f"{name}: afterwards nothing can be saved: {done.stderr[-300:]}")
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the gate; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} alone")
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), help="these faults")
    parser.add_argument("--verbose", action="store_true", help="print what commands and pages say")
    args = parser.parse_args(argv)
    if INSIDE not in os.environ:
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        enter = ["unshare", "--mount", *as_root, "--propagation", "private"]
        words = sys.argv[1:] if argv is None else argv
        command = [*enter, sys.executable, "-m", "benchmarks.gates.machine", *words]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        sound, bars = Path(scratch, "sound"), Path(scratch, "bars")
        sound.mkdir()
        prepare(sound, bars)
        for path in (ROOT, Path(sys.prefix)):  # the installation is read-only as well
            _mount("--bind", str(path), str(path))
            _mount("-o", "remount,ro,bind", str(path))
        for name in args.only or (QUICK if args.quick else FAULTS):
            n_before, began = len(tally.failures), time.monotonic()
            attack(name, sound, bars, tally)
            for failure in tally.failures[n_before:]:
                print(f"  {failure}")
            seconds = time.monotonic() - began
            print(f"{name}: {len(tally.failures) - n_before} failures, {seconds:.0f} s", flush=True)
    if args.verbose:
        print("\n".join(tally.said))
    print(f"{tally.n_tried:,} commands and pages, {len(tally.failures)} failures")
    print(f"slowest {tally.slowest:.1f} s; memory of a server {tally.n_bytes / 1e6:,.0f} MB; "
          f"revision {revision()}")  # fmt: skip
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
