"""Runs Qlib's TopkDropoutStrategy on bars and scores in a folder; by a Python that has pyqlib.

    python qlib_run.py FOLDER

FOLDER holds bars.npz with names, days, and (D, I) opens, closes, volumes and scores, and gets
qlib.json with the account's value and the holdings of every day. pyqlib is imported by name,
because it lives in an environment of its own and is no dependency of this project.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd


def write_provider(folder: Path, given) -> None:
    """The bars as a Qlib data folder: float32 numbers, the first of them the row they begin at."""
    days, names = given["days"], given["names"]
    (folder / "calendars").mkdir(parents=True)
    (folder / "instruments").mkdir()
    (folder / "calendars" / "day.txt").write_text("".join(f"{day}\n" for day in days))
    rows = (f"{name}\t{days[0]}\t{days[-1]}\n" for name in names)
    (folder / "instruments" / "all.txt").write_text("".join(rows))
    closes = given["closes"]
    change = np.vstack([np.zeros(len(names)), closes[1:] / closes[:-1] - 1.0])
    fields = {"open": given["opens"], "close": closes, "volume": given["volumes"]}
    fields |= {"change": change, "factor": np.ones_like(closes)}
    for i, name in enumerate(names):
        home = folder / "features" / str(name).lower()
        home.mkdir(parents=True)
        for field, values in fields.items():
            np.concatenate([[0.0], values[:, i]]).astype("<f4").tofile(home / f"{field}.day.bin")


def main(folder: Path) -> None:
    given = np.load(folder / "bars.npz")
    settings = json.loads((folder / "settings.json").read_text())
    write_provider(folder / "provider", given)
    import_module("qlib").init(provider_uri=str(folder / "provider"), region="us", kernels=1)
    days = pd.DatetimeIndex(given["days"])
    table = pd.DataFrame(given["scores"], days, [str(name) for name in given["names"]])
    scores = table.rename_axis("datetime").rename_axis("instrument", axis=1).stack()
    strategy = import_module("qlib.contrib.strategy").TopkDropoutStrategy(
        signal=scores, topk=settings["top_k"], n_drop=settings["n_drop"], risk_degree=1.0
    )
    report, positions = import_module("qlib.contrib.evaluate").backtest_daily(
        start_time=days[1],
        end_time=days[-2],
        strategy=strategy,
        account=settings["capital"],
        benchmark=pd.Series(0.0, days),
        exchange_kwargs={
            "freq": "day",
            "deal_price": "open",
            "open_cost": 0.0,
            "close_cost": 0.0,
            "min_cost": 0.0,
            "limit_threshold": None,
            "trade_unit": None,
        },
    )
    found = {
        "days": [f"{day:%Y-%m-%d}" for day in report.index],
        "value": report["account"].tolist(),
        "held": [sorted(positions[day].get_stock_list()) for day in report.index],
    }
    (folder / "qlib.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
