"""The real server and a real browser, on this machine alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, TimeoutError, sync_playwright

from tests.loopback_markets import LoopbackMarkets

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
# Long, because a busy machine may need it: a page that is broken fails once, in `first_visit`.
PATIENCE_MS = 100_000
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Server:
    """A running server.

    Attributes:
        url: Its address.
        log: File it writes to.
    """

    url: str
    log: Path


@dataclass
class Visit:
    """A page and everything it complained about.

    Attributes:
        page: The browser's page.
        complaints: Console errors, page errors and failed requests so far.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(home: Path) -> dict[str, str]:
    """The process's own, with every user folder below `home` and no way to a hub."""
    folders = {
        "HOME": home,
        "XDG_CACHE_HOME": home / "cache",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_DATA_HOME": home / "data",
        "HF_HOME": home / "hub",
    }
    closed = f"http://127.0.0.1:{_free_port()}"
    return {
        **os.environ,
        **{name: str(path) for name, path in folders.items()},
        "HF_ENDPOINT": closed,
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": str(ROOT),
    }


def start_server(
    home: Path,
    program: Sequence[str] = ("streamlit", "run", "app.py"),
    port: int | None = None,
) -> tuple[Server, subprocess.Popen[bytes]]:
    """The application on a loopback port, answering.

    Args:
        home: Folder for everything it keeps.
        program: Module and arguments that serve it; options of Streamlit are added.
        port: None for a free one.
    """
    port = port or _free_port()
    log = home / "server.log"
    command = [sys.executable, "-m", *program]
    options = {"port": port, "address": "127.0.0.1", "headless": "true"}
    command += [f"--server.{name}={value}" for name, value in options.items()]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=_environment(home), stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(f"http://127.0.0.1:{port}", log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return server, process
        except OSError:
            time.sleep(0.1)
    stop_server(process)
    raise RuntimeError(f"The server did not start:\n{log.read_text()}")


def stop_server(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_idle(page: Page) -> None:
    """Until the run of the page has ended: it is still being drawn before."""
    page.locator('[data-test-script-state="notRunning"]').first.wait_for()


def wait_for_fan(page: Page) -> None:
    """Until the read-outs and the chart of a finished forecast are there."""
    try:
        page.get_by_text("Expected move").first.wait_for()
    except TimeoutError as error:
        raise AssertionError(f"No forecast, but: {page.inner_text('body')}") from error
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.locator(".js-plotly-plot .annotation-text", has_text="p50").first.wait_for()
    wait_until_idle(page)


@pytest.fixture(scope="session")
def first_visit(
    window: BrowserContext, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Visit]]:
    """The server that most tests share, and the page of its very first visitor, kept open.

    A page that shows no forecast ends here every test that shares the server, at once.
    """
    server, process = start_server(tmp_path_factory.mktemp("home"))
    try:
        seen = open_page(window, server.url)
        wait_for_fan(seen.page)
        yield server, seen
        seen.page.close()
    finally:
        stop_server(process)


@pytest.fixture(scope="session")
def server(first_visit: tuple[Server, Visit]) -> Server:
    """One server for all tests that do not need a fresh one."""
    return first_visit[0]


@pytest.fixture(scope="session")
def markets() -> Iterator[LoopbackMarkets]:
    """Yahoo and Binance on loopback, at the real time; set its faults, and take them back."""
    with LoopbackMarkets(now=None) as served:
        yield served


@pytest.fixture(scope="session")
def market_server(
    markets: LoopbackMarkets, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose sources of market data are `markets`."""
    program = ["tests.browser.market_server", "--markets", markets.url, "--"]
    server, process = start_server(tmp_path_factory.mktemp("home"), program)
    yield server
    stop_server(process)


@pytest.fixture(scope="session")
def cold_port() -> int:
    """One port for all cold servers: what the browser compiled for an address it need not again."""
    return _free_port()


@pytest.fixture
def cold_server(tmp_path: Path, cold_port: int) -> Iterator[Server]:
    """A server that nobody has visited yet."""
    server, process = start_server(tmp_path, port=cold_port)
    yield server
    # It may be in the middle of its first forecast, which nobody waits for.
    process.kill()
    process.wait()


def open_page(
    context: BrowserContext,
    url: str,
    *,
    width: int = 1400,
    height: int = 1000,
    scheme: Literal["light", "dark"] = "light",
) -> Visit:
    """Opens an address in a tab of its own, which is a session of its own, for the caller to close.

    The tabs of one context share what the browser has compiled of the page's scripts: a page is
    there in three quarters of the time.
    """
    opened = Visit(context.new_page())
    page, complaints = opened.page, opened.complaints
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme)
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
    page.on(
        "console",
        lambda message: (
            complaints.append(f"console: {message.text} {message.location.get('url')}")
            if message.type == "error"
            else None
        ),
    )
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.goto(url)
    return opened


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def window(browser: Browser) -> Iterator[BrowserContext]:
    """Where tabs are opened that need no browser of their own."""
    context = browser.new_context(locale="en-GB")
    yield context
    context.close()


FORGET_SIDEBAR = """() => Object.keys(localStorage)
    .filter((key) => key.startsWith("stSidebar"))
    .forEach((key) => localStorage.removeItem(key))"""
"""Otherwise a sidebar that one test opened is open in those after it, which share the browser."""


@pytest.fixture
def visit(window: BrowserContext) -> Iterator[Callable[..., Visit]]:
    """Opens addresses for one test: visit(url, width=, height=, scheme=)."""
    visits = []

    def visit(url: str, **options: Any) -> Visit:
        visits.append(open_page(window, url, **options))
        return visits[-1]

    yield visit
    for visited in visits:
        if visited.page.url.startswith("http"):
            visited.page.evaluate(FORGET_SIDEBAR)
        visited.page.close()


@pytest.fixture
def stranger(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """As `visit`, in another browser, which shares no storage."""
    context = browser.new_context(locale="en-GB")
    yield partial(open_page, context)
    context.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the page go: KRONOS_SCREENSHOTS, or pytest's own folder."""
    named = os.environ.get("KRONOS_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
