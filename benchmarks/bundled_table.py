"""Prints the evaluation table of the bundled checkpoint's model card.

    python benchmarks/bundled_table.py CORPUS_FOLDER [MANIFEST] [OPTION ...]

Scores the bundled checkpoint on the families it was not trained on (see
`kronos.training.corpus.Holdout`), against a driftless random walk with EWMA volatility: at least
3 windows per series and 200 per interval, 24 steps, 100 paths at T = 1 and top_p = 1. Further
options are those of `kronos evaluate`, such as --windows 5 or --since 2025-10-01. The manifest is
made by corpus_manifest.py.
"""

from __future__ import annotations

import platform
import sys
import time

import torch

from benchmarks.revision import revision
from kronos.cli import main
from kronos.models import load


def run(arguments: list[str]) -> int:
    folder, *rest = arguments
    manifest = []
    if rest and not rest[0].startswith("-"):
        manifest, rest = ["--manifest", rest[0]], rest[1:]
    started = time.perf_counter()
    code = main(["evaluate", "--data", folder, *manifest, "--model", "bundled", *rest])
    seconds = time.perf_counter() - started
    print(
        f"\nBundled checkpoint {load('bundled').revision}, code {revision()}, "
        f"torch {torch.__version__} on {platform.machine()} with {torch.get_num_threads()} "
        f"threads, {seconds:.0f} s with reading the corpus."
    )
    return code


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1:]))
