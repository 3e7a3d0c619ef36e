"""Does an adapter learn events? Trains one, and measures its gain on later bars.

    python -m benchmarks.events planted --out runs/planted
    python -m benchmarks.events real --corpus CORPUS --index INDEX.parquet --out runs/events
    python -m benchmarks.events told --corpus CORPUS --index INDEX.parquet --out runs/told

`planted` needs no data: simulated bars whose event bars move a known multiple as far, which the
adapter must find to within 20%. `real` trains on a corpus of real bars before a cut-off, chooses
after it and scores bars later than both: base and adapter on the same windows with the same seeds,
with intervals from a bootstrap of calendar weeks. `told` trains nothing: a model that reads events
is scored with the calendar, without it, and with false calendars. All print tables and write
OUT/result.json. A training that was stopped resumes when started again with the same arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from benchmarks.bootstrap import Figure
from benchmarks.events.arms import Sampling, draw_origins, fans
from benchmarks.events.planted import FLAG_ALONE, RecoveryPlan, recover, recovery_table
from benchmarks.events.real import RealPlan, events_of, load_bars, parts_of, train_adapter
from benchmarks.events.scores import ARMS, compare, score_windows, verdict
from benchmarks.events.told import TOLD, ToldPlan, measure, measure_placebo, told_table
from kronos import models
from kronos.errors import InvalidRequest, KronosError
from kronos.finetune.job import Hooks, code_revision
from kronos.finetune.lora import Targets
from kronos.forecasters.kronos import KronosPredictor
from kronos.models.adapters import read_facts
from kronos.training.corpus import CorpusEvents

DEFAULTS, PLANTED = RealPlan(), RecoveryPlan()
_LEAST_WEEKS = 8  # of a bootstrap by calendar weeks


def _quick(plan: RecoveryPlan) -> RecoveryPlan:
    planted = replace(plan.planted, n_series=8, n_bars=1000, multiplier=4.0)
    return replace(plan, planted=planted, steps=200, validate_every=0, origins=24, paths=32)


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.events",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    forms = arguments.add_subparsers(metavar="MODE", required=True)
    planted = forms.add_parser("planted", help="simulated bars with a known effect; needs no data")
    planted.set_defaults(run=run_planted)
    add = planted.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the run")
    multiplier = PLANTED.planted.multiplier
    add(
        "--interval",
        choices=("5m", "1w"),
        default="1w",
        help="1w: days-until announce an event as well; 5m: its flag alone (1w)",
    )
    add("--multiplier", type=float, help=f"how much further event bars move ({multiplier:g})")
    add("--steps", type=int, help=f"optimizer steps ({PLANTED.steps})")
    add("--lr", type=float, help=f"peak learning rate ({PLANTED.lr:g})")
    add("--alpha", type=int, help=f"that of the adapter ({PLANTED.alpha})")
    add("--targets", choices=get_args(Targets), help=f"matrices adapted ({PLANTED.targets})")
    add("--quick", action="store_true", help="a minute or two of it, with a larger effect")
    real = forms.add_parser("real", help="real bars of a corpus")
    real.set_defaults(run=run_real)
    add = real.add_argument
    add("--corpus", type=Path, required=True, metavar="FOLDER", help="candle files")
    add("--index", type=Path, required=True, metavar="FILE", help="the corpus's index, parquet")
    add(
        "--events",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="tables of events, as `kronos events add` reads them, added to the bundled ones",
    )
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the run")
    add("--since", default=DEFAULTS.since, help=f"bars that teach (default: {DEFAULTS.since})")
    add("--cut-off", default=DEFAULTS.cut_off, help=f"that choose (default: {DEFAULTS.cut_off})")
    add("--test-from", default=DEFAULTS.test_from, help=f"scored (default: {DEFAULTS.test_from})")
    add("--per-group", type=int, default=DEFAULTS.per_group, help="most series of a group")
    add("--rates", type=float, nargs="+", default=DEFAULTS.rates, help="learning rates tried")
    add("--steps", type=int, default=DEFAULTS.settings.steps, help="optimizer steps of each")
    add("--windows", type=int, default=160, help="most test windows of either kind (default: 160)")
    add("--paths", type=int, default=Sampling().paths, help="paths for each")
    told = forms.add_parser("told", help="a model that reads events, with and without them")
    told.set_defaults(run=run_told)
    add = told.add_argument
    add("--model", default="bundled", help="name or folder (default: bundled)")
    add("--corpus", type=Path, required=True, metavar="FOLDER", help="candle files")
    add("--index", type=Path, required=True, metavar="FILE", help="the corpus's index, parquet")
    add("--events", type=Path, nargs="*", default=[], metavar="FILE", help="tables of events")
    add("--out", type=Path, required=True, metavar="FOLDER", help="folder of the result")
    add("--since", default="2019-06-01", help="first bars read (default: 2019-06-01)")
    add("--intervals", nargs="+", default=DEFAULTS.intervals, help="widths of the bars")
    add("--per-group", type=int, default=DEFAULTS.per_group, help="most series of a group")
    add("--windows", type=int, default=320, help="most windows of a kind and group (default: 320)")
    add("--paths", type=int, default=Sampling().paths, help="paths for each")
    add("--placebos", type=int, default=20, help="false calendars; 0 for none (default: 20)")
    return arguments


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    code = code_revision()  # of the running code: the checkout may change meanwhile
    try:
        found, text = args.run(args)
    except KronosError as exc:
        print(exc, file=sys.stderr)
        return 1
    found["made_by"] = {
        "code": code,
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "seconds": round(time.perf_counter() - began),
    }
    file = args.out / "result.json"
    file.write_text(json.dumps(found, indent=2, default=_plain) + "\n", encoding="utf-8")
    print(f"{text}\n\n{found['made_by']}; written to {file}")
    return 0


def run_planted(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    plan = FLAG_ALONE if args.interval == "5m" else PLANTED
    if args.quick:
        plan = _quick(plan)
    given = {name: getattr(args, name) for name in ("steps", "lr", "alpha", "targets")}
    plan = replace(plan, **{name: value for name, value in given.items() if value is not None})
    if args.multiplier is not None:
        plan = replace(plan, planted=replace(plan.planted, multiplier=args.multiplier))
    found = recover(plan, args.out, Hooks(watch=_show, device="cpu"))
    return found, recovery_table(found)


def run_real(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    plan = replace(
        DEFAULTS,
        since=args.since,
        cut_off=args.cut_off,
        test_from=args.test_from,
        per_group=args.per_group,
        rates=tuple(args.rates),
        settings=replace(
            DEFAULTS.settings, steps=args.steps, validate_every=max(1, args.steps // 3)
        ),
    )
    events = events_of(args.events)
    bars = load_bars(args.corpus, args.index, plan)
    parts = parts_of(bars, plan)
    _say(f"{len(bars.series)} series, {len(bars.times):,} bars, {len(events)} events")
    hooks = Hooks(watch=_show, device="cpu")
    made = [train_adapter(parts, events, plan, lr, args.out / f"lr{lr:g}", hooks)
            for lr in plan.rates]  # fmt: skip
    best = min(made, key=lambda file: read_facts(file).scores["crps"])
    _say(f"chosen on {plan.cut_off} to {plan.test_from}: {best.parent.name}")

    placed, sampling = CorpusEvents(bars, events), Sampling(paths=args.paths)
    kinds = draw_origins(
        bars, placed, pd.Timestamp(plan.test_from, tz="UTC"), sampling, most=args.windows
    )
    tables = []
    for origins, has_event in zip(kinds, (True, False), strict=True):
        sampled = {}
        for arm in ARMS:
            model = models.load(plan.base if arm == "base" else best, device="cpu")
            reads = arm == "with_events"
            sampled[arm] = fans(model, bars, placed, origins, sampling, reads_events=reads)
            _say(f"{arm}: {len(origins)} {'event' if has_event else 'quiet'} windows")
        tables.append(score_windows(bars, origins, sampled, sampling, has_event=has_event))
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(args.out / "windows.csv", index=False)
    figures = compare(table)
    helps, why = verdict(figures)
    found = {
        "plan": asdict(plan),
        "sampling": asdict(sampling),
        "series": len(bars.series),
        "bars": len(bars.times),
        "test_series": int(table["series"].nunique()),
        "weeks": int(table["block"].nunique()),
        "windows": [len(origins) for origins in kinds],
        "adapters": {file.parent.name: asdict(read_facts(file)) for file in made},
        "chosen": best.parent.name,
        "figures": figures,
        "helps": helps,
        "why": why,
    }
    return found, f"{real_table(figures)}\n\nHelps: {'yes' if helps else 'no'} ({why})."


def run_told(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    predictor = models.load(args.model, device="cpu")
    if not isinstance(predictor, KronosPredictor) or not predictor.reads_events:
        raise InvalidRequest(f"{args.model} reads no events. Give a Kronos model that does.")
    sampling = Sampling(context=predictor.lookback or Sampling().context, paths=args.paths)
    plan = replace(
        DEFAULTS,
        since=args.since,
        intervals=tuple(args.intervals),
        per_group=args.per_group,
        settings=replace(DEFAULTS.settings, context=sampling.context),
        held_out=True,
    )
    bars, events = load_bars(args.corpus, args.index, plan), events_of(args.events)
    _say(f"{len(bars.series)} series, {len(bars.times):,} bars, {len(events)} events")
    told = ToldPlan(sampling, windows=args.windows, placebos=args.placebos)
    figures, table = measure(predictor, bars, events, told, _say)
    table.to_csv(args.out / "windows.csv", index=False)
    groups = {"all windows": figures}
    groups |= {
        interval: compare(part, TOLD)
        for interval, part in table.groupby("interval")
        if part["block"].nunique() >= _LEAST_WEEKS
    }
    if args.placebos:
        groups["placebo"] = measure_placebo(predictor, bars, events, told, _say)
    found = {
        "model": {"name": predictor.name, "revision": predictor.revision},
        "plan": asdict(told),
        "series": len(bars.series),
        "bars": len(bars.times),
        "test_series": int(table["series"].nunique()),
        "weeks": int(table["block"].nunique()),
        "windows": len(table),
        "groups": groups,
    }
    return found, told_table(groups)


def real_table(figures: dict[str, Figure]) -> str:
    """The result as Markdown; intervals are 95%."""
    lines = ["|  | base | adapter without events | adapter with events |", "| --- " * 4 + "|"]
    names = {"event": "event windows", "bar": "event bars alone", "quiet": "quiet windows"}
    for span, name in names.items():
        for what, label in (
            ("{}_crps_{}", "CRPS"),
            ("{}_crps_{}_to_base", "CRPS over the base's"),
            ("{}_error_{}_to_base", "error of the median over the base's"),
            ("{}_coverage_{}", "80% coverage"),
            ("{}_spread_ratio_{}", "spread over that of quiet windows"),
        ):
            keys = [what.format(span, arm) for arm in ARMS]
            if keys[0] in figures:
                cells = " | ".join(figures[key].text() for key in keys)
                lines.append(f"| {name}: {label} | {cells} |")
    for span in ("event", "bar"):
        happened = figures[f"{span}_spread_ratio_happened"].text()
        ratio = figures[f"{span}_crps_with_to_without"].text()
        lines += ["", f"{names[span]}: outcomes moved {happened} times as far as in quiet windows; "
                  f"CRPS with events over without {ratio}."]  # fmt: skip
    return "\n".join(lines)


def _show(line: dict[str, Any]) -> None:
    shown = ("split", "step", "loss", "crps", "coverage", "quiet_error", "seconds")
    _say(" ".join(f"{name} {line[name]}" for name in shown if name in line))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Figure) else str(value)


if __name__ == "__main__":
    sys.exit(main())
