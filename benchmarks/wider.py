"""Wider bars of held-out families that have 5-minute ones: few have files of 15 minutes or an hour.

    python -m benchmarks.wider make CORPUS_FOLDER MANIFEST OUT WIDTH
    kronos evaluate --data OUT --manifest OUT/manifest.csv --model MODEL --history 256 \\
        --windows 10 --per-interval 600 --scores FILE
    python -m benchmarks.wider table --ours FILE ... --theirs FILE ...

`make` reads the 5-minute files of the held-out families, of which no model here has read a bar, and
writes bars of 15m or 1h and their manifest. An hour holds the bars from one full hour to the next.
Shares and funds whose times have no zone are on the clock of New York: there an hour begins at half
past and bars lie within the regular session, as in the files of vendors. Bars without a trade are
left out. `table` joins the scores of several runs of `kronos evaluate`, and those of a rival in the
same order, and prints rows by file and interval: CRPS over the cone's, the median and the largest
ratio of a series, coverage, and the difference to the rival in CRPS of the cone, with 95% intervals
by a bootstrap of calendar weeks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from benchmarks.bootstrap import bootstrap
from kronos.training.corpus import Holdout
from kronos.training.files import read_bars

REGULAR = "09:30", "15:59"
WIDTHS = "15m", "1h"
_KEYS = ["series", "origin", "step"]
COLUMNS = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


def wider_bars(bars: pd.DataFrame, width: str, *, in_new_york: bool) -> pd.DataFrame:
    """Wider bars of 5-minute ones, with the times of their opens.

    Args:
        bars: Columns timestamp, open, high, low, close and volume.
        width: One of `WIDTHS`.
        in_new_york: Whether they are of a share or fund on the clock of New York.
    """
    bars = bars.set_index("timestamp")
    if in_new_york:
        bars = bars.between_time(*REGULAR)
    offset = pd.Timedelta(minutes=30 if in_new_york else 0)
    wider = bars.resample(width.replace("m", "min"), offset=offset).agg(COLUMNS)
    return wider.dropna(subset=["close"]).reset_index()


def make(folder: Path, manifest: Path, out: Path, width: str) -> None:
    """Write the files and their manifest."""
    rows = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    is_held_out = rows["family"].map(Holdout().__contains__)
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for row in rows[is_held_out & (rows["interval"] == "5m")].to_dict("records"):
        asset_class, name = row["group"].removesuffix("/5m"), Path(row["file"]).name
        in_new_york = asset_class in ("equity", "etf") and not row["clock"] + row["zone"]
        bars = wider_bars(read_bars(folder / row["file"]), width, in_new_york=in_new_york)
        name = name.replace(".5m", f".{width}")
        bars.to_parquet(out / name)
        group = f"{asset_class}/{width}"
        made.append(row | {"file": name, "interval": width, "group": group})
        print(f"{name}: {len(bars):,} bars")
    pd.DataFrame(made).to_csv(out / "manifest.csv", index=False)


def table(ours: list[Path], theirs: list[Path]) -> str:
    """The scores of every file, and of all together, by interval, in Markdown.

    Args:
        ours: Files of `kronos evaluate --scores`.
        theirs: Those of a rival on the same windows.

    Raises:
        ValueError: The windows are not the same.
    """
    parts = {}
    for mine, rival in zip(ours, theirs, strict=True):
        scores, others = pd.read_csv(mine), pd.read_csv(rival)
        if not scores[_KEYS].equals(others[_KEYS]):
            raise ValueError(f"{mine} and {rival} are not of the same windows")
        parts[mine.stem] = scores.assign(rival_crps=others["anchored_crps"])
    parts["all"] = pd.concat(parts.values(), ignore_index=True)
    lines = [
        "| scores | bars | windows | series | CRPS (95%) | median | worst | 80% band (95%) "
        "| 95% band (95%) | minus the rival's (95%) |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: | --- | --- | --- |",
    ]
    for name, scores in parts.items():
        for interval, rows in (*scores.groupby("interval"), ("all", scores)):
            lines.append(_line(name, str(interval), rows))
    return "\n".join(lines) + "\n"


def _line(name: str, interval: str, rows: pd.DataFrame) -> str:
    sums = rows[["anchored_crps", "cone_crps", "rival_crps"]].assign(
        block=pd.to_datetime(rows["origin"]).dt.strftime("%G-%V"),
        inside=rows["anchored_inside"].astype(float),
        inside95=rows["anchored_inside95"].astype(float),
        n=1.0,
    )
    found = bootstrap(
        sums,
        {
            "crps": lambda s: s["anchored_crps"] / s["cone_crps"],
            "inside": lambda s: s["inside"] / s["n"],
            "inside95": lambda s: s["inside95"] / s["n"],
            "rival": lambda s: (s["anchored_crps"] - s["rival_crps"]) / s["cone_crps"],
        },
    )
    per_series = rows.groupby(["interval", "series"])[["anchored_crps", "cone_crps"]].sum()
    ratios = per_series["anchored_crps"] / per_series["cone_crps"]
    cells = [
        name,
        interval,
        f"{len(rows) // int(rows['step'].max()):,}",
        f"{len(ratios)}",
        found["crps"].text(4),
        f"{ratios.median():.3f}",
        f"{ratios.max():.3f}",
        found["inside"].text(),
        found["inside95"].text(),
        found["rival"].text(4),
    ]
    return f"| {' | '.join(cells)} |"


def main(argv: list[str] | None = None) -> int:
    """Run a command, and return the exit code."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.wider",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make")
    for name in ("folder", "manifest", "out"):
        maker.add_argument(name, type=Path)
    maker.add_argument("width", choices=WIDTHS)
    joiner = commands.add_parser("table")
    joiner.add_argument("--ours", nargs="+", type=Path, required=True, metavar="FILE")
    joiner.add_argument("--theirs", nargs="+", type=Path, required=True, metavar="FILE")
    args = made.parse_args(argv)
    if args.command == "make":
        make(args.folder, args.manifest, args.out, args.width)
    else:
        print(table(args.ours, args.theirs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
