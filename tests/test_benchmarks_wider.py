"""Bars that benchmarks/wider.py makes of 5-minute ones."""

import pandas as pd
import pytest

from benchmarks.wider import main, wider_bars
from kronos.training.corpus import Holdout, load_corpus


def bars(first, n):
    times = pd.date_range(first, periods=n, freq="5min")
    close = pd.Series(range(n), dtype=float) + 100.0
    return pd.DataFrame(
        {
            "timestamp": times,
            "open": close - 0.5,
            "high": close + 1.0,
            "low": close - 1.0,
            "close": close,
            "volume": 10.0,
        }
    )


def test_an_hour_of_a_session_in_new_york_begins_at_half_past():
    found = wider_bars(bars("2025-06-02 09:00", 90), "1h", in_new_york=True)
    opens = found["timestamp"].dt.strftime("%H:%M").tolist()
    assert opens == ["09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30"]
    first = found.iloc[0]
    assert first[["open", "high", "low", "close", "volume"]].tolist() == [
        105.5, 118.0, 105.0, 117.0, 120.0,
    ]  # fmt: skip
    assert found["volume"].iloc[-1] == 60.0  # the session ends after half an hour


def test_hours_elsewhere_are_full_ones_and_gaps_are_left_out():
    table = pd.concat([bars("2025-06-02 00:05", 12), bars("2025-06-02 03:00", 12)])
    found = wider_bars(table, "1h", in_new_york=False)
    assert found["timestamp"].dt.hour.tolist() == [0, 1, 3]


def test_a_quarter_of_an_hour_holds_three_bars():
    found = wider_bars(bars("2025-06-02 09:20", 80), "15m", in_new_york=True)
    assert found["timestamp"].iloc[[0, -1]].dt.strftime("%H:%M").tolist() == ["09:30", "15:45"]
    assert found["volume"].tolist() == [30.0] * 26


def test_only_held_out_families_are_written(tmp_path):
    held_out = next(name for name in map(str, range(99)) if name in Holdout())
    trained = next(name for name in map(str, range(99)) if name not in Holdout())
    rows = []
    for family in (held_out, trained):
        bars("2025-06-02 00:00", 12 * 400).to_parquet(tmp_path / f"{family}.5m.parquet")
        rows.append([f"{family}.5m.parquet", "5m", "crypto/5m", family, family, "UTC", "", ""])
    columns = ["file", "interval", "group", "family", "ticker", "clock", "zone", "leader"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "manifest.csv", index=False)
    out = tmp_path / "out"
    assert main([str(tmp_path), str(tmp_path / "manifest.csv"), str(out), "1h"]) == 0
    corpus = load_corpus(out, manifest=out / "manifest.csv", holdout=Holdout(), held_out=True)
    (series,) = corpus.series
    assert (series.interval, series.group, series.family) == ("1h", "crypto/1h", held_out)
    assert series.n_bars == pytest.approx(400, abs=1)
