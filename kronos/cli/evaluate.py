"""`kronos evaluate`: a model against a volatility cone, on held-out series."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kronos.cli.bars import add_corpus_options, add_events_option, corpus_config
from kronos.cli.options import date_of
from kronos.cli.terminal import ProgressLine, write_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from kronos.context import Context
    from kronos.forecast import SamplingParameters
    from kronos.forecasters.base import Samples
    from kronos.request import EngineRequest, ModelFacts
    from kronos.serving.service import ForecastService
    from kronos.tasks.windows import Draw

__all__ = ["add_parser", "run", "sampler", "table_text"]

_HISTORY_DAYS = 1500
"""Days before --since that contexts and rivals of the tasks may read."""
_PIECE = 4
"""Series in one request: few, so that several processes have work."""
_EPILOG = """\
A few windows are drawn from every held-out series. The model forecasts the close of the next 24
bars; the fan is scored by the fair CRPS of log-returns from the origin, over sigma * sqrt(steps),
and compared with a driftless random walk whose volatility is an exponentially weighted mean
(decay .94).

A model that reads events gets none unless --events is given. The files are then read on the
calendars of their markets, on which events are placed.

columns:
  median     CRPS over the cone's, the median over series (below 1: the model is better)
  pooled     the same, pooled over all windows
  worst      the same, the largest of a series of at least 10 windows
  coverage   share of outcomes between p10 and p90 (80% would be perfect)
  coverage95 share of outcomes between p2.5 and p97.5
  step1      the pooled ratio at the first bar alone
  widening   the band's width at the last bar over that at the first, the median over windows
  raw_*      as sampled;  anchored_*: as the application shows it, starting at the last close

--tasks computes the tasks of the paper with its settings instead (NAMES: rankic, volatility, qlike,
synthetic; none for all): rank correlation of price and return, realised volatility, QLIKE of the
paths' variance, synthetic series; beside naive rivals, with Newey-West t and 95% intervals, and
the published figures of Kronos-small, which are of other data. --origins, --series,
--task-windows and --qlike-origins bound the work. Contexts reach back before --since.

examples:
  kronos evaluate --data bars/ --manifest manifest.csv
  kronos evaluate --data bars/ --tasks --since 2025-10-01
  kronos evaluate --data bars/ --tasks rankic volatility --origins 20 --format json
  kronos evaluate --data bars/ --model runs/mine --lookback 96 --windows 5"""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a model on held-out series against a volatility cone",
        description="Scores a model on the held-out families of a folder of candle files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_corpus_options(parser)
    add_events_option(parser, "give a model that reads events their rows")
    parser.add_argument(
        "--model", default="bundled", help="name, folder or baseline (default bundled)"
    )
    parser.add_argument("--lookback", type=int, help="bars read (default: the model's own)")
    parser.add_argument(
        "--history",
        type=int,
        default=0,
        help="fewest bars before an origin; a model that reads more reads what there is (default: "
        "as many as it reads, at least 256)",
    )
    parser.add_argument("--horizon", type=int, default=24, help="steps scored (default 24)")
    parser.add_argument(
        "--windows", type=int, default=3, help="windows per series, at least (default 3)"
    )
    parser.add_argument(
        "--per-interval",
        type=int,
        default=200,
        help="windows of every interval, drawn from its series (default 200)",
    )
    parser.add_argument("--paths", type=int, default=100, help="paths per window (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of windows and paths")
    parser.add_argument("--since", metavar="DATE", help="score only bars from this date on")
    parser.add_argument("--intervals", nargs="*", default=[], help="only these, such as 5m 1h 1d")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the table here")
    parser.add_argument("--scores", metavar="FILE", help="write every window and step here, as CSV")
    group = parser.add_argument_group("published tasks")
    group.add_argument("--tasks", nargs="*", metavar="NAME", help="compute these tasks instead")
    group.add_argument("--origins", type=int, default=60, help="dates of forecasts (default 60)")
    group.add_argument(
        "--series", type=int, default=60, help="most series of an interval (default 60)"
    )
    group.add_argument(
        "--qlike-origins", type=int, default=40, help="dates of the QLIKE forecasts (default 40)"
    )
    group.add_argument(
        "--task-windows", type=int, default=3000, help="real windows of series (default 3000)"
    )
    group.add_argument("--format", choices=("table", "json"), default="table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    if args.tasks is not None:
        return _run_tasks(args)
    from kronos.serving.service import service
    from kronos.training.corpus import CorpusEvents, load_corpus
    from kronos.training.held_out import EvaluationPlan, evaluate

    facts = service().facts(args.model)
    lookback = args.lookback or facts.context_length(sys.maxsize, args.horizon)
    plan = EvaluationPlan(
        lookback=lookback,
        horizon=args.horizon,
        windows_per_series=args.windows,
        windows_per_interval=args.per_interval,
        sample_count=args.paths,
        seed=args.seed,
        intervals=tuple(args.intervals),
        history=args.history,
    )
    data = corpus_config(args)
    corpus = load_corpus(
        data.folder,
        manifest=data.manifest,
        holdout=data.holdout if data.holdout.share else None,
        held_out=True,
        since=date_of(args.since, "--since"),
        on_calendars=bool(data.events),
    )
    events = CorpusEvents(corpus, data.events, data.leaders()) if data.events else None
    alignment = next(iter(facts.event_alignments), None) if data.events else None
    with ProgressLine("scoring windows") as progress:
        sample = sampler(service(), facts)
        scores = evaluate(sample, corpus, plan, progress, events=events, alignment=alignment)
    if args.scores:
        write_text(args.scores, scores.to_csv(index=False))
    write_text(args.output, table_text(scores))
    return 0


def _run_tasks(args: argparse.Namespace) -> int:
    import pandas as pd

    from kronos import models
    from kronos.serving.service import service
    from kronos.tasks.report import TASKS, report_json, report_text, run_tasks
    from kronos.tasks.windows import TaskPlan
    from kronos.training.corpus import load_corpus

    facts = service().facts(args.model)
    since = date_of(args.since, "--since")
    plain = not models.draws_tokens(args.model)
    plan = TaskPlan(
        origins=args.origins,
        series=args.series,
        windows=args.task_windows,
        qlike_origins=args.qlike_origins,
        paths=args.paths,
        seed=args.seed,
        since=since,
        plain=plain,
    )
    data = corpus_config(args)
    corpus = load_corpus(
        data.folder,
        manifest=data.manifest,
        holdout=data.holdout if data.holdout.share else None,
        held_out=True,
        since=None if since is None else since - pd.Timedelta(days=_HISTORY_DAYS),
    )

    def length(wanted: int, horizon: int) -> int:
        if args.lookback or wanted == sys.maxsize:
            return facts.context_length(wanted, horizon, args.lookback)
        # Published settings come before the context that a model is advised to read.
        room = facts.most - horizon if facts.shares_window else facts.most
        return facts.context_length(wanted, horizon, max(facts.least, min(wanted, room)))

    def note(text: str) -> None:
        print(text, file=sys.stderr)

    if plain:
        note(f"{facts.name} draws no tokens: T and top-p are 1 throughout.")
    rows = run_tasks(
        _drawer(service(), facts),
        corpus,
        plan,
        model=facts.name,
        length=length,
        stage=ProgressLine,
        note=note,
        tasks=args.tasks or TASKS,
        intervals=args.intervals,
    )
    made = {
        "model": facts.name, "revision": facts.revision, "seed": args.seed, "since": args.since,
        "paths": args.paths,
    }  # fmt: skip
    write_text(args.output, report_json(rows, made) if args.format == "json" else report_text(rows))
    return 0


def _drawer(service: ForecastService, facts: ModelFacts) -> Draw:
    """The `Draw` of `kronos.tasks` that a service computes, in pieces."""
    from kronos.serving.requests import ManySamplesRequest, SampleRequest

    def draw(
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        samplings: Sequence[SamplingParameters],
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        parts = tuple(
            SampleRequest(facts.model, facts.revision, (context,), (future,), sampling)
            for context, future, sampling in zip(contexts, futures, samplings, strict=True)
        )
        pieces = [
            ManySamplesRequest(facts.model, facts.revision, parts[i : i + _PIECE])
            for i in range(0, len(parts), _PIECE)
        ]
        answers: list[list[Samples]] = _answers(service, pieces)
        return [(paths[0], last[0]) for piece in answers for paths, last in piece]

    return draw


def sampler(service: ForecastService, facts: ModelFacts) -> Callable[..., Samples]:
    """The `Sample` of `kronos.training.held_out` that a service computes, in pieces."""
    import numpy as np

    from kronos.serving.requests import SampleRequest

    def sample(
        contexts: Sequence[Context],
        futures: Sequence[np.ndarray],
        sampling: SamplingParameters,
        *,
        events: Sequence[np.ndarray | None] | None = None,
    ) -> Samples:
        pieces = [
            SampleRequest(
                facts.model,
                facts.revision,
                tuple(contexts[i : i + _PIECE]),
                tuple(futures[i : i + _PIECE]),
                sampling,
                None if events is None else tuple(events[i : i + _PIECE]),
            )
            for i in range(0, len(contexts), _PIECE)
        ]
        answers: list[Samples] = _answers(service, pieces)
        paths, last = (np.concatenate(each) for each in zip(*answers, strict=True))
        return paths, last

    return sample


def _answers(service: ForecastService, requests: Sequence[EngineRequest]) -> list[Any]:
    """The answers in the order of the requests, which several processes may compute."""
    from kronos.serving.interface import BulkRequest

    bulk = (BulkRequest(request, label=i) for i, request in enumerate(requests))
    answers = {each.label: answer for each, answer in service.run_many(bulk)}
    return [answers[i] for i in range(len(requests))]


def table_text(scores: pd.DataFrame) -> str:
    """The evaluation table in Markdown: all windows, by interval, by asset class, by both."""
    import pandas as pd

    from kronos.training.held_out import summarise

    asset = scores["group"].str.split("/").str[0]
    parts = [summarise(scores), summarise(scores, "interval")]
    if asset.nunique() > 1:
        parts += [summarise(scores.assign(asset=asset), "asset"), summarise(scores, "group")]
    table = pd.concat(parts)
    counts = ("windows", "series")
    header = ["", *table.columns]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for key, row in table.iterrows():
        cells = [f"{row[c]:.0f}" if c in counts else f"{row[c]:.3f}" for c in table.columns]
        lines.append("| " + " | ".join([str(key), *cells]) + " |")
    return "\n".join(lines) + "\n"
