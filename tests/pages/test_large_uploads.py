"""A large file at a real server: what its chart sends, and who ends its reading."""

import asyncio
import contextlib
import urllib.parse

import psutil
import pytest

from benchmarks.gates.session import run_apart
from benchmarks.gates.uploads import Visitor, put, shapes
from tests.browser.conftest import start_server, stop_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LINK = urllib.parse.urlencode({"data": "My own CSV file", "paths": 10, "window": "all"})
N_BARS = 427_000
MOST_SENT = 4_000_000
"""Bytes of a page whose chart shows the last 5,000 bars; all of them would take over 20 MB."""


class Weighed(Visitor):
    """A visitor that weighs what the server sends."""

    n_bytes = 0

    def _take(self, message):
        self.n_bytes += message.ByteSize()
        super()._take(message)


@pytest.fixture
def served(tmp_path):
    server, process = start_server(tmp_path)
    yield server.url, process
    stop_server(process)


def readers(process):
    """Reader processes of a server, and the processor seconds that each has taken."""
    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "data_sources.csv.process" in child.cmdline():
                times = child.cpu_times()
                found[child] = times.user + times.system
    return found


async def uploaded(visitor, url, data):
    await visitor.open("", LINK)
    await visitor.wait_for(lambda seen: seen.n_runs and visitor.uploader, 120)
    assert await asyncio.to_thread(put, url, visitor.session_id, "large", data) == 204


def test_a_chart_of_many_bars_sends_what_is_shown(served):
    url, _ = served
    data = shapes()["20 MB of bars"]()
    assert data.count(b"\n") > N_BARS

    async def visit():
        async with Weighed(url) as visitor:
            await uploaded(visitor, url, data)
            visitor.n_bytes = 0
            await visitor.show("large", len(data))
            return visitor.n_bytes, visitor.seen.errors

    n_bytes, errors = run_apart(visit())
    assert [text for text in errors if not text.startswith("The times of this file")] == []
    assert 100_000 < n_bytes < MOST_SENT


def test_a_run_that_is_superseded_ends_its_reader(served):
    url, process = served
    data = shapes()["dates in four forms"]()

    async def visit():
        async with Weighed(url) as visitor:
            await uploaded(visitor, url, data)
            while not readers(process):
                await asyncio.sleep(0.1)
            await asyncio.sleep(3)  # it has imported what it needs
            before = readers(process)
            showing = asyncio.create_task(visitor.show("large", len(data)))
            reading = []
            while not reading and not showing.done():
                await asyncio.sleep(0.05)
                taken = readers(process).items()
                reading = [r for r, seconds in taken if seconds > before.get(r, 1e9) + 0.2]
            assert reading
            await visitor.open("", urllib.parse.urlencode({"paths": 10}))
            for _ in range(200):
                if not any(r.is_running() and r.status() != "zombie" for r in reading):
                    break
                await asyncio.sleep(0.1)
            else:
                pytest.fail("the reader goes on after its run was superseded")
            showing.cancel()

    run_apart(visit())
