"""How long an agent waits for its first answer, and for later ones.

    python -m benchmarks.agents [--runs 5] [--later 10]

A run starts `kronos mcp` in a process of its own with the SDK's client, asks for a forecast of the
bundled model (24 bars, 100 paths, a bundled sample), and then for others. The first answer counts
from the start of the process. Kernels are compiled in a first run, which does not count: an
installation does so once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time

from mcp import Client, StdioServerParameters

from benchmarks.gates import own_home
from benchmarks.revision import revision
from data_sources.calendar import SETTING

_ASKED = {"source": "samples", "symbol": "GOOG", "interval": "1d", "horizon": 24, "paths": 100}


async def once(home: str, n_later: int) -> tuple[float, float, list[float]]:
    """Seconds until the tools are listed, until the first answer, and of each later one."""
    place = StdioServerParameters(
        command=sys.executable, args=["-m", "kronos", "mcp"],
        env=dict(os.environ) | own_home(home) | {SETTING: "off"},
    )  # fmt: skip
    begun = time.perf_counter()
    async with Client(place) as client:
        await client.list_tools()
        listed = time.perf_counter() - begun
        done = await client.call_tool("forecast", _ASKED | {"seed": 0})
        first = time.perf_counter() - begun
        if done.is_error:
            raise RuntimeError(str(done.content))
        later = []
        for seed in range(1, n_later + 1):
            asked = time.perf_counter()
            await client.call_tool("forecast", _ASKED | {"seed": seed})
            later.append(time.perf_counter() - asked)
    return listed, first, later


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--later", type=int, default=10, help="questions after the first")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(once(home, 1))
        runs = [asyncio.run(once(home, args.later)) for _ in range(args.runs)]
    print(f"revision {revision()}, {args.runs} processes")
    for name, found in (
        ("tools listed", [listed for listed, _, _ in runs]),
        ("first answer", [first for _, first, _ in runs]),
        ("later answers", [each for _, _, later in runs for each in later]),
    ):
        median, most = statistics.median(found), max(found)
        print(f"{name:14} median {median:.2f} s, least {min(found):.2f} s, most {most:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
