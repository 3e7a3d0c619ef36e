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
    assert main(["make", str(tmp_path), str(tmp_path / "manifest.csv"), str(out), "1h"]) == 0
    corpus = load_corpus(out, manifest=out / "manifest.csv", holdout=Holdout(), held_out=True)
    (series,) = corpus.series
    assert (series.interval, series.group, series.family) == ("1h", "crypto/1h", held_out)
    assert series.n_bars == pytest.approx(400, abs=1)


def scores(file, interval, crps):
    n = 10 * 24
    rows = pd.DataFrame(
        {
            "series": "one",
            "interval": interval,
            "origin": [*pd.date_range("2025-06-02", periods=10, freq="7D").repeat(24).astype(str)],
            "step": [*range(1, 25)] * 10,
            "anchored_crps": crps,
            "cone_crps": 1.0,
            "anchored_inside": [True, True, True, False] * (n // 4),
            "anchored_inside95": True,
        }
    )
    rows.to_csv(file, index=False)
    return str(file)


def test_the_table_joins_the_scores_of_several_runs(tmp_path, capsys):
    ours = [scores(tmp_path / "a.csv", "1h", 0.9), scores(tmp_path / "b.csv", "15m", 1.0)]
    theirs = [scores(tmp_path / "c.csv", "1h", 1.0), scores(tmp_path / "d.csv", "15m", 1.0)]
    assert main(["table", "--ours", *ours, "--theirs", *theirs]) == 0
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.strip().splitlines()[2:]
    ]
    assert [row[:4] for row in rows] == [
        ["a", "1h", "10", "1"], ["a", "all", "10", "1"], ["b", "15m", "10", "1"],
        ["b", "all", "10", "1"], ["all", "15m", "10", "1"], ["all", "1h", "10", "1"],
        ["all", "all", "20", "2"],
    ]  # fmt: skip
    assert rows[-1][4:7] == ["0.9500 (0.9500 to 0.9500)", "0.950", "1.000"]
    assert rows[-1][7:9] == ["0.750 (0.750 to 0.750)", "1.000 (1.000 to 1.000)"]
    assert rows[-1][9] == "-0.0500 (-0.0500 to -0.0500)"
    other = pd.read_csv(theirs[0]).assign(series="other")
    other.to_csv(theirs[0], index=False)
    with pytest.raises(ValueError, match="not of the same windows"):
        main(["table", "--ours", ours[0], "--theirs", theirs[0]])
