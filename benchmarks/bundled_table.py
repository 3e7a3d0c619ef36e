"""Prints the evaluation tables of the bundled checkpoint's model card.

    python -m benchmarks.bundled_table CORPUS_FOLDER MANIFEST [OPTION ...]

Scores the bundled checkpoint on the families it was not trained on (see
`kronos.training.corpus.Holdout`), against a driftless random walk with EWMA volatility: at least
3 windows per series and 200 per interval, 24 steps, 100 paths at T = 1 and top_p = 1. GARCH-t and
filtered historical simulation are scored on the same windows; a negative difference says that the
bundled model is better. Intervals are a bootstrap of the calendar weeks of the origins. Options
are those of `kronos evaluate`, such as --events, --windows 5 or --since 2025-10-01. The manifest
is made by corpus_manifest.py.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from benchmarks.bootstrap import bootstrap
from benchmarks.revision import revision
from kronos.cli import main
from kronos.models import load
from kronos.training.held_out import CONE_BARS

RIVALS = {"garch": "GARCH-t", "fhs": "filtered historical simulation"}
_CRPS = "anchored_crps"


def run(arguments: list[str]) -> int:
    """Score, print, and return the exit code."""
    folder, manifest, *rest = arguments
    started = time.perf_counter()
    scores = {}
    with tempfile.TemporaryDirectory() as scratch:
        for model in ("bundled", *RIVALS):
            options = ["--data", folder, "--manifest", manifest, "--model", model, *rest]
            options += ["--history", str(CONE_BARS)]
            table, file = Path(scratch, "table.md"), Path(scratch, f"{model}.csv")
            code = main(["evaluate", *options, "-o", str(table), "--scores", str(file)])
            if code:
                return code
            scores[model] = pd.read_csv(file)
            if model == "bundled":
                print(table.read_text(encoding="utf-8"))
    print(rivals_text(scores))
    seconds = time.perf_counter() - started
    print(
        f"Bundled checkpoint {load('bundled').revision}, code {revision()}, "
        f"torch {torch.__version__} on {platform.machine()} with {torch.get_num_threads()} "
        f"threads, {seconds:.0f} s with reading the corpus."
    )
    return 0


def rivals_text(scores: dict[str, pd.DataFrame]) -> str:
    """The bundled model against each rival, pooled and by interval, in Markdown.

    Args:
        scores: By model, the table of `kronos.training.held_out.evaluate` on the same windows.

    Raises:
        ValueError: The windows are not the same.
    """
    ours = scores["bundled"]
    keys = ["series", "origin", "step"]
    lines = [
        "| bars | windows | rival | rival / cone | bundled - rival, in CRPS of the cone (95%) |",
        "| --- | ---: | --- | ---: | ---: |",
    ]
    for model, title in RIVALS.items():
        if not ours[keys].equals(scores[model][keys]):
            raise ValueError(f"bundled and {model} were not scored on the same windows")
        both = pd.DataFrame(
            {
                "interval": ours["interval"],
                "block": pd.to_datetime(ours["origin"]).dt.strftime("%G-%V"),
                "ours": ours[_CRPS],
                "theirs": scores[model][_CRPS],
                "cone": ours["cone_crps"],
            }
        )
        for name, part in (("all", both), *both.groupby("interval")):
            figures = {
                "rival": lambda sums: sums["theirs"] / sums["cone"],
                "difference": lambda sums: (sums["ours"] - sums["theirs"]) / sums["cone"],
            }
            found = bootstrap(part, figures)
            n = len(part) // int(ours["step"].max())
            lines.append(
                f"| {name} | {n:,} | {title} | {found['rival'].value:.4f} "
                f"| {found['difference'].text(4)} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1:]))
