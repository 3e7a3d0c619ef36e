"""Wider bars of held-out families that have 5-minute ones: few have files of 15 minutes or an hour.

    python -m benchmarks.wider CORPUS_FOLDER MANIFEST OUT WIDTH
    kronos evaluate --data OUT --manifest OUT/manifest.csv --history 256 --windows 10 \\
        --per-interval 600

Reads the 5-minute files of the held-out families, of which no model here has read a bar, and writes
bars of 15m or 1h and their manifest. An hour holds the bars from one full hour to the next. Shares
and funds whose times have no zone are on the clock of New York: there an hour begins at half past
and bars lie within the regular session, as in the files of vendors. Bars without a trade are left
out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from kronos.training.corpus import Holdout
from kronos.training.files import read_bars

REGULAR = "09:30", "15:59"
WIDTHS = "15m", "1h"
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


def main(arguments: list[str]) -> int:
    """Write the files and their manifest, and return the exit code."""
    folder, manifest, out = map(Path, arguments[:3])
    width = arguments[3]
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
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[4] not in WIDTHS:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
