"""Makes the record of the model card that the Track record page shows before it has one of its own.

    python -m benchmarks.card_record CORPUS_FOLDER MANIFEST [--events FILE ...] [OPTION ...]

Scores the bundled checkpoint as `python -m benchmarks.bundled_table` does, on at least 3 windows of
each held-out series and 200 of each interval, and writes the scores of its fans and of the cone to
assets/bundled/record.npz: no bar, no price, no name of an instrument. The file names the revision
of the weights; run this again whenever the weights change. Options are those of `kronos evaluate`
for the corpus, --windows, --per-interval, --paths and --seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from benchmarks.revision import revision
from kronos.cli.bars import add_corpus_options, add_events_option, corpus_config
from kronos.cli.evaluate import sampler
from kronos.cli.terminal import ProgressLine
from kronos.evaluation.card import pack_card
from kronos.evaluation.evidence import quantile_gains
from kronos.evaluation.scores import LEVELS, Z80, qlike, score_cone, score_steps
from kronos.serving.service import service
from kronos.system import asset_path
from kronos.training.corpus import CorpusEvents, load_corpus
from kronos.training.held_out import CONE_BARS, EvaluationPlan, evaluate

LARGEST = 300_000
"""Bytes that the file may have."""


def more_scores(
    times: np.ndarray, actual: np.ndarray, paths: np.ndarray, scale: np.ndarray
) -> dict[str, np.ndarray]:
    """The columns of `pack_card` for one window; see `kronos.training.held_out.MoreScores`."""
    levels = np.array(LEVELS)
    quantiles = np.quantile(paths, levels, axis=0).T
    cone_quantiles = np.outer(scale, ndtri(levels))
    ours, cone = score_steps(actual, quantiles, levels, paths), score_cone(actual, scale)
    gain, bound = quantile_gains(actual, quantiles, cone_quantiles, levels)
    z = actual / scale
    everywhere = np.ones(len(actual))
    realised = np.square(np.diff(actual, prepend=0.0)).sum() / scale[-1] ** 2
    cone_qlike = realised - np.log(realised) - 1.0 if realised > 0 else np.nan
    return {
        "time": times,
        "gain": gain / scale,
        "bound": bound / scale,
        "bundled_crps": ours.crps / scale,
        "bundled_log_score": ours.log_score - np.log(scale),
        "bundled_inside": ours.inside,
        "bundled_width": ours.width / scale,
        "bundled_pit": ours.pit,
        "bundled_qlike": qlike(actual, paths) * everywhere,
        "ewma_crps": cone.crps,
        "ewma_log_score": 0.5 * z**2 + 0.5 * np.log(2 * np.pi),
        "ewma_inside": cone.inside,
        "ewma_width": np.full(len(actual), 2 * Z80),
        "ewma_pit": ndtr(z),
        "ewma_qlike": cone_qlike * everywhere,
    }


def main(arguments: list[str]) -> int:
    """Score, write, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_corpus_options(parser)
    add_events_option(parser, "give the model the rows of events")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--per-interval", type=int, default=200)
    parser.add_argument("--paths", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=str(asset_path("bundled", "record.npz")))
    folder, manifest, *rest = arguments
    args = parser.parse_args(["--data", folder, "--manifest", manifest, *rest])
    started = time.perf_counter()
    facts = service().facts("bundled")
    plan = EvaluationPlan(
        lookback=facts.context_length(sys.maxsize, 24),
        windows_per_series=args.windows,
        windows_per_interval=args.per_interval,
        sample_count=args.paths,
        seed=args.seed,
        history=CONE_BARS,
    )
    data = corpus_config(args)
    corpus = load_corpus(
        data.folder,
        manifest=data.manifest,
        holdout=data.holdout if data.holdout.share else None,
        held_out=True,
        on_calendars=bool(data.events),
    )
    events = CorpusEvents(corpus, data.events, data.leaders()) if data.events else None
    alignment = next(iter(facts.event_alignments), None) if data.events else None
    with ProgressLine("scoring windows") as progress:
        scores = evaluate(
            sampler(service(), facts), corpus, plan, progress, events=events,
            alignment=alignment, more=more_scores,
        )  # fmt: skip
    about = {
        "revision": facts.revision,
        "n_paths": args.paths,
        "seed": args.seed,
        "code": revision(),
        "made_at": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
    }
    packed = pack_card(scores, about)
    if len(packed) > LARGEST:
        print(f"The record has {len(packed):,} bytes, above {LARGEST:,}: score fewer windows.")
        return 1
    Path(args.out).write_bytes(packed)
    ratio = scores["bundled_crps"].mean() / scores["ewma_crps"].mean()
    print(
        f"{args.out}: {len(packed):,} bytes, {len(scores) // plan.horizon:,} windows of "
        f"{scores['series'].nunique():,} series, CRPS over the cone's {ratio:.4f}, bundled "
        f"{facts.revision}, {time.perf_counter() - started:.0f} s."
    )
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
