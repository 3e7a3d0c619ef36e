"""A visitor without a browser: one session of the real server, over its WebSocket.

It does what the browser's script does: it opens a page by its link, sends the timed reruns of
fragments, presses buttons, and keeps no picture of the page but the few facts that gates need.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

ROOT = Path(__file__).parents[2]
START_SECONDS, END_SECONDS = 60.0, 60.0
Result = TypeVar("Result")
_PLACE = re.compile(r"Place (\d+) in line")
_FINISHED = "Expected move"
_READABLE = frozenset({"metric", "markdown", "html"})
_STEP = re.compile(r"^(Sampling|Starting|Loading)")


@dataclass
class Seen:
    """What a page has shown.

    Attributes:
        places: Places in line, in the order shown.
        errors: Exceptions and alerts.
        is_finished: Whether the read-outs of a forecast are there.
        is_running: Whether the forecast is being computed.
        n_reruns: Timed reruns that were sent.
        n_runs: Runs of the script that ended.
        buttons: Ids of the buttons, by label.
        texts: Texts of progress bars and alerts.
    """

    places: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    is_finished: bool = False
    is_running: bool = False
    n_reruns: int = 0
    n_runs: int = 0
    buttons: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    @property
    def has_answer_or_place(self) -> bool:
        """Whether the visitor knows where the forecast is."""
        return self.is_finished or self.is_running or bool(self.places)


def run_apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a thread of its own, as this one may have a running loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@contextlib.contextmanager
def serve(
    environment: Mapping[str, str], log: Path, *, prefix: Sequence[str] = ()
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server of the application, which gets SIGTERM at the end.

    Args:
        environment: All its environment variables.
        log: File of all that it prints.
        prefix: What its command begins with.

    Yields:
        Its address and its process, once it is healthy.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    command = [*prefix, sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), *options]
    with log.open("wb") as opened:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=opened, stderr=opened
        )
        try:
            end = time.monotonic() + START_SECONDS
            while True:
                try:
                    with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                        break
                except OSError as error:
                    if time.monotonic() > end or process.poll() is not None:
                        text = log.read_text(errors="replace")
                        raise RuntimeError(f"The server did not start: {text[-2000:]}") from error
                    time.sleep(0.1)
            yield url, process
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Session:
    """One session. Used in one event loop, as `async with Session(url) as session`.

    Args:
        url: Address of the server.
        session_id: An earlier session to take up again, as a reload of the page does.
    """

    def __init__(self, url: str, *, session_id: str = "") -> None:
        self._address = f"ws://{urlsplit(url).netloc}/_stcore/stream"
        self._taken_up = session_id
        self.session_id = session_id
        self.seen = Seen()
        self.changed = asyncio.Event()
        self._query, self._page = "", ""
        self._hash = ""
        self._timers: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._socket: ClientConnection
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> Session:
        """Connect."""
        names = ["streamlit", *(["none", self._taken_up] if self._taken_up else [])]
        self._socket = await connect(
            self._address,
            subprotocols=[Subprotocol(name) for name in names],
            compression=None,
            max_size=None,
            open_timeout=60,
            ping_interval=None,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave, as a closed tab does."""
        self._stop_timers()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
            await self._reader
        await self._socket.close()

    async def open(self, page: str = "", query: str = "") -> None:
        """Open a page by its link."""
        self._page, self._query, self._hash = page, query, ""
        self.seen = Seen()
        await self._rerun()

    async def press(self, label: str) -> None:
        """Press a button of the page."""
        buttons = self.seen.buttons
        self.seen = Seen(buttons=buttons)
        message = self._message()
        state = message.rerun_script.widget_states.widgets.add()
        state.id = buttons[label]
        state.trigger_value = True
        await self._send(message)

    async def clear_cache(self) -> None:
        """Ask the server to empty its caches, as the menu of a developer does."""
        await self._send(BackMsg(clear_cache=True))

    async def wait_for(self, what: str | Callable[[Seen], object], timeout: float = 60.0) -> None:
        """Wait until an attribute of `seen`, or a function of it, is true.

        Raises:
            TimeoutError: It is not within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while not (getattr(self.seen, what) if isinstance(what, str) else what(self.seen)):
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), max(end - time.monotonic(), 0.0))

    async def _read(self) -> None:
        async for data in self._socket:
            if isinstance(data, bytes):
                self._take(ForwardMsg.FromString(data))
                self.changed.set()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "delta":
            self._take_delta(message)
        elif kind == "new_session":
            new = message.new_session
            self.session_id = new.initialize.session_id or self.session_id
            self._hash = new.page_script_hash
            if not message.metadata.run.fragment_ids:
                self._stop_timers()
        elif kind == "auto_rerun":
            self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self._stop_timer(fragment)
        elif kind == "script_finished":
            self.seen.n_runs += 1

    def _take_delta(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.seen.errors.append(f"{element.exception.type}: {element.exception.message}")
        elif kind == "alert":
            self.seen.texts.append(element.alert.body)
            if "**" in element.alert.body:
                self.seen.errors.append(element.alert.body)
        elif kind == "progress":
            text = element.progress.text
            self.seen.texts.append(text)
            place = _PLACE.search(text)
            if place:
                self.seen.places.append(int(place[1]))
            elif _STEP.match(text):
                self.seen.is_running = True
        elif kind == "button":
            self.seen.buttons[element.button.label] = element.button.id
        elif kind == "download_button":
            self.seen.buttons[element.download_button.label] = element.download_button.id
        elif kind in _READABLE and _FINISHED in str(element):
            self.seen.is_finished = True

    def _start_timer(self, fragment: str, interval: float) -> None:
        if fragment in self._timers and self._timers[fragment][0] == interval:
            return
        self._stop_timer(fragment)
        self._timers[fragment] = (interval, asyncio.create_task(self._tick(fragment, interval)))

    def _stop_timer(self, fragment: str) -> None:
        if fragment in self._timers:
            self._timers.pop(fragment)[1].cancel()

    def _stop_timers(self) -> None:
        for fragment in list(self._timers):
            self._stop_timer(fragment)

    async def _tick(self, fragment: str, interval: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(interval)
                self.seen.n_reruns += 1
                message = self._message()
                message.rerun_script.fragment_id = fragment
                message.rerun_script.is_auto_rerun = True
                await self._send(message)

    async def _rerun(self) -> None:
        await self._send(self._message())

    def _message(self) -> BackMsg:
        message = BackMsg()
        message.rerun_script.query_string = self._query
        if self._hash:
            message.rerun_script.page_script_hash = self._hash
        else:
            message.rerun_script.page_name = self._page
        return message

    async def _send(self, message: BackMsg) -> None:
        await self._socket.send(message.SerializeToString())
