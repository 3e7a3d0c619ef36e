"""The `kronos` command.

Each subcommand is a module of this package with two functions: `add_parser(subparsers)`, which
describes its arguments and sets `run`, and `run(args) -> int`, which does the work and returns the
exit code. `COMMANDS` registers it. Modules import torch and the like inside `run`, so that --help
is instant.

Exit codes: 0 done, 1 the reader of the output is gone, 2 an error that one line on stderr explains,
130 interrupted.

Shared by the commands: `bars` (the bars they work on), `options`, `terminal` (progress, files).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import kronos
from kronos.errors import KronosError
from kronos.store.address import without_addresses
from kronos.system import exit_without_collecting, storage_problem

__all__ = ["COMMANDS", "main", "parser"]

COMMANDS = (
    "app", "forecast", "score", "store", "walk_forward", "calibrate", "ensemble", "fetch", "watch",
    "models", "train", "finetune", "evaluate", "backtest", "synthesize", "events",
    "serve", "keys", "mcp", "cluster",
)  # fmt: skip
"""Modules of this package, in the order of --help."""

_DESCRIPTION = """\
Forecasts OHLCV candles with the Kronos foundation model: not one line into the future, but many
sampled paths, and from them how wide the future is."""

_EPILOG = """\
examples:
  kronos app                                    the application in the browser
  kronos forecast bars.csv                      the next 24 bars, quantiles as CSV
  kronos forecast bars.csv --format json -o f.json
  kronos fetch AAPL -o AAPL_1d.csv              candles from Yahoo Finance or an exchange
  kronos watch BTC-USD --interval 5m            a forecast whenever a bar closes, alerts
  kronos forecast bars.csv --save               store it, to be scored later by kronos score
  kronos models                                 all models, and their state on this machine
  kronos evaluate --data bars/                  scores on held-out series against a plain cone
  kronos backtest --data bars/ --top-k 10       a portfolio that follows the forecasts
  kronos serve                                  the same for programs, by HTTP
  kronos forecast --help                        everything about one command

Forecasts are samples of a statistical model, not advice. The published models may have been
trained on bars before July 2024: scores on them prove nothing."""


_NO_HOME = (
    "This user has no home folder. Set the environment variable HOME to a folder that the user may "
    "write to."
)


def parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of the whole command, with these subcommands."""
    top = _Parser(
        prog="kronos",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"kronos {kronos.__version__}")
    subparsers = top.add_subparsers(metavar="COMMAND", required=True)
    for name in commands:
        import_module(f"kronos.cli.{name}").add_parser(subparsers)
    return top


class _Parser(argparse.ArgumentParser):
    """Repeats no secret of an address in its errors. Parsers of subcommands are of this class."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        super().error(without_addresses(message))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments without the program's name; None for those of the process.

    Returns:
        The exit code.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    # The other modules are imported only for the list of commands.
    named = [name for name in COMMANDS if words[:1] == [name.replace("_", "-")]]
    args = parser(named or COMMANDS).parse_args(words)
    if argv is None:
        exit_without_collecting()
    try:
        Path.home()
    except RuntimeError:
        print(f"kronos: {_NO_HOME}", file=sys.stderr)
        return 2
    try:
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except KronosError as error:
        print("kronos: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("kronos: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _abandon_output()  # `kronos ... | head`
        return 1
    except Exception as error:
        problem = storage_problem(error)
        if problem is None:
            raise
        _abandon_output()
        print(f"kronos: {problem}", file=sys.stderr)
        return 2


def _abandon_output() -> None:
    """Drop output that cannot be written; the interpreter would report it again as it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
