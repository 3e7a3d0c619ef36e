"""Hostile uploads: 22 shapes of large files and mutated files, read and uploaded to a real server.

A file fails the gate if its reading raises anything but `InvalidCandles`, takes more than 10 s of
processor time or more than 600 MB; a shape also fails if the health check of the server, to which
it is uploaded as a browser does, takes longer than 0.3 s. Folders of the user are temporary ones.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.gates import own_home
from benchmarks.gates.mutations import mutated
from benchmarks.gates.session import Session, serve
from benchmarks.revision import revision
from data_sources.csv.process import Budget, ReaderProcesses
from kronos.errors import InvalidCandles
from kronos.system import peak_bytes

ROOT = Path(__file__).parents[2]
MB = 10**6
LARGEST = 20 * 2**20 - 4096  # with the frame of its request, the most that the server takes
N_MUTATED, BATCH = 100_000, 500
HEALTH_SECONDS = 0.3
TITLES = "time,open,high,low,close,volume\n"
ROW = ",10,11,9,10.5,100\n"
_FAULT = "cannot be read ("


def _times(n_rows: int) -> list[str]:
    """Minutes from 2023 on, quickly."""
    import numpy as np

    first = np.datetime64("2023-01-01T00:00")
    return [str(each).replace("T", " ") for each in first + np.arange(n_rows)]


def _rows(n_rows: int, row: str = ROW) -> str:
    return "".join(each + row for each in _times(n_rows))


def _filled(row: str) -> str:
    """As many such rows as a file may have."""
    return TITLES + _rows(min(499_000, (LARGEST - 100) // (16 + len(row.encode()))), row)


def _walk(n_rows: int) -> str:
    """Prices that move, as many rows as a file may have bytes for."""
    import numpy as np

    close = np.round(100 + np.cumsum(np.random.default_rng(0).normal(0, 0.01, n_rows)), 2)
    parts = zip(_times(n_rows), close, strict=True)
    return TITLES + "".join(
        f"{t},{c:.2f},{c + 0.05:.2f},{c - 0.05:.2f},{c:.2f},{100}\n" for t, c in parts
    )


def _formats() -> str:
    forms = ("%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d %b %Y %H:%M")
    first = dt.datetime(2023, 1, 1)
    steps = (first + dt.timedelta(minutes=i) for i in range(200_000))
    return TITLES + "".join(f"{t:{forms[i % 4]}}{ROW}" for i, t in enumerate(steps))


def _delimiters() -> str:
    signs = ",;\t|"
    rows = (each + ROW for each in _times(300_000))
    return TITLES + "".join(row.replace(",", signs[i % 4]) for i, row in enumerate(rows))


def shapes() -> dict[str, Callable[[], bytes]]:
    """Makers of the 22 shapes, by name."""
    many = _rows(400_000)
    texts: dict[str, Callable[[], str]] = {
        "32,000 brackets in a title": lambda: f"{TITLES[:-1]},{'(' * 32_000}\n{_rows(99)}",
        "60 lines of 64,000 separators": lambda: (("," * 64_000) + "\n") * 60 + TITLES + many[:MB],
        "8,000 blanks in a time": lambda: (
            "date,time,open,high,low,close\n" + f"2024-01-01,10:00{' ' * 8000}x,1,2,1,1\n" * 2_000
        ),
        "1,600 blanks in a date": lambda: TITLES + f"2024-01-01{' ' * 1600}x{ROW}" * 10_000,
        "a line of 20 MB": lambda: "1" * LARGEST,
        "a cell of 20 MB": lambda: f"{TITLES}2023-01-01,{'9' * (LARGEST - 100)}\n",
        "20 MB of bars": lambda: _walk(LARGEST // 49),
        "more rows than are read": lambda: TITLES + _rows(499_000) + "\n" * 2_000,
        "10,000 columns": lambda: ",".join([TITLES[:-1], *map(str, range(10_000))]) + "\n" + many,
        "a quote never closed": lambda: TITLES + '"' + many,
        "a quote opened in every cell": lambda: TITLES + many.replace(",", ',"'),
        "quotes within quotes": lambda: TITLES + ("2023-01-01," + '"' * 60_000 + ROW) * 300,
        "NUL bytes": lambda: TITLES + many[: 10 * MB] + "\x00" * (8 * MB),
        "numbers of 10,000 digits": lambda: TITLES + f"2023-01-01,{'1' * 10_000},2,1,1,1\n" * 2_000,
        "exponents": lambda: _filled(",1e308,1e308,1e-308,1e308,9e999\n"),
        "line ends of every kind": lambda: (
            TITLES
            + "".join(
                row.replace("\n", ("\n", "\r\n", "\r")[i % 3])
                for i, row in enumerate(many.splitlines(keepends=True))
            )
        ),
        "lines of blanks": lambda: TITLES + " , , , , , \n" * 490_000,
        "thousands in every form": lambda: _filled(
            ',"1,234.5","1,234.5","1,234.5","1,234.5",1 2\n'
        ),
        "dates in four forms": _formats,
        "the same title 64 times": lambda: ",".join(["time", *["close"] * 63]) + "\n" + many,
        "another separator in every row": _delimiters,
    }
    assert len(texts) == 21
    made: dict[str, Callable[[], bytes]] = {
        name: lambda make=make: make().encode()[:LARGEST] for name, make in texts.items()
    }
    made["UTF-16 and half a letter"] = lambda: (TITLES + many).encode("utf-16")[: LARGEST - 1]
    return made


class Batch(NamedTuple):
    """Mutated files that one process read."""

    n_files: int
    n_tables: int  # files with a table of candles, so that their numbers are parsed
    n_read: int  # files that are read to the end
    failures: list[str]
    seconds: float  # most processor time of a file
    memory: int  # most bytes

    def __add__(self, other: Batch) -> Batch:  # type: ignore[override]
        return Batch(
            self.n_files + other.n_files, self.n_tables + other.n_tables,
            self.n_read + other.n_read, [*self.failures, *other.failures],
            max(self.seconds, other.seconds), max(self.memory, other.memory),
        )  # fmt: skip


def _read_batch(first: int, count: int) -> Batch:
    """Read mutated files in this process."""
    from data_sources.csv import reader

    tables: list[int] = []
    read_numbers = reader.read_numbers

    def counted(*args: Any, **options: Any) -> Any:
        tables.append(1)
        return read_numbers(*args, **options)

    failures, n_read, slowest = [], 0, 0.0
    with mock.patch.object(reader, "read_numbers", counted):
        for seed in range(first, first + count):
            data = mutated(seed)
            began = time.process_time()
            try:
                reader.read_csv(data, f"{seed}.csv")
                n_read += 1
            except InvalidCandles:
                pass
            except Exception as error:  # noqa: BLE001, which the gate counts
                failures.append(f"seed {seed}: {type(error).__name__}: {str(error)[:150]}")
            slowest = max(slowest, time.process_time() - began)
    return Batch(count, len(tables), n_read, failures, slowest, peak_bytes())


def _batch_process(first: int, count: int, log: Path | None) -> Batch:
    """A batch in a process of its own, which is killed where a file takes for ever."""
    command = [sys.executable, "-m", "benchmarks.gates.uploads", "--batch", f"{first},{count}"]
    limit = 60 + count
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=limit)
        batch = Batch(*json.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError) as error:
        told = f"seeds from {first}: {type(error).__name__}"
        return Batch(count, 0, 0, [told], float(limit), 0)
    if log is not None:
        with log.open("a") as lines:
            lines.write(json.dumps([revision(), first, batch]) + "\n")
    return batch


def read_mutated(n_files: int, n_jobs: int, log: Path | None = None) -> Batch:
    """Read mutated files in batches and print progress.

    Args:
        n_files: How many; file i has the seed i.
        n_jobs: Batches at once.
        log: A file of finished batches: those of this revision are not read again.
    """
    known: dict[int, Batch] = {}
    if log is not None and log.exists():
        entries = map(json.loads, log.read_text().splitlines())
        known = {first: Batch(*batch) for made_by, first, batch in entries if made_by == revision()}

    def read(first: int) -> Batch:
        count = min(BATCH, n_files - first)
        batch = known.get(first)
        return batch if batch and batch.n_files == count else _batch_process(first, count, log)

    total = Batch(0, 0, 0, [], 0.0, 0)
    with ThreadPoolExecutor(n_jobs) as pool:
        for batch in pool.map(read, range(0, n_files, BATCH)):
            total += batch
            if total.n_files % 5_000 < BATCH:
                print(f"  {total.n_files:,} read, {len(total.failures)} failures", flush=True)
    return total


def read_shapes(files: dict[str, bytes]) -> tuple[list[str], float, int]:
    """Read every shape as pages do; returns failures, most processor seconds, most bytes."""
    failures, slowest, largest = [], 0.0, 0
    for name, data in files.items():
        processes = ReaderProcesses(1)
        said = "read"
        try:
            processes.read(data, "shape.csv")
        except InvalidCandles as error:
            said = str(error)
            if _FAULT in said:
                failures.append(f"{name}: {said}")
        seconds, memory = processes.largest
        processes.close()
        slowest, largest = max(slowest, seconds), max(largest, memory)
        # A reader is looked at 50 times a second, so that one that is killed is a little beyond.
        if seconds > Budget().processor + 0.5 or memory > Budget().memory * 1.1:
            failures.append(f"{name}: {seconds:.1f} s, {memory / MB:.0f} MB")
        size = f"{len(data) / MB:5.1f} MB"
        print(f"  {name:33} {size} {seconds:5.1f} s {memory / MB:4.0f} MB  {said[:70]}", flush=True)
    return failures, slowest, largest


# The same files at a real server.


class Visitor(Session):
    """A session that uploads files to the page Forecast."""

    uploader = ""

    def _take_delta(self, message: ForwardMsg) -> None:
        super()._take_delta(message)
        element = message.delta.new_element
        if element.WhichOneof("type") == "file_uploader" and not self.uploader:
            self.uploader = element.file_uploader.id

    async def show(self, file_id: str, size: int) -> None:
        """Choose an uploaded file, and wait until the page has dealt with it."""
        before = self.seen.n_runs
        message = self._message()
        state = message.rerun_script.widget_states.widgets.add()
        state.id = self.uploader
        info = state.file_uploader_state_value.uploaded_file_info.add()
        info.file_id, info.name, info.size = file_id, "shape.csv", size
        info.file_urls.file_id = file_id
        await self._send(message)
        await self.wait_for(lambda seen: seen.n_runs > before, 120)


def put(url: str, session: str, file_id: str, data: bytes) -> int:
    """Upload a file as a browser does; returns the status."""
    address = urllib.parse.urlsplit(url).netloc
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", "/_stcore/health")
    first = connection.getresponse()
    first.read()
    token = re.search(r"_streamlit_xsrf=([^;]+)", first.getheader("Set-Cookie") or "")
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="shape.csv"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    if token:
        headers |= {"X-Xsrftoken": token[1], "Cookie": f"_streamlit_xsrf={token[1]}"}
    path = f"/_stcore/upload_file/{session}/{file_id}"
    try:
        connection.request("PUT", path, head + data + b"\r\n--x--\r\n", headers)
        return connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        return 413  # refused while the body was on its way
    finally:
        connection.close()


class Health(threading.Thread):
    """Looks at the health of a server all the time.

    Attributes:
        slowest: Seconds of the slowest answer since it was last set to 0.
    """

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._address = urllib.parse.urlsplit(url).netloc
        self._ends = threading.Event()
        self.slowest = 0.0

    def run(self) -> None:
        """Look until `close`."""
        while not self._ends.wait(0.02):
            began = time.perf_counter()
            connection = http.client.HTTPConnection(self._address, timeout=60)
            connection.request("GET", "/_stcore/health")
            connection.getresponse().read()
            connection.close()
            self.slowest = max(self.slowest, time.perf_counter() - began)

    def close(self) -> None:
        """Look no more."""
        self._ends.set()


async def upload_all(url: str, files: dict[str, bytes]) -> tuple[list[str], float]:
    """Upload every shape to the page Forecast; returns failures and the slowest health check."""
    failures, slowest = [], 0.0
    health = Health(url)
    health.start()
    for number, (name, data) in enumerate(files.items()):
        async with Visitor(url) as visitor:
            await visitor.open("", urllib.parse.urlencode({"data": "My own CSV file", "paths": 10}))
            await visitor.wait_for(lambda seen, visitor=visitor: seen.n_runs and visitor.uploader)
            await asyncio.sleep(1)
            health.slowest, began = 0.0, time.monotonic()
            status = await asyncio.to_thread(put, url, visitor.session_id, f"f{number}", data)
            if status != 204:
                failures.append(f"{name}: the upload has the status {status}")
            else:
                await visitor.show(f"f{number}", len(data))
                await asyncio.sleep(1)
            raised = [text for text in visitor.seen.errors if text.startswith(("streamlit", "Key"))]
            failures += [f"{name}: {text[:150]}" for text in raised]
            seconds = time.monotonic() - began
            print(f"  {name:33} {seconds:5.1f} s, health {health.slowest:.3f} s", flush=True)
            if health.slowest > HEALTH_SECONDS:
                failures.append(f"{name}: a health check took {health.slowest:.2f} s")
            slowest = max(slowest, health.slowest)
    health.close()
    return failures, slowest


def main(argv: list[str] | None = None) -> int:
    """Run the gate; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few shapes, 500 mutated files")
    parser.add_argument("--jobs", type=int, default=2, help="batches at once")
    parser.add_argument("--only", choices=("shapes", "mutated", "server"))
    parser.add_argument("--log", type=Path, help="finished batches of mutated files, to go on from")
    parser.add_argument("--batch", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.batch:
        print(json.dumps(_read_batch(*map(int, args.batch.split(",")))))
        return 0
    with tempfile.TemporaryDirectory() as home:
        # All shapes together are over the budget of a server, which keeps files for a while.
        os.environ |= {**own_home(home), "KRONOS_STORE": "off", "KRONOS_UPLOADS_MB": "4000"}
        return _run(home, quick=args.quick, only=args.only, n_jobs=args.jobs, log=args.log)


def _run(home: str, *, quick: bool, only: str | None, n_jobs: int, log: Path | None) -> int:
    failures: list[str] = []
    if only in (None, "mutated"):
        batch = read_mutated(BATCH if quick else N_MUTATED, n_jobs, log)
        failures += batch.failures
        if batch.seconds > Budget().processor or batch.memory > Budget().memory:
            failures.append("A mutated file is beyond the budget.")
        print(
            f"mutated files {batch.n_files:,}: {batch.n_tables:,} with a table that is parsed, "
            f"{batch.n_read:,} read to the end, failures {len(batch.failures)}; most "
            f"{batch.seconds:.2f} s, {batch.memory / MB:,.0f} MB"
        )
    if only in (None, "shapes", "server"):
        files = {name: make() for name, make in _some(shapes(), quick=quick)}
    if only in (None, "shapes"):
        found, seconds, memory = read_shapes(files)
        failures += found
        print(
            f"shapes {len(files)}, failures {len(found)}; most {seconds:.1f} s, "
            f"{memory / MB:,.0f} MB"
        )
    if only in (None, "server"):
        with serve(os.environ, Path(home, "server.log")) as (url, _):
            found, slowest = asyncio.run(upload_all(url, files))
        failures += found
        print(f"uploads {len(files)}, failures {len(found)}; slowest health check {slowest:.3f} s")
    for failure in failures[:20]:
        print(f"  {failure}")
    print(f"failures {len(failures)}; revision {revision()}")
    return 1 if failures else 0


def _some(
    makers: dict[str, Callable[[], bytes]], *, quick: bool
) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for number, (name, make) in enumerate(makers.items()):
        if not quick or number % 6 == 0:
            yield name, make


if __name__ == "__main__":
    sys.exit(main())
