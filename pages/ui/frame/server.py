"""The application's part of the web server: what it does beside running the pages.

A page's address gets Streamlit's own HTML, told where the server is. And once the server answers,
the forecast that a first visitor sees is prepared: the kept one, or else one that the engine
computes.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config, file_util
from streamlit.starlette import App

from kronos.errors import KronosError
from kronos.serving.torch_setup import prepare_torch
from pages.ui.frame.shell import ADDRESSES
from pages.ui.jobs.startup_cache import is_filled

SERVER_PATIENCE = 5.0
"""Seconds after which a server that answers elsewhere, by TLS say, is taken to be up."""
_HEAD = "<head>"
# Streamlit's script looks for its server below the address it was opened at, and only then beside
# it: two requests that fail, at every visit of a page by its address.
_SERVER_IS_BESIDE_THE_PAGE = (
    '<script>window.__streamlit = {BACKEND_BASE_URL: new URL(".", location.href).href}</script>'
)
logger = logging.getLogger(__name__)


class PageAddresses:
    """Answers what asks for a page by its address, and leaves everything else to Streamlit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._paths = {f"{_prefix()}/{address}" for address in ADDRESSES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if path in self._paths:
                answer = HTMLResponse(_page(), headers={"Cache-Control": "no-cache"})
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


@contextlib.asynccontextmanager
async def opening(_: App) -> AsyncIterator[None]:
    """Prepare the opening forecast while the server runs; see that it ends in order."""
    threading.Thread(target=_prepare, name="opening", daemon=True).start()
    yield
    _end_in_order()


def _end_in_order() -> None:
    """Lets the process do, once the server has stopped, what is to be done at its end.

    Else uvicorn raises the signal that stopped it once more when it is done, and the process dies
    of it at once: no training would be asked to save.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    getattr(server, "_captured_signals", []).clear()


def _prefix() -> str:
    """The path that the application is served below, such as /fan; empty for none."""
    base = config.get_option("server.baseUrlPath").strip("/")
    return f"/{base}" if base else ""


@cache
def _page() -> str:
    page = Path(file_util.get_static_dir(), "index.html").read_text(encoding="utf-8")
    return page.replace(_HEAD, _HEAD + _SERVER_IS_BESIDE_THE_PAGE, 1)


def _prepare() -> None:
    _await_server()
    # Only now, for imports would hold the server up. torch's take the longest: they begin first,
    # but not where the forecast is at hand and they would only be in the first visitor's way.
    if not is_filled():
        threading.Thread(target=prepare_torch, name="torch", daemon=True).start()
    from pages.ui.jobs.opening import serve_opening

    try:
        serve_opening()
    except KronosError as error:
        # The page will say the same to whoever asks for this forecast.
        logger.warning("The opening forecast could not be prepared: %s", error)
    from pages.ui.jobs.scoring import scorer

    scorer()


def _await_server() -> None:
    """Until the server says that it is healthy, or is not to be reached this way."""
    host = config.get_option("server.address") or "localhost"
    port = config.get_option("server.port")
    end = time.monotonic() + SERVER_PATIENCE
    while time.monotonic() < end:
        time.sleep(0.05)
        connection = http.client.HTTPConnection(host, port, timeout=1)
        with contextlib.suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", f"{_prefix()}/_stcore/health")
            if connection.getresponse().status == 200:
                return
