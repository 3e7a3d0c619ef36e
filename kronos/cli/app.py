"""`kronos app`: the application in the browser, from a checkout or an installed package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from runpy import run_module
from typing import Any

from kronos.errors import InvalidRequest
from kronos.extras import require_installed

__all__ = ["add_parser", "run", "script"]

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel carries app.py, pages/ and .streamlit/ in kronos/_app (see pyproject.toml). They are not
# packages of the library: Streamlit puts the folder of the script on the path of its process.
_PLACES = (_PACKAGE / "_app" / "app.py", _PACKAGE.parent / "app.py")
_MOST_PORT = 65535
_EPILOG = """\
examples:
  kronos app                                    http://localhost:8501
  kronos app --port 8600
  KRONOS_PUBLIC=true kronos app --host 0.0.0.0  visitors are strangers: docs/deployment.md
  kronos app -- --server.maxUploadSize=50       options of streamlit run, after --"""


def add_parser(subparsers: Any) -> None:
    """Describe the arguments of the command."""
    parser = subparsers.add_parser(
        "app",
        help="start the application and print its address",
        description="Starts the application in the browser; Ctrl+C ends it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="localhost", help="address that it answers on (default: localhost)")
    add("--port", type=int, help="port (default: 8501, or the next free one)")
    add("--browser", action="store_true", help="open a browser on this machine")
    add("options", nargs="*", metavar="OPTION", help="of streamlit run, after --")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted.

    Raises:
        InvalidRequest: The port does not exist, or the application is not installed.
    """
    if args.port is not None and not 1 <= args.port <= _MOST_PORT:
        raise InvalidRequest(f"A port lies in 1 to {_MOST_PORT}, found {args.port}.")
    place = script()
    options = [f"--server.address={args.host}", "--server.showEmailPrompt=false"]
    options += [f"--server.headless={str(not args.browser).lower()}"]
    options += [f"--server.port={args.port}"] if args.port is not None else []
    sys.argv = ["kronos app", "run", str(place), *options, *args.options]
    # By name: the library imports nothing of the interface. It ends the process itself.
    run_module("streamlit", run_name="__main__")
    return 0


def script() -> Path:
    """The application's script, which Streamlit runs.

    Raises:
        InvalidRequest: This installation has none.
        MissingExtra: A package of the pages is not installed.
    """
    place = next((place for place in _PLACES if place.is_file()), None)
    if place is None:
        raise InvalidRequest(
            f"This installation has no pages: there is no {_PLACES[0]}. Install it again with "
            "pip install --force-reinstall --no-deps kronos-fan."
        )
    for module in ("streamlit", "plotly"):
        require_installed(module, "app", "The application")
    return place
