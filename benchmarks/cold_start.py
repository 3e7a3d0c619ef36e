"""How long a user waits after a start: for the page, the first forecast, a model.

    python -m benchmarks.cold_start [--runs 8]

Prints the least, the median and the most of some runs, which take turns. Healthy page: from the
start of the server that `make run` starts until it says that it is healthy. First forecast: from
the start of `kronos forecast` until the last row is there, for the bundled model on a bundled
sample, 100 paths of 24 bars. First and later load of Kronos-small, or of random weights of its size
where it is not on this machine, in a process that has loaded another model before.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

from benchmarks.revision import revision
from benchmarks.speed.workload import Checkpoint, prepare
from kronos.system import asset_path

_PATIENCE = 60.0
_LOAD = """
import sys, time
import kronos
kronos.load("bundled")
for _ in range(2):
    begun = time.perf_counter()
    kronos.load(sys.argv[1], tokenizer=sys.argv[2])
    print(time.perf_counter() - begun)
"""


def healthy() -> float:
    """Seconds from the start of a server until it is healthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() - begun < _PATIENCE:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1):
                    return time.perf_counter() - begun
            except OSError:
                time.sleep(0.02)
    finally:
        server.kill()
        server.wait()
    raise SystemExit(f"The server was not healthy after {_PATIENCE:.0f} s.")


def first_forecast(horizon: int = 24) -> float:
    """Seconds from the start of a process to the last row of its forecast."""
    sample = str(asset_path("samples", "BTCUSD_30m.csv"))
    options = ["--quiet", f"--horizon={horizon}"]
    begun = time.perf_counter()
    command = [sys.executable, "-m", "kronos", "forecast", sample, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        rows = [process.stdout.readline() for _ in range(1 + horizon)]
        seconds = time.perf_counter() - begun
    if process.returncode or not rows[-1]:
        raise SystemExit(f"The forecast failed with exit code {process.returncode}.")
    return seconds


def loads(checkpoint: Checkpoint) -> tuple[float, float]:
    """Seconds of the first and of the second load of a checkpoint in one process."""
    command = [sys.executable, "-c", _LOAD, str(checkpoint.model), str(checkpoint.tokenizer)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    first, later = map(float, done.stdout.split())
    return first, later


def measure(runs: int) -> str:
    """The table, as Markdown."""
    load = os.getloadavg()[0]
    seconds = defaultdict[str, list[float]](list)
    with tempfile.TemporaryDirectory() as folder:
        small = prepare("small", Path(folder))
        for _ in range(runs):
            seconds["healthy page"].append(healthy())
            seconds["first forecast"].append(first_forecast())
            first, later = loads(small)
            seconds["first load of small"].append(first)
            seconds["later load of small"].append(later)
    lines = ["| seconds | least | median | most |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {min(held):.2f} | {statistics.median(held):.2f} | {max(held):.2f} |"
        for name, held in seconds.items()
    ]
    machine = f"{runs} runs, {os.cpu_count()} cores, {platform.machine()}, load before {load:.1f}"
    return "\n".join([*lines, "", f"{machine}, revision {revision()}"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=8)
    print(measure(parser.parse_args().runs))
