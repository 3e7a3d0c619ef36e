"""Plotly's script as a file of this server, for the chart that is worked in (ADR 24).

A component cannot import the copy inside Streamlit's own scripts. The `plotly` package has another.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.metadata import version

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pages.ui.frame.server import path_prefix


@cache
def script_name() -> str:
    """Name of the file; another version of the package has another name, and none is stale."""
    return f"plotly-{version('plotly')}.min.js"


class PlotlyScript:
    """Answers requests for Plotly's script, which a browser then keeps; passes all others on.

    With the Forecast page it names the script, so that a browser loads it beside those of Streamlit
    and not only once the page has told what it shows.

    Args:
        app: What answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        base = path_prefix()
        self._path = f"{base}/{script_name()}"
        self._pages = {base, f"{base}/", f"{base}/forecast"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if path == self._path:
                is_packed = "gzip" in Headers(scope=scope).get("accept-encoding", "")
                headers = {
                    "Cache-Control": "public, max-age=31536000, immutable",
                    "Vary": "Accept-Encoding",
                }
                if is_packed:
                    headers["Content-Encoding"] = "gzip"
                body = await run_in_threadpool(_script, is_packed)
                answer = Response(body, media_type="text/javascript", headers=headers)
                await answer(scope, receive, send)
                return
            if path in self._pages:
                send = _naming_script(send)
        await self._app(scope, receive, send)


def _naming_script(send: Send) -> Send:
    async def send_with_link(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            # Relative to the page, as the component asks for it: a proxy may add a path.
            link = f"<{script_name()}>; rel=preload; as=script"
            MutableHeaders(scope=message).append("Link", link)
        await send(message)

    return send_with_link


@cache
def _script(is_packed: bool) -> bytes:
    from plotly.offline import get_plotlyjs  # with the first visit, not with the server

    script = get_plotlyjs().encode()
    return gzip.compress(script, compresslevel=6, mtime=0) if is_packed else script
