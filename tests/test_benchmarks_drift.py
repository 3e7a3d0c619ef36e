"""The windows and figures of benchmarks/drift.py."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.drift import INTERVALS, later_windows, main, report
from kronos.training.corpus import load_corpus
from kronos.training.held_out import EvaluationPlan
from tests.training.conftest import made_up_bars

SINCE = pd.Timestamp("2025-10-01", tz="UTC")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")
    for i in range(4):
        hours = made_up_bars(500, seed=i, start="2025-09-17")
        hours.to_csv(folder / f"hours{i}.csv", index=False)
    minutes = made_up_bars(400, seed=9, freq="5min", start="2025-09-30 02:00")
    minutes.to_csv(folder / "minutes.csv", index=False)
    return folder


def test_windows_are_scored_from_the_day_on(folder):
    corpus, plan = load_corpus(folder), EvaluationPlan(lookback=128, horizon=24)
    windows = later_windows(corpus, plan, SINCE, 12)
    intervals = [window.series.interval for window in windows]
    assert {each: intervals.count(each) for each in set(intervals)} == {"1h": 12, "5m": 12}
    assert len({(window.series.start, window.origin) for window in windows}) == 24
    times = pd.DatetimeIndex(corpus.times).tz_localize(None)
    for window in windows:
        assert times[window.origin] >= SINCE.tz_localize(None)
        assert window.origin - window.series.start >= plan.cone_bars
        assert window.origin + plan.horizon <= window.series.start + window.series.n_bars
    assert windows == later_windows(corpus, plan, SINCE, 12)


def scores(drift, crps):
    """Ten weeks of windows of every interval, 24 steps each, whose outcome is half of the drift."""
    n = 10 * len(INTERVALS) * 24
    weeks = pd.date_range("2025-10-01", periods=10, freq="7D")
    return pd.DataFrame(
        {
            "interval": np.tile(np.repeat(INTERVALS, 24), 10),
            "origin": np.repeat(weeks, n // 10),
            "step": np.tile(np.arange(1, 25), n // 24),
            "anchored_crps": crps,
            "centred_crps": 0.9,
            "cone_crps": 1.0,
            "anchored_inside": 0.8,
            "anchored_inside95": 0.95,
            "drift": drift,
            "outcome": 0.5 * drift,
        }
    )


def test_the_table_compares_models_with_the_first_one():
    lines = report({"one": scores(0.2, 1.0), "other": scores(0.1, 0.98)}).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert len(rows) == 2 * (len(INTERVALS) + 2)
    (whole,) = (row for row in rows if row[:2] == ["other", "all"])
    assert whole[2:6] == ["50", "0.9800", "-0.0200 (-0.0200 to -0.0200)", "0.9000"]
    assert whole[6:] == ["0.800", "0.950", "0.100", "0.50 (0.50 to 0.50)"]
    (mean,) = (row for row in rows if row[:2] == ["other", "mean"])
    assert mean[3:5] == ["0.9800", "-0.0200 (-0.0200 to -0.0200)"]


def test_it_runs_on_a_folder_of_bars(folder, capsys):
    options = ["--windows", "1", "--holdout", "0"]
    assert main(["--data", str(folder), *options]) == 0
    printed = capsys.readouterr().out
    assert "| bundled | 1h | 1 |" in printed
    assert "bundled " in printed.splitlines()[-1]
