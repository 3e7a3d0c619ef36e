"""`kronos serve`: the API for programs, without pages."""

from __future__ import annotations

import argparse
from typing import Any

from kronos.cli.options import add_device_option
from kronos.errors import InvalidRequest
from kronos.extras import require

__all__ = ["add_parser", "run"]

_MOST_PORT = 65535
_MOST_WAITING = 1024
"""Of each priority. Unlike a page, a program that is refused comes back by itself."""
_EPILOG = """\
examples:
  kronos serve                                   http://localhost:8600/v1/openapi.json
  kronos keys add nightly && kronos serve --host 0.0.0.0
  curl -s localhost:8600/v1/forecasts?wait=30 -H 'Content-Type: application/json' \\
      -d '{"source": "samples", "symbol": "GOOG", "interval": "1d", "horizon": 12}'

Programs on this machine need no key, all others one of `kronos keys`. `kronos app` answers the same
requests beside its pages. Every route is described in docs/api.md."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "serve",
        help="answer programs by HTTP",
        description="Starts the API for programs; Ctrl+C ends it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--host", default="localhost", help="address that it answers on (default: localhost)")
    add("--port", type=int, default=8600, help="port (default: 8600)")
    add_device_option(parser)
    add("--no-log", action="store_true", help="write no line for each request to stderr")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted.

    Raises:
        InvalidRequest: The port does not exist, or strangers could ask and there is no key.
        MissingExtra: A package of the API is not installed.
    """
    if not 1 <= args.port <= _MOST_PORT:
        raise InvalidRequest(f"A port lies in 1 to {_MOST_PORT}, found {args.port}.")
    for module in ("fastapi", "limits", "prometheus_client"):
        require(module, "api", "The API")
    uvicorn = require("uvicorn", "api", "The API")
    from kronos.api.app import create_api
    from kronos.api.connections import BoundedHttp
    from kronos.api.keys import Keys, require_key
    from kronos.cli.feeds import SourceFeeds
    from kronos.serving.jobs import Limits
    from kronos.serving.service import LocalService

    keys = Keys()
    require_key(args.host, keys)
    limits = Limits(max_queued=_MOST_WAITING, max_visits=_MOST_WAITING)
    service = LocalService(device=args.device, limits=limits)
    try:
        uvicorn.run(
            create_api(lambda: service, SourceFeeds(), keys=keys),
            host=args.host, port=args.port, access_log=False, server_header=False, http=BoundedHttp,
            log_config=_log_config(requests=not args.no_log), timeout_graceful_shutdown=5,
        )  # fmt: skip
    finally:
        service.close()
    return 0


def _log_config(*, requests: bool) -> dict[str, Any]:
    """Messages as text, requests as lines of JSON, both to stderr."""
    streams = {"class": "logging.StreamHandler"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"format": "%(levelname)s %(name)s: %(message)s"},
            "line": {"format": "%(message)s"},
        },
        "handlers": {
            "text": streams | {"formatter": "text"},
            "line": streams | {"formatter": "line"},
        },
        "root": {"handlers": ["text"], "level": "WARNING"},
        "loggers": {
            "uvicorn": {"level": "INFO"},
            "kronos.api.requests": {
                "handlers": ["line"],
                "level": "INFO" if requests else "WARNING",
                "propagate": False,
            },
        },
    }
