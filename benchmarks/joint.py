"""Do joint paths say what happens together? Baskets of held-out daily bars.

    python -m benchmarks.joint CORPUS_FOLDER MANIFEST [--out TABLE.md]

Baskets are drawn from the held-out families that trade on one exchange (see
`kronos.training.corpus.Holdout`). The bundled model forecasts every member from the same bars; the
paths are then taken as independent (shuffled), joined at the last step alone (the Schaake
shuffle), or joined as `kronos.joint` does. Nothing is fitted to the outcomes.

Ten bars ahead, from origins ten bars apart: energy score of the members' log-returns at three
steps together, variogram score (p = .5) at the last, both over those of independent paths with a
95% interval from a bootstrap of calendar weeks, and the exceedances of the value at risk of equal
weights. One bar ahead, from every bar: the same exceedances, with the tests of Kupiec and
Christoffersen by basket.

First a simulation, by which the weights of the steps were chosen: two walks with a correlation of
.8, and how much of it the joint paths have at each step.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.bootstrap import bootstrap
from benchmarks.revision import revision
from kronos import models
from kronos.candles import Candles, shared_times
from kronos.evaluation.exceedances import exceedance_tests
from kronos.evaluation.scores import energy_score, variogram_score
from kronos.forecast import COLUMNS, Forecast
from kronos.forecasters.kronos import KronosPredictor
from kronos.joint import MATCHED_STEPS, Member, join, match
from kronos.training.corpus import Corpus, Holdout, load_corpus

KINDS = {
    "independent": {},
    "last step alone": {1.0: 1.0},
    "all steps alike": {i / 23: 1.0 for i in range(24)},
    "joint": dict(MATCHED_STEPS),
}
SHARES = (0.05, 0.01)
HORIZON = 10
_STEPS = (0, 4, 9)
CODES = ("XNYS", "XSHG")
MOST_READ = 1200  # bars of an instrument


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of the command."""

    baskets: int = 4
    size: int = 5
    days: int = 250
    paths: int = 200
    seed: int = 0


def simulated_table(paths: int = 300, horizon: int = 24, draws: int = 6) -> str:
    """Correlation of the joint paths of two walks, by step."""
    steps = (0, 5, 11, 17, 23)
    rows = []
    for kind, weights in KINDS.items():
        found = []
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            common = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], (paths, horizon))
            futures = common.cumsum(axis=1)
            walks = []
            for k in range(2):
                walk = rng.normal(size=(paths, horizon)).cumsum(axis=1)
                walks.append(walk[match(walk, futures[:, :, k], rng, weights)])
            found.append([np.corrcoef(walks[0][:, s], walks[1][:, s])[0, 1] for s in steps])
        rows.append(f"| {kind} | " + " | ".join(f"{x:.2f}" for x in np.mean(found, axis=0)) + " |")
    head = "| paths | " + " | ".join(f"step {s + 1}" for s in steps) + " |"
    return "\n".join([head, "| --- " + "| ---: " * len(steps) + "|", *rows])


def baskets(corpus: Corpus, plan: Plan) -> list[dict[str, Candles]]:
    """Baskets of each exchange, from the series that last the longest there."""
    found = []
    rng = np.random.default_rng([plan.seed, 5])
    for code in CODES:
        usable = [
            s for s in corpus.series
            if s.interval == "1d" and s.calendar == code and s.n_bars >= MOST_READ
        ]  # fmt: skip
        latest = max(corpus.times[s.stop - 1] for s in usable)
        month = pd.Timedelta(days=30).value
        usable = [s for s in usable if corpus.times[s.stop - 1] > latest - month]
        members = rng.permutation(len(usable))[: plan.baskets * plan.size]
        for group in np.array_split(members, max(1, len(members) // plan.size)):
            chosen = {}
            for i in group:
                series = usable[i]
                rows = slice(series.stop - MOST_READ, series.stop)
                frame = pd.DataFrame(
                    corpus.values[rows].astype(float),
                    pd.DatetimeIndex(pd.to_datetime(corpus.times[rows], utc=True)),
                    list(COLUMNS),
                )
                chosen[series.symbol] = Candles.from_frame(
                    frame, symbol=series.symbol, interval="1d", zone=series.zone, calendar=code
                )
            found.append(chosen)
    return found


def forecasts(
    predictor: KronosPredictor, candles: Mapping[str, Candles], plan: Plan, horizon: int
) -> dict[str, Forecast]:
    """The forecast of every member from its last bar."""
    return {
        name: predictor.forecast(
            each.frame,
            x_timestamp=each.local_index,
            y_timestamp=each.future(horizon).tz_convert(each.zone),
            sample_count=plan.paths,
            seed=plan.seed,
        )
        for name, each in candles.items()
    }


def outcomes(
    predictor: KronosPredictor, basket: Mapping[str, Candles], plan: Plan, horizon: int
) -> pd.DataFrame:
    """One row per origin and kind: scores, and whether losses exceeded the value at risk."""
    dates = sorted(set.intersection(*(set(_dates(each)) for each in basket.values())))
    rows = []
    for date in dates[-plan.days - horizon : -horizon : horizon]:
        origin = {name: date.tz_localize(each.zone) for name, each in basket.items()}
        known = {
            name: each.at_origin(origin[name], n_actuals=0).history for name, each in basket.items()
        }
        alone = forecasts(predictor, known, plan, horizon)
        members = {name: Member.of(known[name], alone[name]) for name in known}
        for kind, weights in KINDS.items():
            joint = join(members, seed=plan.seed, weights=weights)
            actual = _growth(basket, origin, joint.times)
            if actual is None:
                continue
            growth = joint.growth
            steps = [step for step in _STEPS if step < len(joint.times)]
            equal = 1.0 / len(basket)
            value = 1.0 + ((growth[:, -1] - 1.0) * equal).sum(axis=1)
            final = 1.0 + ((actual[-1] - 1.0) * equal).sum()
            paths, truth = np.log(growth), np.log(actual)
            row = {
                "kind": kind,
                "date": date,
                "energy": energy_score(
                    truth[steps].ravel(), paths[:, steps].reshape(len(paths), -1)
                ),
                "variogram": variogram_score(truth[-1], paths[:, -1]),
            }
            for share in SHARES:
                row[f"exceeded {share}"] = bool(final < np.quantile(value, share))
            rows.append(row)
    return pd.DataFrame(rows)


def _dates(candles: Candles) -> pd.DatetimeIndex:
    return shared_times(candles.local_index, candles.interval)


def _growth(
    basket: Mapping[str, Candles], origin: Mapping[str, pd.Timestamp], times: pd.DatetimeIndex
) -> np.ndarray | None:
    """(S, K) true closes over those at the origin; None where a member has no bar."""
    columns = []
    for name, each in basket.items():
        closes = each.bars_at(times)["close"].to_numpy()
        last = each.frame["close"].iloc[each.position_of(origin[name])]
        columns.append(closes / last)
    growth = np.stack(columns, axis=1)
    return None if np.isnan(growth).any() else growth


def scores_table(table: pd.DataFrame) -> str:
    """Scores over those of independent paths, ten bars ahead."""
    keys = ["basket", "date"]
    base = table[table["kind"] == "independent"].set_index(keys)
    lines = ["| paths | windows | energy score | variogram score |", "| --- | ---: | ---: | ---: |"]
    for kind in KINDS:
        part = table[table["kind"] == kind].set_index(keys)
        both = pd.DataFrame(
            {
                "block": part.index.get_level_values("date").strftime("%G-%V"),
                **{f"{name} {who}": data[name].loc[part.index].to_numpy()
                   for name in ("energy", "variogram")
                   for who, data in (("ours", part), ("base", base))},
            }
        )  # fmt: skip
        found = bootstrap(
            both,
            {
                name: lambda sums, name=name: sums[f"{name} ours"] / sums[f"{name} base"]
                for name in ("energy", "variogram")
            },
        )
        lines.append(
            f"| {kind} | {len(part):,} | {found['energy'].text()} | {found['variogram'].text()} |"
        )
    return "\n".join(lines)


def exceedances_table(table: pd.DataFrame) -> str:
    """How often losses of equal weights exceeded the value at risk, and the tests by basket."""
    lines = [
        "| paths | forecasts | beyond VaR 95% (95% interval) | beyond VaR 99% "
        "| baskets refused by Kupiec, 95% and 99% | by Christoffersen, 95% |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind in KINDS:
        part = table[table["kind"] == kind].sort_values("date")
        both = part.assign(block=part["date"].dt.strftime("%G-%V"), n=1.0)
        numbers = both[["block", "n", *(f"exceeded {share}" for share in SHARES)]]
        found = bootstrap(
            numbers,
            {
                str(share): lambda sums, share=share: sums[f"exceeded {share}"] / sums["n"]
                for share in SHARES
            },
        )
        groups = [group for _, group in part.groupby("basket")]
        tests = {
            share: [
                exceedance_tests(group[f"exceeded {share}"].to_numpy(), share) for group in groups
            ]
            for share in SHARES
        }
        kupiec = [sum(test.p_count < 0.05 for test in tests[share]) for share in SHARES]
        christoffersen = sum(test.p_both < 0.05 for test in tests[SHARES[0]])
        lines.append(
            f"| {kind} | {len(part):,} | {found['0.05'].text()} | {found['0.01'].text()} "
            f"| {kupiec[0]} and {kupiec[1]} of {len(groups)} "
            f"| {christoffersen} of {len(groups)} |"
        )
    return "\n".join(lines)


def report(folder: str, manifest: str, plan: Plan) -> str:
    """All tables, as Markdown."""
    started = time.perf_counter()
    corpus = load_corpus(
        folder, manifest=manifest, holdout=Holdout(), held_out=True, on_calendars=True
    )
    predictor = models.load("bundled", device="cpu")
    drawn = baskets(corpus, plan)
    parts = []
    for horizon, title in ((HORIZON, "Ten bars ahead"), (1, "One bar ahead")):
        tables = []
        for i, basket in enumerate(drawn):
            print(f"{title}: basket {i + 1} of {len(drawn)} ...", file=sys.stderr, flush=True)
            tables.append(outcomes(predictor, basket, plan, horizon).assign(basket=i))
        table = pd.concat(tables, ignore_index=True)
        span = f"{table['date'].min():%Y-%m-%d} to {table['date'].max():%Y-%m-%d}"
        parts += [f"{title}, origins from {span}:", scores_table(table), exceedances_table(table)]
    names = "; ".join(" ".join(basket) for basket in drawn)
    foot = (
        f"Baskets of {plan.size}: {names}. {plan.paths} paths. Bundled model "
        f"{predictor.facts.revision[:8]}, code {revision()}, {platform.machine()}, "
        f"{time.perf_counter() - started:.0f} s."
    )
    return "\n\n".join(["Two simulated walks:", simulated_table(), *parts, foot]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.joint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("corpus", help="folder of candle files")
    made.add_argument("manifest", help="made by corpus_manifest.py")
    usual = Plan()
    for name, text in (
        ("baskets", "baskets of each exchange"),
        ("size", "instruments of a basket"),
        ("days", "last common bars of a basket that are forecast"),
        ("paths", "paths of a forecast"),
        ("seed", "seed of baskets and paths"),
    ):
        value = getattr(usual, name)
        made.add_argument(f"--{name}", type=int, default=value, help=f"{text} ({value})")
    made.add_argument("--out", type=Path, metavar="FILE", help="write the tables here as well")
    options = made.parse_args(arguments)
    plan = Plan(options.baskets, options.size, options.days, options.paths, options.seed)
    text = report(options.corpus, options.manifest, plan)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
