"""What an installation of the wheel takes: without extras, with each alone, and with all of them.

    python -m benchmarks.installs [--python PATH] [--extras none app ...] [--runs 5] [--newest]

Builds the wheel, and for each extra that its metadata declares makes a fresh environment, installs
torch and then the wheel under constraints.txt, and works in it as a new user would, in an empty
folder: `pip check`, both names of the command, the lines of Python in README.md, forecasts of a
bundled sample. Then it asks for the work of every extra. Where the extra is installed, the work is
done; where it needs a network, a server or a model that is not there, an error says so; where the
extra is missing, the error names it.

Prints a table, the smallest first: bytes on disk, seconds to install (after the first environment,
most packages are in pip's cache), and the least seconds, of some runs, of `import kronos`, of
`kronos forecast` (24 bars, 100 paths), and of `kronos app` until its first answer. torch is
installed once: every environment begins with hard links to its files, and counts its bytes and
seconds. An environment is deleted once it is measured. With --newest nothing is pinned: it shows
what `pip install` brings today, and what becomes of a Python for which pinned versions have no
wheels.
"""

from __future__ import annotations

import argparse
import email
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.revision import revision

ROOT = Path(__file__).resolve().parent.parent
NONE = "none"
_CONSTRAINTS = ROOT / "constraints.txt"
_OTHER_VERSIONS = {"sktime": ("pandas",)}
"""Packages of which an extra needs another version than the one that is tested with the rest."""
_OWN = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Installation:
    """What one environment took.

    Attributes:
        extra: Its extra; "none" for the library and the command.
        packages: Distributions in it, without pip.
        size: Bytes on disk, without pip.
        seconds: Each measured time by its name; None where the installation does not have it.
    """

    extra: str
    packages: int
    size: int
    seconds: dict[str, float | None]


def extras(wheel: Path) -> list[str]:
    """Extras that a wheel declares, without the one for work on the project; "none" first."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        declared = email.message_from_bytes(archive.read(name)).get_all("Provides-Extra") or []
    return [NONE, *(extra for extra in declared if extra != "dev")]


def build(folder: Path) -> Path:
    """The wheel of this checkout."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


class Place:
    """A folder with one environment at a time, always under the same path, and a user's folders."""

    def __init__(self, folder: Path, python: str, *, newest: bool = False) -> None:
        self._folder, self._python, self._newest = folder, python, newest
        self.empty, self.work = folder / "empty", folder / "work"
        self._environment, self._torch = folder / "environment", folder / "torch"
        self._programs = self._environment / ("Scripts" if os.name == "nt" else "bin")
        self.variables = {name: text for name, text in os.environ.items() if name not in _OWN} | {
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PIP_CACHE_DIR": str(folder / "pip"),
            "KRONOS_CALENDAR": "off",
        }
        self._own = 0
        self._seconds = 0.0
        self.extra = NONE

    def begin(self, extra: str) -> None:
        """Make a fresh environment that has torch, and empty folders."""
        self.extra = extra
        users = (self.empty, self.work, self._folder / "data", self._folder / "cache")
        for used in (self._environment, *users):
            shutil.rmtree(used, ignore_errors=True)
        self.empty.mkdir()
        self.work.mkdir()
        if not self._torch.exists():
            subprocess.run(
                [self._python, "-m", "venv", self._environment], env=self.variables, check=True
            )
            self._own = _size(self._environment)
            self._seconds = self._install("torch")
            self._environment.rename(self._torch)
        shutil.copytree(self._torch, self._environment, symlinks=True, copy_function=os.link)

    def install(self, wanted: str) -> float:
        """Install beside torch; seconds of both."""
        return self._seconds + self._install(wanted)

    def _install(self, wanted: str) -> float:
        limits = self._folder / "constraints.txt"
        limits.write_text("" if self._newest else _constraints(self.extra))
        begun = time.perf_counter()
        self.call("pip", "install", "--quiet", "--constraint", str(limits), wanted)
        return time.perf_counter() - begun

    def size(self) -> int:
        """Bytes on disk, without pip."""
        return _size(self._environment) - self._own

    def samples(self) -> Path:
        """The bundled samples, as they are installed."""
        pattern = "python*/site-packages/kronos/_assets/samples"
        (found,) = (self._environment / "lib").glob(pattern)
        return found

    def call(self, program: str, *words: str) -> str:
        """What a program that must succeed prints."""
        done = self.run(self.empty, program, *words)
        if done.returncode:
            raise SystemExit(f"{self.extra}: {program} {' '.join(words)} failed:\n{done.stderr}")
        return done.stdout

    def run(
        self, folder: Path, program: str, *words: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end."""
        return subprocess.run(
            [str(self._programs / program), *words], cwd=folder, env=self.variables | variables,
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def answer(self, command: str, page: str) -> float:
        """Seconds from the start of a server of this command until it answers with a page."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        begun = time.perf_counter()
        server = subprocess.Popen(
            [str(self._programs / "kronos"), command, "--port", str(port)], cwd=self.empty,
            env=self.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while time.perf_counter() - begun < _PATIENCE and server.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://localhost:{port}{page}", timeout=5) as got:
                        got.read()
                        return time.perf_counter() - begun
                except OSError:
                    time.sleep(0.02)
        finally:
            server.terminate()
            server.wait(60)
        raise SystemExit(f"{self.extra}: kronos {command} gave no answer.")


@dataclass(frozen=True, slots=True)
class Work:
    """Work of an extra, as words of a program.

    Attributes:
        extra: It does the work.
        words: The program and its arguments; "SAMPLES" stands for the folder of samples.
        absent: Whether what it asks for is not there, so that an error in words is right.
        made: A file that it makes.
    """

    extra: str
    words: tuple[str, ...]
    absent: bool = False
    made: str | None = None


SERVERS = {"app": ("app", "/"), "api": ("serve", "/v1/health")}
"""Of an extra: the command that starts a server, and a page that it answers with."""
_SKTIME = """
from kronos.sktime import KronosForecaster
from sktime.datasets import load_airline
forecaster = KronosForecaster(sample_count=20, seed=7).fit(load_airline(), fh=[1, 2, 3])
assert forecaster.predict_quantiles(alpha=[0.1, 0.5, 0.9]).shape == (3, 3)
"""
_FINETUNE = (
    "kronos", "finetune", "lora", "--data", "SAMPLES", "--out", "run", "--steps", "1", "--windows",
    "4", "--context", "32", "--horizon", "4", "--validation-windows", "2", "--paths", "2",
)  # fmt: skip
_RECORD = ("walk-forward", "--models", "ewma", "garch", "--origins", "20", "--horizon", "6")
_GOOG = "SAMPLES/GOOG_1d.csv"
WORKS = (
    Work("plot", ("kronos", "forecast", _GOOG, "--chart-out", "fan.png"), made="fan.png"),
    Work("ensemble", ("kronos", "ensemble", "train", "--members", "ewma", "garch")),
    Work("finetune", _FINETUNE, made="run/adapter.safetensors"),
    Work("api", ("kronos", "mcp")),
    Work("ray", ("kronos", "cluster"), absent=True),
    Work("sktime", ("python", "-c", _SKTIME)),
    Work("markets", ("kronos", "fetch", "AAPL"), absent=True),
    Work("markets", ("kronos", "fetch", "BTC/USDT", "--source", "binance"), absent=True),
    Work("chronos", ("kronos", "forecast", _GOOG, "--model", "chronos-2"), absent=True),
    Work("postgres", ("kronos", "store", "export"), absent=True),
)
_NOWHERE = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "KRONOS_STORE": "postgresql://127.0.0.1:9/kronos",
}
"""Nothing answers there, so that a machine with a network is asked the same as one without."""


def has(installed: str, extra: str) -> bool:
    """Whether an installation of one extra includes another."""
    return installed == extra or (installed == "all" and extra != "sktime")


def fault(work: Work, installed: str, status: int, printed: str) -> str | None:
    """What is wrong with how work of an extra ended; None where nothing is.

    Args:
        work: The work.
        installed: The extra that is installed.
        status: Exit status of the program.
        printed: What it wrote to stderr.
    """
    named = f"pip install 'kronos-fan[{work.extra}]'" in printed
    if not has(installed, work.extra):
        return None if status and named else "does not name the extra that is missing"
    if not work.absent:
        return "failed" if status else None
    in_words = status and "Traceback" not in printed and not named
    return None if in_words else "does not say that it is not there"


def do_works(place: Place) -> None:
    """Ask for the work of every extra.

    Raises:
        SystemExit: An installed one fails, or a missing one is not named.
    """
    place.call("kronos", *_RECORD)  # the ensemble learns from it
    # A server that can start runs until it is ended: `measure` has asked it.
    missing = [(extra, name) for extra, (name, _) in SERVERS.items() if not has(place.extra, extra)]
    for work in (*WORKS, *(Work(extra, ("kronos", name)) for extra, name in missing)):
        words = [word.replace("SAMPLES", str(place.samples())) for word in work.words]
        done = place.run(place.work, *words, **(_NOWHERE if work.absent else {}))
        found = fault(work, place.extra, done.returncode, done.stderr)
        if found is None and work.made and has(place.extra, work.extra):
            found = None if (place.work / work.made).stat().st_size else "made an empty file"
        if found:
            raise SystemExit(f"{place.extra}: {' '.join(words)} {found}:\n{done.stderr}")


def measure(wheel: Path, extra: str, place: Place, runs: int) -> Installation:
    """Install into a fresh environment, and use it."""
    place.begin(extra)
    named = f"{wheel}[{extra}]" if extra != NONE else str(wheel)
    seconds: dict[str, float | None] = {"install": place.install(named)}
    size, packages = place.size(), len(place.call("pip", "list").splitlines()) - 3

    place.call("pip", "check")
    version = wheel.name.split("-")[1]
    for name in ("kronos", "kronos-fan"):
        assert version in place.call(name, "--version"), f"{name} --version does not say {version}"
    place.call("python", "-c", _readme_example())
    forecast = ("forecast", str(place.samples() / "BTCUSD_30m.csv"), "--quiet")

    seconds["import"] = _least(lambda: place.call("python", "-c", "import kronos"), runs)
    seconds["forecast"] = _least(lambda: place.call("kronos", *forecast), runs)
    starts = {
        server: [place.answer(*asked) for _ in range(runs)]
        for server, asked in SERVERS.items()
        if has(extra, server)
    }
    seconds["application"] = min(starts.get("app", ()), default=None)
    do_works(place)
    assert not list(place.empty.iterdir()), "something was left in the folder of the user"
    return Installation(extra, packages, size, seconds)


def _constraints(extra: str) -> str:
    others = _OTHER_VERSIONS.get(extra, ())
    lines = _CONSTRAINTS.read_text().splitlines()
    return "\n".join(line for line in lines if line.partition("==")[0] not in others) + "\n"


def _readme_example() -> str:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return str(example)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _least(work: Callable[[], object], runs: int) -> float:
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def table(found: Sequence[Installation]) -> str:
    """The installations as Markdown, the smallest first."""
    times = ("install", "import", "forecast", "application")
    header = ["extra", "packages", "MB", *(f"{name} (s)" for name in times)]
    rows = [header, ["---", *["---:"] * (len(header) - 1)]]
    for each in sorted(found, key=lambda one: one.size):
        shown = [each.seconds[name] for name in times]
        cells = ["" if value is None else f"{value:.2f}" for value in shown]
        rows.append([each.extra, str(each.packages), f"{each.size / 1e6:,.0f}", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="makes the environments")
    parser.add_argument("--extras", nargs="+", help="which (default: each that is declared)")
    parser.add_argument("--runs", type=int, default=5, help="of each start (default: 5)")
    parser.add_argument("--newest", action="store_true", help="without constraints.txt")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, place = build(folder), Place(folder, args.python, newest=args.newest)
        found = []
        for extra in args.extras or extras(wheel):
            found.append(measure(wheel, extra, place, args.runs))
            print(table(found[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    called = subprocess.run([args.python, "--version"], capture_output=True, text=True, check=True)
    print(table(found))
    print(
        f"\n{called.stdout.strip()}, least of {args.runs} runs, {os.cpu_count()} cores, "
        f"{platform.machine()}, {'nothing' if args.newest else 'versions'} pinned, "
        f"revision {revision()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
