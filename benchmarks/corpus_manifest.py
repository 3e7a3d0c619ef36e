"""Writes a training manifest from a corpus index.

    python benchmarks/corpus_manifest.py INDEX.parquet manifest.csv

The index must have the columns file, market, asset_class, freq, family, symbol and tz, and may
have instrument, which names the leading markets. Times whose
clock is UTC are moved to the exchange's zone, because the application reads calendar fields
there.
"""

import sys

import pandas as pd

EXCHANGE_ZONES = {
    "US": "America/New_York",
    "JP": "Asia/Tokyo",
    "TW": "Asia/Taipei",
    "CN": "Asia/Shanghai",
    "CNF": "Asia/Shanghai",
}


LEADERS = {
    ("CRYPTO.BTCUSDT", "1h"): "btc",
    ("CRYPTO.BTCUSDT.BYBIT", "1h"): "btc",
    ("US.SPY", "1h"): "spy",
    ("US.VIX", "1d"): "vix",
}
"""Leading markets, by instrument and width of a bar. No hourly dollar index is in the corpus."""


def manifest(index: pd.DataFrame) -> pd.DataFrame:
    """One row a file: file, interval, group, family, ticker, clock, zone, leader."""
    on_utc = index["tz"].str.startswith("UTC") & (index["freq"] != "1d")
    names = index.get("instrument", index["file"])
    return pd.DataFrame(
        {
            "file": index["file"],
            "interval": index["freq"],
            "group": index["asset_class"] + "/" + index["freq"],
            "family": index["family"],
            "ticker": index["symbol"],
            "clock": on_utc.map({True: "UTC", False: ""}),
            "zone": index["market"].map(EXCHANGE_ZONES).where(on_utc).fillna(""),
            "leader": [LEADERS.get(key, "") for key in zip(names, index["freq"], strict=True)],
        }
    )


if __name__ == "__main__":
    manifest(pd.read_parquet(sys.argv[1])).to_csv(sys.argv[2], index=False)
