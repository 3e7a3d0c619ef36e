"""Hostile answers of market sources: every fault, through the real client of every source.

The server is on loopback. A case fails if its error is not of `kronos.errors`, if it takes longer
than one request may in all, or if it takes more memory than `MOST_MEGABYTES`. Each case runs in a
process of its own, so that its memory can be told.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.revision import revision

ROOT = Path(__file__).parents[2]
MOST_SECONDS = {"FRED": 45.0}
"""Seconds that all attempts of one request may take; of the other sources `REQUEST_SECONDS`."""
ROOM_SECONDS = 1.0  # for what the processor does
MOST_MEGABYTES = 300.0
ATTEMPT_SECONDS = 2.0
QUICK = ("an endless body", "a compressed bomb", "deep nesting", "too many bars")


def one(source: str, fault: str, *, seconds: float) -> dict[str, object]:
    """One case, in this process."""
    from data_sources.http import MOST_BYTES, REQUEST_SECONDS
    from kronos.errors import SourceError
    from kronos.system import peak_bytes
    from tests.loopback_hostile import FAULTS, Hostile, fetch, order

    with Hostile(slow=0.1) as server:
        # Loads the libraries, so that their memory does not count.
        server.answer = FAULTS["a web page"]
        for _ in range(2):
            with contextlib.suppress(SourceError):
                fetch(source, server.url, seconds=seconds, most_bytes=MOST_BYTES)
        order(server, fault, source)
        before, began = peak_bytes(), time.perf_counter()
        try:
            fetch(source, server.url, seconds=seconds, most_bytes=MOST_BYTES)
            error = "no error"
        except SourceError:
            error = ""
        except Exception as exc:  # noqa: BLE001 - any other is what this looks for
            error = f"{type(exc).__name__}: {exc}"[:200]
        took = time.perf_counter() - began
    grown = (peak_bytes() - before) / 1e6
    if not error and took > MOST_SECONDS.get(source, REQUEST_SECONDS) + ROOM_SECONDS:
        error = f"took {took:.1f} s"
    if not error and grown > MOST_MEGABYTES:
        error = f"took {grown:,.0f} MB"
    return {"error": error, "seconds": took, "megabytes": grown}


def main(argv: list[str] | None = None) -> int:
    """Run the gate; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four faults only")
    parser.add_argument(
        "--seconds", type=float, default=ATTEMPT_SECONDS, help="time limit of an attempt"
    )
    parser.add_argument("--one", nargs=2, metavar=("SOURCE", "FAULT"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one:
        print(json.dumps(one(*args.one, seconds=args.seconds)))
        return 0
    from tests.loopback_hostile import CASES

    failures, slowest, largest, tried = 0, (0.0, ""), (0.0, ""), 0
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"HOME": home, "XDG_CACHE_HOME": home}
        for fault, source in CASES:
            if not args.quick or fault in QUICK:
                tried += 1
                name = f"{source}, {fault}"
                command = [sys.executable, "-m", "benchmarks.gates.sources", "--one", source, fault]
                done = subprocess.run(
                    [*command, "--seconds", str(args.seconds)],
                    cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200,
                )  # fmt: skip
                lines = done.stdout.splitlines()
                found = json.loads(lines[-1]) if done.returncode == 0 and lines else {}
                error = found.get("error", f"died: {done.stderr[-200:]}")
                slowest = max(slowest, (found.get("seconds", 0.0), name))
                largest = max(largest, (found.get("megabytes", 0.0), name))
                if error:
                    failures += 1
                    print(f"  {name}: {error}", flush=True)
    print(f"answers {tried}; failures {failures}")
    print(f"slowest {slowest[0]:.1f} s: {slowest[1]}")
    print(f"most memory {largest[0]:,.0f} MB: {largest[1]}; revision {revision()}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
