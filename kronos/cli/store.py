"""`kronos store`: information, export, backup and restore of stored forecasts."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from kronos.cli.options import add_store_option
from kronos.cli.terminal import open_text, write_text

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  kronos store                                where it is, and how much is in it
  kronos store export -o steps.csv            every step of every forecast, with its scores
  kronos store export --format json --instrument BTCUSD | jq .energy_score
  kronos store backup forecasts-2026-11.sqlite3
  kronos store restore forecasts-2026-11.sqlite3
  KRONOS_STORE=postgresql://me:secret@host/forecasts kronos store

`kronos forecast --save` stores forecasts, and `kronos score` their scores. Rows are added and never
changed. A backup is an SQLite file with all rows of any store; --store reads it, and it can be
restored into any store, whose own rows stay."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "store",
        help="export, back up and restore stored forecasts",
        description="The store of forecasts: its address, backups and exports.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, action="info", json=False)
    add_store_option(parser)
    actions = parser.add_subparsers(metavar="ACTION")
    info = actions.add_parser("info", help="where it is, and how much is in it (the default)")
    info.add_argument("--json", action="store_true", help="as JSON, for programs")
    info.set_defaults(action="info")
    backup = actions.add_parser("backup", help="write every row into one SQLite file")
    backup.add_argument("file", metavar="FILE", help="a file that does not exist yet")
    backup.set_defaults(action="backup")
    restore = actions.add_parser("restore", help="add the rows of a backup")
    restore.add_argument("file", metavar="FILE", help="a file that `kronos store backup` wrote")
    restore.set_defaults(action="restore")
    export = actions.add_parser("export", help="forecasts and scores as text")
    export.set_defaults(action="export")
    export.add_argument(
        "--format",
        choices=("csv", "json"),
        default="csv",
        help="csv: one row a step; json: one forecast a line (default: csv)",
    )
    export.add_argument("-o", "--output", metavar="OUT", help="file to write (default: stdout)")
    for name in ("instrument", "interval", "source", "model"):
        export.add_argument(f"--{name}", metavar="NAME", help=f"only this {name}")


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos.store import open_store
    from kronos.store.backup import back_up, restore

    store = open_store(args.store)
    if args.action == "info":
        counts = store.counts()
        if args.json:
            write_text(None, json.dumps({"store": store.address, "rows": counts}, indent=2) + "\n")
        else:
            lines = [f"{counts[name]:>12,}  {name}" for name in counts]
            write_text(None, "\n".join([f"{store.address}", *lines]) + "\n")
    elif args.action == "backup":
        print(f"{args.file}: {_listed(back_up(store, args.file))}.", file=sys.stderr)
    elif args.action == "restore":
        added = restore(store, args.file)
        print(f"Added to {store.address}: {_listed(added)}.", file=sys.stderr)
    else:
        _export(args)
    return 0


def _export(args: argparse.Namespace) -> None:
    from kronos.store import open_store
    from kronos.store.backup import export_csv, export_json_lines

    write = export_json_lines if args.format == "json" else export_csv
    with open_text(args.output) as out:
        count = write(
            open_store(args.store),
            out,
            instrument=args.instrument,
            interval=args.interval,
            source=args.source,
            model=args.model,
        )
    print(f"{count:,} forecasts exported.", file=sys.stderr)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
