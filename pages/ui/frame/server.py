"""The application's part of the web server: the HTML of its pages, and work at its start and end.

The address of a page returns Streamlit's own HTML, with the address of the server and a script for
the browser's history added.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, closing
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config, file_util
from streamlit.starlette import App

from pages.ui.frame.access import VARIABLE, public_setting
from pages.ui.frame.shell import ADDRESSES

SERVER_PATIENCE = 5.0
"""Seconds after which a server counts as up although it does not answer here, as with TLS."""
_HEAD = "<head>"
# Streamlit's script looks for its server below the address it was opened at, and only then beside
# it: two requests that fail, at every visit of a page by its address.
_SERVER_IS_BESIDE_THE_PAGE = (
    '<script>window.__streamlit = {BACKEND_BASE_URL: new URL(".", location.href).href}</script>'
)
_SCRIPTS = [Path(__file__).with_name(name) for name in ("history.js", "fields.js")]


class PageAddresses:
    """Answers requests for a page by its address; all others go to Streamlit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._paths = {f"{path_prefix()}/{address}" for address in ("", *ADDRESSES)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if path in self._paths:
                answer = HTMLResponse(page(), headers={"Cache-Control": "no-cache"})
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def lifespan(prepare: Callable[[], None]) -> Callable[[App], AbstractAsyncContextManager[None]]:
    """The lifespan of the server: run `prepare` in a thread once the server answers."""

    def start() -> None:
        warn_of_strangers()
        _await_server()
        prepare()

    @contextlib.asynccontextmanager
    async def run(_: App) -> AsyncIterator[None]:
        threading.Thread(target=start, name="opening", daemon=True).start()
        yield
        _end_in_order()

    return run


def warn_of_strangers() -> None:
    """Say in the terminal that others can reach this server, where nobody chose what they may do.

    An address of this machine alone needs no choice. Behind a proxy the server cannot tell.
    """
    address = config.get_option("server.address")
    if public_setting() is not None or _is_local(address):
        return
    where = address or "every address of this machine"
    print(
        f"This server answers on {where}. Visitors may download and delete models, train, and see "
        f"paths of this machine. Set {VARIABLE}=true to offer this to administrators alone, or "
        f"{VARIABLE}=false if you know all visitors; see docs/deployment.md.",
        file=sys.stderr,
        flush=True,
    )


def leave_out_closed_secrets() -> None:
    """Let the server start where a folder of secrets may not be read, such as a closed home.

    Streamlit reads every such file as it starts, and does without those that are not there.
    """
    usable = []
    for name in config.get_option("secrets.files"):
        try:
            Path(name).stat()
        except (PermissionError, NotADirectoryError) as error:
            print(f"{name} is left out: {error.strerror}.", file=sys.stderr, flush=True)
            continue
        except OSError:
            pass
        usable.append(name)
    if len(usable) < len(config.get_option("secrets.files")):
        config.set_option("secrets.files", usable)


def _is_local(address: str | None) -> bool:
    """Whether a server at this address is reached from its own machine alone."""
    if not address:
        return False
    if address == "localhost" or address.startswith("unix://"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address).is_loopback
    return False


def _end_in_order() -> None:
    """Let the process run its exit handlers once the server has stopped.

    Otherwise uvicorn raises the signal that stopped it a second time, the process dies at once,
    and a training run does not save.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    getattr(server, "_captured_signals", []).clear()


def path_prefix() -> str:
    """The base path of the application, such as /fan; empty for none."""
    base = config.get_option("server.baseUrlPath").strip("/")
    return f"/{base}" if base else ""


@cache
def page() -> str:
    """The HTML of every page."""
    html = Path(file_util.get_static_dir(), "index.html").read_text(encoding="utf-8")
    scripts = [f"<script>{file.read_text(encoding='utf-8')}</script>" for file in _SCRIPTS]
    return html.replace(_HEAD, _HEAD + _SERVER_IS_BESIDE_THE_PAGE + "".join(scripts), 1)


def _await_server() -> None:
    """Wait until the server reports that it is healthy, or `SERVER_PATIENCE` is over."""
    host = config.get_option("server.address") or "localhost"
    port = config.get_option("server.port")
    end = time.monotonic() + SERVER_PATIENCE
    while time.monotonic() < end:
        time.sleep(0.05)
        connection = http.client.HTTPConnection(host, port, timeout=1)
        with contextlib.suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", f"{path_prefix()}/_stcore/health")
            if connection.getresponse().status == 200:
                return
