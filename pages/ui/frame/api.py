"""The API for programs on the server of the pages, where the extra `api` is installed."""

from __future__ import annotations

import threading
from functools import cache
from importlib.util import find_spec

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from pages.ui.frame.server import path_prefix

PATHS = ("/v1/", "/metrics")


class ApiBeside:
    """Answers requests of programs; all others go on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._has_api = find_spec("fastapi") is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        path = scope.get("path", "").removeprefix(path_prefix())
        if self._has_api and scope["type"] == "http" and path.startswith(PATHS):
            api = await run_in_threadpool(_api)  # the first request imports it
            await api(dict(scope) | {"path": path, "raw_path": path.encode()}, receive, send)
        else:
            await self._app(scope, receive, send)


@cache
def _api() -> ASGIApp:
    """The API; most servers of pages are never asked for it."""
    from kronos.api.app import create_api
    from kronos.cli.feeds import SourceFeeds
    from kronos.serving.service import service

    api = create_api(service, SourceFeeds())
    threading.Thread(target=api.state.desk.finish_saving, name="api", daemon=True).start()
    return api
