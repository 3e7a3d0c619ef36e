"""The API under load, with malformed orders, and killed again and again.

    python -m benchmarks.api load [--rate 500] [--seconds 30]
    python -m benchmarks.api malformed [--bodies 10000]
    python -m benchmarks.api kills [--kills 50]

Each starts `kronos serve` with an empty home and the bundled model. `load` asks for forecasts that
are known: half of the requests order one again, with its 128 bars, half take a result as JSON. They
are sent at fixed times, whether or not earlier ones are answered, and a latency counts from then.
`malformed` sends orders with bytes cut, changed and exchanged, and fields of other types. `kills`
orders without a pause, kills the server, starts it again, and asks for every order that had been
acknowledged: paths are compared with those of a server that nobody killed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from benchmarks.gates import own_home
from benchmarks.revision import revision
from data_sources.calendar import SETTING
from data_sources.samples import load_sample
from kronos.candles import COLUMNS

N_BARS, HORIZON, PATHS = 128, 24, 100
CONNECTIONS = 32


def order(seed: int, **changes: object) -> dict[str, object]:
    """An order of the bundled model with its bars."""
    candles = load_sample("GOOG_1d")
    frame = candles.frame.iloc[-N_BARS:]
    bars: dict[str, object] = {name: frame[name].tolist() for name in COLUMNS}
    bars |= {
        "timestamp": [at.isoformat() for at in frame.index], "symbol": candles.symbol,
        "interval": candles.interval, "zone": candles.zone, "calendar": candles.calendar,
    }  # fmt: skip
    found = {"candles": bars, "horizon": HORIZON, "paths": PATHS, "seed": seed, "events": "none"}
    return found | changes


class Server:
    """`kronos serve` in a process of its own, on a free port, with the home that is given."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | own_home(self._home) | {SETTING: "off"}
        command = [sys.executable, "-m", "kronos", "serve", "--port", str(self.port), "--no-log"]
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(httpx2.HTTPError):
                if httpx2.get(f"{self.url}/v1/health", timeout=2).status_code == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError("The server did not answer within 60 s.")

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(30)
            self._process = None


@contextmanager
def running():
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path(home))
        server.start()
        try:
            yield server
        finally:
            server.end(signal.SIGKILL)


# Load.


@dataclass
class Connection:
    """A connection that is kept open, and asks one question at a time."""

    port: int
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> int:
        """Send a request, read its answer, return its status."""
        if self.writer is None or self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        size = next(line for line in lines if line.startswith(b"content-length:"))
        await self.reader.readexactly(int(size.split(b":")[1]))
        return int(head.split(b" ", 2)[1])


def http(method: str, path: str, body: bytes = b"") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def send_at_rate(
    port: int, requests: list[bytes], rate: float, seconds: float
) -> tuple[list[float], Counter[int]]:
    """Latencies from the time at which each request was due, in seconds, and statuses."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(Connection(port))
    latencies: list[float] = []
    statuses: Counter[int] = Counter()

    async def one(request: bytes, due: float) -> None:
        connection = await free.get()
        statuses[await connection.ask(request)] += 1
        latencies.append(time.perf_counter() - due)
        free.put_nowait(connection)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for i, request in zip(range(int(rate * seconds)), itertools.cycle(requests), strict=False):
            due = begun + i / rate
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            tasks.create_task(one(request, due))
    return latencies, statuses


def load(rate: float, seconds: float) -> None:
    with running() as server:
        requests = []
        for seed in range(50):
            body = json.dumps(order(seed)).encode()
            done = httpx2.post(f"{server.url}/v1/forecasts?wait=60", content=body, timeout=90)
            requests.append(http("POST", "/v1/forecasts", body))
            requests.append(http("GET", done.raise_for_status().json()["links"]["result"]))
        for each in (rate / 5, rate):  # the first warms up
            found = asyncio.run(send_at_rate(server.port, requests, each, seconds))
        latencies, statuses = found
        cuts = statistics.quantiles(latencies, n=1000)
        print(f"revision {revision()}, {len(latencies):,} requests at {rate:g} a second")
        print(f"statuses {dict(statuses)}")
        shown = {"median": cuts[499], "p99": cuts[989], "p99.9": cuts[998], "most": max(latencies)}
        for name, value in shown.items():
            print(f"{name:>7} {1000 * value:7.1f} ms")


# Malformed orders.


def malformed(n: int) -> int:
    rng = random.Random(0)
    statuses: Counter[int] = Counter()
    failed = []
    with running() as server, httpx2.Client(base_url=server.url, timeout=60) as client:
        for i in range(n):
            body = _broken(rng)
            status = client.post("/v1/forecasts", content=body).status_code
            statuses[status] += 1
            if status >= 500 and status != 503:
                failed.append(body)
            if i % 200 == 199:  # what was accepted all the same makes way
                client.get("/v1/health").raise_for_status()
    print(f"revision {revision()}, {n:,} bodies: {dict(sorted(statuses.items()))}")
    for body in failed[:5]:
        print(body[:300])
    return 1 if failed else 0


_ODD = (
    None, True, -1, 0, 1e308, -1e308, 10**30, float("nan"), float("inf"), "", "x" * 5000, [], {},
    [[]], {"a": {}}, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "2024-01-01",
    [None], [1, "a"], "NaN", "../../etc/passwd", "0001-01-01T00:00:00Z", "9999-12-31", 2**63,
)  # fmt: skip


def _broken(rng: random.Random) -> bytes:
    """An order with something wrong in it, more often than not."""
    small = rng.random() < 0.7
    made: dict[str, object] = order(
        rng.randrange(5), horizon=rng.choice([1, 2]), paths=2, model="ewma"
    )
    bars = dict(made["candles"])  # type: ignore[call-overload]
    if small:
        bars = {k: v[:30] if isinstance(v, list) else v for k, v in bars.items()}
    for _ in range(rng.randrange(4)):
        kind = rng.randrange(5)
        if kind == 0:
            made[rng.choice([*made, "own_events", "deadline", "origin", "zz"])] = rng.choice(_ODD)
        elif kind == 1:
            bars[rng.choice([*bars, "zz"])] = rng.choice(_ODD)
        elif kind == 2 and isinstance(column := bars[rng.choice(list(bars))], list) and column:
            column[rng.randrange(len(column))] = rng.choice(_ODD)
        elif kind == 3:
            bars.pop(rng.choice(list(bars)), None) if bars else None
        else:
            made["own_events"] = [
                {"kind": rng.choice(["cpi", "other", "x"]),
                 "time": rng.choice(["now", "2024-01-01T00:00Z"]),
                 "region": rng.choice(["US", "", "zz"]), "actual": rng.choice([1, None, "a"])}
            ]  # fmt: skip
    if made.get("candles") is not None:
        made["candles"] = bars
    body = json.dumps(made).encode()
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = rng.randrange(len(body))
        kind = rng.randrange(3)
        body = (
            body[:at] if kind == 0
            else body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :] if kind == 1
            else body[:at] + body[rng.randrange(len(body)) :]
        ) or b"{"  # fmt: skip
    return body


# Kills.

_SHORT = {"horizon": 2, "paths": 5}
_ORDERS = 20  # most of them in the life of a server


def kills(n: int) -> int:
    rng = random.Random(1)
    lost, differing, acknowledged = 0, 0, {}
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as other:
        server = Server(Path(home))
        seeds = itertools.count()
        for _ in range(n):
            server.start()
            n_orders = rng.randrange(1, _ORDERS)
            with httpx2.Client(base_url=server.url, timeout=60) as client:
                for seed in itertools.islice(seeds, n_orders):
                    # An answer that arrives is an acknowledgement; others may be lost.
                    sent = client.post("/v1/forecasts", json=order(seed, **_SHORT))
                    if sent.status_code in (200, 202):
                        acknowledged[seed] = sent.json()["id"]
            server.end(signal.SIGKILL)
        server.start()
        found = {seed: _digest(server, name) for seed, name in acknowledged.items()}
        server.end()
        control = Server(Path(other))
        control.start()
        with httpx2.Client(base_url=control.url, timeout=60) as client:
            for seed, digest in found.items():
                sent = client.post("/v1/forecasts?wait=60", json=order(seed, **_SHORT))
                lost += digest is None
                differing += digest is not None and digest != _digest(control, sent.json()["id"])
        control.end()
    print(
        f"revision {revision()}, {n} kills, {len(acknowledged):,} orders acknowledged: "
        f"{lost} lost, {differing} with other paths"
    )
    return 1 if lost or differing else 0


def _digest(server: Server, name: str) -> str | None:
    """Digest of every path of a forecast; None for one that is not known."""
    path = f"{server.url}/v1/forecasts/{name}/result?content=paths&format=csv&wait=60"
    found = httpx2.get(path, timeout=90)
    return hashlib.sha256(found.content).hexdigest() if found.status_code == 200 else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    one = actions.add_parser("load")
    one.add_argument("--rate", type=float, default=500.0, help="requests a second")
    one.add_argument("--seconds", type=float, default=30.0)
    actions.add_parser("malformed").add_argument("--bodies", type=int, default=10_000)
    actions.add_parser("kills").add_argument("--kills", type=int, default=50)
    args = parser.parse_args()
    if args.action == "load":
        load(args.rate, args.seconds)
        return 0
    return malformed(args.bodies) if args.action == "malformed" else kills(args.kills)


if __name__ == "__main__":
    sys.exit(main())
