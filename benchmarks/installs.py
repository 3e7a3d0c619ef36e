"""What an installation of the wheel takes: without extras, with each alone, and with all of them.

    python -m benchmarks.installs [--python PATH] [--extras none app ...] [--runs 5]

Builds the wheel, and for each extra that its metadata declares makes a fresh environment, installs
torch and then the wheel under constraints.txt, and works in it as a new user would, in an empty
folder: `pip check`, both names of the command, the lines of Python in README.md, forecasts of a
bundled sample, and the application until it answers; where that lacks its extra, the error that
names it. Prints a table, the smallest first: bytes on disk, seconds to install (after the first
environment, most packages are in pip's cache), and the least seconds, of some runs, of `import
kronos`, of `kronos forecast` (24 bars, 100 paths), and of `kronos app` until its first answer. An
environment is deleted once it is measured.
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


def measure(wheel: Path, extra: str, python: str, folder: Path, runs: int) -> Installation:
    """Install into a fresh environment, use it, and delete it."""
    place, empty = folder / "environment", folder / "empty"
    environment = {name: text for name, text in os.environ.items() if name not in _OWN} | {
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PIP_CACHE_DIR": str(folder / "pip"),
        "KRONOS_CALENDAR": "off",
    }
    for used in (place, empty, folder / "data", folder / "cache"):
        shutil.rmtree(used, ignore_errors=True)
    empty.mkdir()
    programs = place / ("Scripts" if os.name == "nt" else "bin")

    def call(program: str, *words: str) -> str:
        done = subprocess.run(
            [str(programs / program), *words],
            cwd=empty, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{extra}: {program} {' '.join(words)} failed:\n{done.stderr}")
        return done.stdout

    subprocess.run([python, "-m", "venv", place], env=environment, check=True)
    own = _size(place)
    begun = time.perf_counter()
    constraints = _constraints(extra)
    limits = folder / "constraints.txt"
    limits.write_text(constraints)
    torch = re.search(r"^torch==.*$", constraints, re.MULTILINE)
    assert torch is not None
    named = f"{wheel}[{extra}]" if extra != NONE else str(wheel)
    for wanted in (torch.group(), named):
        call("pip", "install", "--quiet", "--constraint", str(limits), wanted)
    seconds: dict[str, float | None] = {"install": time.perf_counter() - begun}
    size, packages = _size(place) - own, len(call("pip", "list").splitlines()) - 3

    call("pip", "check")
    version = wheel.name.split("-")[1]
    for name in ("kronos", "kronos-fan"):
        assert version in call(name, "--version"), f"{name} --version does not say {version}"
    call("python", "-c", _readme_example())
    (sample,) = (place / "lib").glob("python*/site-packages/kronos/_assets/samples/BTCUSD_30m.csv")
    forecast = ("forecast", str(sample), "--quiet")

    seconds["import"] = _least(lambda: call("python", "-c", "import kronos"), runs)
    seconds["forecast"] = _least(lambda: call("kronos", *forecast), runs)
    has_pages = any((place / "lib").glob("python*/site-packages/streamlit"))
    starts = [_answer(programs / "kronos", empty, environment) for _ in range(runs * has_pages)]
    seconds["application"] = min(starts, default=None)
    if not has_pages:
        _expect_missing(programs / "kronos", empty, environment)
    assert not list(empty.iterdir()), "something was left in the folder of the user"
    shutil.rmtree(place)
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


def _answer(command: Path, folder: Path, environment: dict[str, str]) -> float:
    """Seconds from the start of `kronos app` until it answers with its page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begun = time.perf_counter()
    server = subprocess.Popen(
        [str(command), "app", "--port", str(port)],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while time.perf_counter() - begun < _PATIENCE and server.poll() is None:
            try:
                with urllib.request.urlopen(f"http://localhost:{port}/", timeout=5) as answer:
                    assert b"<html" in answer.read()
                    return time.perf_counter() - begun
            except OSError:
                time.sleep(0.02)
    finally:
        server.terminate()
        server.wait(60)
    raise SystemExit("kronos app gave no answer.")


def _expect_missing(command: Path, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [str(command), "app"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0 or "pip install 'kronos-fan[app]'" not in done.stderr:
        raise SystemExit(f"kronos app does not name the extra that is missing:\n{done.stderr}")


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
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        found = []
        for extra in args.extras or extras(wheel):
            found.append(measure(wheel, extra, args.python, folder, args.runs))
            print(table(found[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    called = subprocess.run([args.python, "--version"], capture_output=True, text=True, check=True)
    print(table(found))
    print(
        f"\n{called.stdout.strip()}, least of {args.runs} runs, {os.cpu_count()} cores, "
        f"{platform.machine()}, revision {revision()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
