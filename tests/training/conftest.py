"""A small made-up corpus on disk and in memory."""

import numpy as np
import pandas as pd
import pytest

from kronos.training.corpus import load_corpus


def made_up_bars(n, *, seed, freq="1h", start="2020-01-01"):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, n)))
    opened = np.r_[close[0], close[:-1]]
    spread = np.abs(rng.normal(0, 0.002, n)) * close
    return pd.DataFrame(
        {
            "timestamp": pd.date_range(start, periods=n, freq=freq),
            "open": opened,
            "high": np.maximum(opened, close) + spread,
            "low": np.minimum(opened, close) - spread,
            "close": close,
            "volume": rng.integers(1, 1000, n).astype(float),
        }
    )


@pytest.fixture(scope="session")
def bars_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")
    for i in range(6):
        made_up_bars(400, seed=i).to_csv(folder / f"series{i}.csv", index=False)
    (folder / "daily").mkdir()
    made_up_bars(300, seed=9, freq="1D").to_parquet(folder / "daily/day.parquet")
    return folder


@pytest.fixture(scope="session")
def corpus(bars_folder):
    return load_corpus(bars_folder)
