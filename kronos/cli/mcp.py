"""`kronos mcp`: tools for agents, by the Model Context Protocol."""

from __future__ import annotations

import argparse
import os
from typing import Any

from kronos.errors import InvalidRequest
from kronos.extras import require, require_installed

__all__ = ["add_parser", "run"]

_MOST_PORT = 65535
_EPILOG = """\
An agent that starts commands reads a configuration such as

  {"mcpServers": {"kronos": {"command": "kronos", "args": ["mcp"]}}}

and gets the tools forecast, compare, score, track_record, models and events. With --http it asks at
http://localhost:8601/mcp; programs on other machines need a key of kronos keys. Answers have a link
that opens the same view in the application, at --app-url. docs/agents.md has examples."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "mcp",
        help="tools for agents",
        description="Serves forecasts to agents, over standard input and output.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--http", action="store_true", help="over HTTP instead")
    add("--host", default="localhost", help="address for --http (default: localhost)")
    add("--port", type=int, default=8601, help="port for --http (default: 8601)")
    add(
        "--app-url",
        default=os.environ.get("KRONOS_APP_URL", "http://localhost:8501"),
        metavar="URL",
        help="the application, for links (default: KRONOS_APP_URL, or http://localhost:8501)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until the input ends, or until interrupted.

    Raises:
        InvalidRequest: The port does not exist, or strangers could ask and there is no key.
        MissingExtra: A package of the tools is not installed.
    """
    require_installed("mcp", "api", "The server for agents")
    if args.http:
        return _run_http(args)
    from kronos.serving.apart import EngineProcess

    # It imports torch and loads the model while this process imports the protocol's packages.
    engine = EngineProcess(warm="bundled")

    def service() -> EngineProcess:
        nonlocal engine
        if engine.is_closed:
            engine = EngineProcess()
        return engine

    require("mcp", "api", "The server for agents")
    from kronos.agents.server import create_server
    from kronos.cli.feeds import SourceFeeds

    try:
        create_server(service, SourceFeeds(), app_url=args.app_url, reads_files=True).run()
    finally:
        engine.close()
    return 0


def _run_http(args: argparse.Namespace) -> int:
    if not 1 <= args.port <= _MOST_PORT:
        raise InvalidRequest(f"A port lies in 1 to {_MOST_PORT}, found {args.port}.")
    uvicorn = require("uvicorn", "api", "The server for agents")
    require("limits", "api", "The server for agents")
    from kronos.agents.server import create_server, warm_up
    from kronos.api.connections import BoundedHttp
    from kronos.api.gate import guarded
    from kronos.api.keys import Keys, require_key
    from kronos.cli.feeds import SourceFeeds
    from kronos.serving.service import service

    keys = Keys()
    require_key(args.host, keys)
    warm_up(service)
    server = create_server(service, SourceFeeds(), app_url=args.app_url, reads_files=False)
    app = guarded(server.streamable_http_app(host=args.host), keys)
    uvicorn.run(
        app, host=args.host, port=args.port, access_log=False, log_level="warning", http=BoundedHttp
    )
    return 0
