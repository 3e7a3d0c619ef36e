"""`kronos keys`: the keys with which programs on other machines ask the API."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from kronos.cli.terminal import columns_text, write_text

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  kronos keys add nightly                        prints the key, once
  kronos keys add scripts --limit 5/second
  kronos keys remove nightly
  curl -H 'Authorization: Bearer KEY' https://forecasts.example/v1/models

Only a hash of each key is stored. A running server reads changes with its next request."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "keys",
        help="keys of the API",
        description="Lists, makes and removes the keys of the API.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, action="list")
    actions = parser.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="names, limits and dates (the default)")
    listing.set_defaults(action="list")
    adding = actions.add_parser("add", help="make a key and print it")
    adding.add_argument("name", metavar="NAME", help="who uses it")
    adding.add_argument(
        "--limit", metavar="N/TIME", help="requests in a time (default: 600/minute)"
    )
    adding.set_defaults(action="add")
    removing = actions.add_parser("remove", help="refuse a key from now on")
    removing.add_argument("name", metavar="NAME")
    removing.set_defaults(action="remove")


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos.api.keys import DEFAULT_LIMIT, Keys

    keys = Keys()
    if args.action == "add":
        write_text(None, keys.add(args.name, args.limit or DEFAULT_LIMIT) + "\n")
        print(f"This is the key of {args.name}. It is not shown again.", file=sys.stderr)
    elif args.action == "remove":
        keys.remove(args.name)
        print(f"The key of {args.name} is removed.", file=sys.stderr)
    else:
        rows = [("NAME", "LIMIT", "CREATED")]
        rows += [(key.name, key.limit, key.created) for key in keys.all()]
        write_text(None, columns_text(rows))
    return 0
