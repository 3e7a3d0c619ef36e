"""`kronos models`: list, download, delete, verify, test, export and import models."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kronos import models
from kronos.cli.options import add_device_option, date_of
from kronos.cli.terminal import ProgressLine, columns_text, megabytes, write_text

if TYPE_CHECKING:
    from kronos.self_test import SelfTest

__all__ = ["add_parser", "run"]

_NAMES = ", ".join(models.PUBLISHED | models.CHRONOS)

_EPILOG = """\
states:
  bundled       ships with the package and needs no network
  cached        downloaded to this machine; loads without any request
  downloadable  not on this machine; the first use downloads it
  broken        on this machine, but unusable; the list says why
Adapters that you trained are listed with the state of their base.

examples:
  kronos models                      list all models
  kronos models download small       fetch it ahead of time
  kronos models verify small         hash every file again
  kronos models test bundled         load it, forecast with it, check the results
  kronos models export mine out/     an adapter as a folder that peft loads
  kronos models import out/ other    such a folder as an adapter
  HF_ENDPOINT=https://hub.example kronos models download base     from a mirror

Models come from the Hugging Face hub at pinned revisions. Every file is checked against a pinned
SHA-256 before it is used. They are in the hub's own cache (HF_HUB_CACHE, or hub/ below HF_HOME)."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "models",
        help="list, download, delete, verify, test, export or import models",
        description="Lists models and their state on this machine, and manages them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, action="list", json=False)
    actions = parser.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="all models with state and size (the default)")
    listing.add_argument("--json", action="store_true", help="as JSON, for programs")
    listing.set_defaults(action="list")
    for action, text in (
        ("download", "fetch a model and its tokenizer into the cache"),
        ("delete", "remove a downloaded model from the cache"),
        ("verify", "hash every file of a model; a damaged download is removed"),
    ):
        sub = actions.add_parser(action, help=text, description=text.capitalize() + ".")
        sub.add_argument("name", metavar="NAME", help=f"{_NAMES}, or an adapter")
        sub.set_defaults(action=action)
    testing = actions.add_parser(
        "test",
        help="forecast with a model and check the results",
        description="Checks a model that is on this machine: the digests of its files, loading, a "
        "seeded forecast twice, valid candles, cached decoding against decoding without a cache, "
        "and for the bundled model the closes stored with it. Exit code 2 if a step fails.",
    )
    testing.add_argument("name", metavar="NAME", help=f"{models.BUNDLED}, {_NAMES}, or an adapter")
    add_device_option(testing)
    testing.set_defaults(action="test")
    exporting = actions.add_parser(
        "export",
        help="write an adapter in the format of peft",
        description="Writes adapter_config.json and adapter_model.safetensors, which "
        "peft.PeftModel.from_pretrained loads onto the adapter's base.",
    )
    exporting.add_argument("name", metavar="NAME", help="an adapter, or its file")
    exporting.add_argument("folder", metavar="FOLDER", help="where the two files go")
    exporting.set_defaults(action="export")
    importing = actions.add_parser(
        "import",
        help="install an adapter of peft's format",
        description="Installs a folder with adapter_config.json and adapter_model.safetensors as "
        "an adapter of this program. A plain LoRA of a Kronos is needed.",
    )
    importing.add_argument("folder", metavar="FOLDER", help="holds the two files")
    importing.add_argument("name", metavar="NAME", help="name of the adapter")
    importing.add_argument("--base", metavar="MODEL", help="its base, where the folder names none")
    importing.add_argument(
        "--cut-off",
        metavar="DATE",
        help="day before which the bars lie that it learned from, where the folder does not say",
    )
    importing.set_defaults(action="import")


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    if args.action == "list":
        entries = models.available()
        if args.json:
            write_text(None, json.dumps([asdict(entry) for entry in entries], indent=2) + "\n")
        else:
            write_text(None, _table(entries))
        return 0
    if args.action == "test":
        return _test(args)
    if args.action == "export":
        from kronos.models.peft import export_peft

        done = f"{args.name} is in {export_peft(args.name, args.folder)}, as peft stores it."
    elif args.action == "import":
        from kronos.models.peft import import_peft

        cut_off = date_of(args.cut_off, "--cut-off")
        facts = import_peft(args.folder, args.name, base=args.base, cut_off=cut_off)
        done = f"{args.name} is installed, an adapter of {facts.base}."
    elif args.action == "download":
        with ProgressLine(f"downloading {args.name}", in_bytes=True) as progress:
            models.download(args.name, progress)
        done = f"{args.name} is on this machine, verified."
    elif args.action == "verify":
        models.verify(args.name)
        done = f"{args.name}: every file matches its digest."
    else:
        done = f"{args.name} deleted, {megabytes(models.delete(args.name))} freed."
    print(done, file=sys.stderr)
    return 0


def _test(args: argparse.Namespace) -> int:
    from kronos.self_test import TITLES, run_self_test
    from kronos.serving.service import open_service

    with (
        closing(open_service(args.device)) as service,
        ProgressLine(f"testing {args.name}, step") as progress,
    ):
        tested = run_self_test(service, args.name, watch=lambda n: progress(n + 1, len(TITLES)))
    write_text(None, _report(tested))
    if tested.is_passed:
        return 0
    failed = [step.title for step in tested.steps if step.outcome == "failed"]
    print(f"kronos: {tested.model} failed its test: {'; '.join(failed)}.", file=sys.stderr)
    return 2


def _report(tested: SelfTest) -> str:
    lines = [f"{tested.model}, revision {tested.revision[:12]}, {tested.seconds:.1f} s"]
    for step in tested.steps:
        lines.append(f"{step.outcome:8}{step.seconds:7.2f} s  {step.title}: {step.found}")
        if step.advice:
            lines.append(" " * 19 + step.advice)
    return "\n".join(lines) + "\n"


def _table(entries: list[models.Entry]) -> str:
    rows = [("NAME", "STATE", "SIZE", "PARAMETERS", "CONTEXT", "LICENCE", "REVISION")]
    rows += [
        (
            entry.name,
            entry.state,
            megabytes(entry.n_bytes) if entry.n_bytes else "-",
            f"{entry.n_parameters:,}" if entry.n_parameters else "-",
            str(entry.max_context or "-"),
            entry.licence,
            entry.revision[:12] or "-",
        )
        for entry in entries
    ]
    notes = [
        f"\n{entry.name}: an adapter of {entry.base}, trained on bars before {entry.cut_off}\n"
        for entry in entries
        if entry.base
    ]
    notes += [f"\n{entry.name}: {entry.problem}\n" for entry in entries if entry.problem]
    return columns_text(rows) + "".join(notes)
