"""Plotly's script as a file of this server, for the chart that is worked in (ADR 24).

A component cannot import the copy inside Streamlit's own scripts. The `plotly` package has another.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.metadata import version

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pages.ui.frame.server import path_prefix


@cache
def script_name() -> str:
    """Name of the file; another version of the package has another name, and none is stale."""
    return f"plotly-{version('plotly')}.min.js"


class PlotlyScript:
    """Answers requests for Plotly's script, which a browser then keeps; passes all others on.

    Args:
        app: What answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._path = f"{path_prefix()}/{script_name()}"

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
        await self._app(scope, receive, send)


@cache
def _script(is_packed: bool) -> bytes:
    from plotly.offline import get_plotlyjs  # with the first visit, not with the server

    script = get_plotlyjs().encode()
    return gzip.compress(script, compresslevel=6, mtime=0) if is_packed else script
