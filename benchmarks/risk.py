"""Do corridors hold whole paths, and are touch probabilities right? Held-out windows.

    python -m benchmarks.risk CORPUS_FOLDER MANIFEST [--out TABLE.md]

Windows are drawn from the held-out families as `kronos evaluate` draws them. Corridor: the share
of windows whose actual closes all lie inside the 80% corridor (`kronos.risk.corridor`), and inside
the pointwise 80% band. Touches: barriers at .5, 1, 1.5 and 2 sigmas of the horizon above and below
the last close; the Brier score of the share of paths whose high or low reaches one, for the bundled
model, the EWMA cone's paths and GARCH-t, on the same windows. Differences below 0 say that the
bundled model is better; 95% intervals are a bootstrap of the calendar weeks of the origins.

Correction: a logistic curve through what the earlier half of the windows said and what came is
applied to the later half, where every window opens after all of the earlier ones have ended.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from benchmarks.bootstrap import bootstrap
from benchmarks.revision import revision
from kronos.cli.evaluate import sampler
from kronos.context import CLOSE, PRICES, Context
from kronos.forecast import SamplingParameters
from kronos.risk import corridor
from kronos.serving.service import LocalService
from kronos.training.corpus import Corpus, Holdout, load_corpus
from kronos.training.held_out import CONE_BARS, EvaluationPlan, Window, draw_windows

MODELS = {"bundled": "bundled", "ewma": "EWMA cone", "garch": "GARCH-t"}
BARRIERS = (0.5, 1.0, 1.5, 2.0)
_HIGH, _LOW = 1, 2


def measured(
    corpus: Corpus, windows: list[Window], model: str, service: LocalService, plan: EvaluationPlan
) -> pd.DataFrame:
    """One row per window: whether corridor and band held; each barrier, as said and as it came."""
    facts = service.facts(model)
    sample = sampler(service, facts)
    drawn = SamplingParameters(sample_count=plan.sample_count, seed=plan.seed)
    rows = []
    for first in range(0, len(windows), plan.batch):
        chunk = windows[first : first + plan.batch]
        contexts, futures = [], []
        for window in chunk:
            n = facts.context_length(CONE_BARS, plan.horizon)
            read = slice(max(window.origin - n, window.series.start), window.origin)
            contexts.append(
                Context(corpus.values[read].astype(float), corpus.stamps[read].astype(np.int64))
            )
            ahead = slice(window.origin, window.origin + plan.horizon)
            futures.append(corpus.stamps[ahead].astype(np.int64))
        paths, _ = sample(contexts, futures, drawn)
        for window, fan in zip(chunk, paths, strict=True):
            rows.append(_row(corpus, window, fan, plan.horizon))
    return pd.DataFrame(rows)


def _row(corpus: Corpus, window: Window, fan: np.ndarray, horizon: int) -> dict[str, object]:
    last = float(corpus.values[window.origin - 1, CLOSE])
    bars = corpus.values[window.origin : window.origin + horizon].astype(float)
    fan = np.maximum(fan[..., PRICES], 1e-3 * last)
    closes, highs, lows = fan[..., CLOSE], fan.max(axis=-1), fan.min(axis=-1)
    low, high = corridor(closes)
    band = np.quantile(closes, (0.1, 0.9), axis=0)
    actual = bars[:, CLOSE]
    row: dict[str, object] = {
        "interval": window.series.interval,
        "group": window.series.group,
        "opens": corpus.times[window.origin],
        "ends": corpus.times[window.origin + horizon - 1],
        "block": pd.Timestamp(corpus.times[window.origin]).strftime("%G-%V"),
        "corridor": float(((actual >= low) & (actual <= high)).all()),
        "band": float(((actual >= band[0]) & (actual <= band[1])).all()),
        "n": 1.0,
    }
    for multiple in BARRIERS:
        for sign in (-1.0, 1.0):
            level = last * np.exp(sign * multiple * window.sigma * np.sqrt(horizon))
            if sign > 0:
                said = (highs >= level).any(axis=1).mean()
                came = (bars[:, _HIGH] >= level).any()
            else:
                said = (lows <= level).any(axis=1).mean()
                came = (bars[:, _LOW] <= level).any()
            row[f"said {sign * multiple:g}"] = float(said)
            row[f"came {sign * multiple:g}"] = float(came)
    return row


def corridor_table(found: dict[str, pd.DataFrame]) -> str:
    lines = [
        "| bars | windows | " + " | ".join(f"{MODELS[m]}: corridor" for m in found)
        + " | bundled: pointwise band |",
        "| --- | ---: " + "| ---: " * (len(found) + 1) + "|",
    ]  # fmt: skip
    for interval in ("all", *sorted(found["bundled"]["interval"].unique())):
        cells = []
        for model, column in (*((m, "corridor") for m in found), ("bundled", "band")):
            table = found[model]
            part = table if interval == "all" else table[table["interval"] == interval]
            share = bootstrap(
                part[["block", column, "n"]], {"share": lambda s, c=column: s[c] / s["n"]}
            )["share"]
            cells.append(share.text(3))
        lines.append(f"| {interval} | {len(part):,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def brier(table: pd.DataFrame, multiples: Sequence[float]) -> pd.Series:
    """(windows,) mean Brier score of the barriers of some distances, on both sides."""
    places = [sign * multiple for multiple in multiples for sign in (-1.0, 1.0)]
    losses = [(table[f"said {at:g}"] - table[f"came {at:g}"]) ** 2 for at in places]
    return sum(losses[1:], losses[0]) / len(losses)


def touch_table(found: dict[str, pd.DataFrame]) -> str:
    rivals = [model for model in found if model != "bundled"]
    lines = [
        "| barrier, sigmas | bundled | "
        + " | ".join(f"bundled - {MODELS[m]} (95%)" for m in rivals) + " |",
        "| --- " + "| ---: " * (1 + len(rivals)) + "|",
    ]  # fmt: skip
    ours = found["bundled"]
    rows = {"all": BARRIERS} | {f"{x:g}": (x,) for x in BARRIERS}
    for name, multiples in rows.items():
        own = brier(ours, multiples)
        cells = [f"{own.mean():.4f}"]
        for rival in rivals:
            both = pd.DataFrame(
                {
                    "block": ours["block"],
                    "gap": own - brier(found[rival], multiples),
                    "n": 1.0,
                }
            )
            cells.append(bootstrap(both, {"gap": lambda s: s["gap"] / s["n"]})["gap"].text(4))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def correction_table(table: pd.DataFrame, n_paths: int) -> str:
    """Would touch probabilities be better, had the record of earlier windows corrected them?"""
    middle = table["opens"].median()
    past, later = table[table["ends"] < middle], table[table["opens"] >= middle]
    places = [sign * multiple for multiple in BARRIERS for sign in (-1.0, 1.0)]

    def log_odds(part: pd.DataFrame) -> np.ndarray:
        said = part[[f"said {at:g}" for at in places]].to_numpy()
        return logit(np.clip(said, 0.5 / n_paths, 1 - 0.5 / n_paths))

    odds, came = log_odds(past), past[[f"came {at:g}" for at in places]].to_numpy(dtype=float)

    def loss(line: np.ndarray) -> float:
        fitted = line[0] + line[1] * odds
        return -float(np.mean(came * log_expit(fitted) + (1 - came) * log_expit(-fitted)))

    shift, slope = minimize(loss, (0.0, 1.0)).x
    corrected = later.copy()
    corrected[[f"said {at:g}" for at in places]] = expit(shift + slope * log_odds(later))
    gap = brier(corrected, BARRIERS) - brier(later, BARRIERS)
    both = pd.DataFrame({"block": later["block"], "gap": gap, "n": 1.0})
    change = bootstrap(both, {"gap": lambda s: s["gap"] / s["n"]})["gap"].text(4)
    return "\n".join(
        [
            "| windows of the past | later | shift | slope | Brier score as said | corrected | "
            "corrected - said (95%) |",
            "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            f"| {len(past):,} | {len(later):,} | {shift:.2f} | {slope:.2f} "
            f"| {brier(later, BARRIERS).mean():.4f} | {brier(corrected, BARRIERS).mean():.4f} "
            f"| {change} |",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.risk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("corpus", help="folder of candle files")
    made.add_argument("manifest", help="made by corpus_manifest.py")
    made.add_argument("--per-interval", type=int, default=200, help="windows of each (200)")
    made.add_argument("--paths", type=int, default=200, help="paths of a window (200)")
    made.add_argument("--seed", type=int, default=0, help="of windows and paths (0)")
    made.add_argument("--out", type=Path, metavar="FILE", help="write the tables here as well")
    options = made.parse_args(arguments)
    started = time.perf_counter()
    corpus = load_corpus(
        options.corpus, manifest=options.manifest, holdout=Holdout(), held_out=True, min_bars=280
    )
    plan = EvaluationPlan(
        lookback=CONE_BARS, windows_per_series=1, windows_per_interval=options.per_interval,
        sample_count=options.paths, seed=options.seed,
    )  # fmt: skip
    windows = draw_windows(corpus, plan)
    found = {}
    with closing(LocalService(device="cpu")) as service:
        for model in MODELS:
            print(f"{model}: {len(windows)} windows ...", file=sys.stderr, flush=True)
            found[model] = measured(corpus, windows, model, service, plan)
        bundled = service.facts("bundled").revision[:8]
    foot = (
        f"{len(windows):,} windows, {plan.horizon} bars, {options.paths} paths, no events read. "
        f"Bundled model {bundled}, code {revision()}, {platform.machine()}, "
        f"{time.perf_counter() - started:.0f} s."
    )
    tables = [
        corridor_table(found),
        touch_table(found),
        correction_table(found["bundled"], options.paths),
    ]
    text = "\n\n".join([*tables, foot]) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
