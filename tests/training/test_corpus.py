"""Which bars a corpus holds: gaps, dates, families, zones."""

import numpy as np
import pandas as pd
import pytest

from kronos.errors import InvalidCandles, InvalidRequest
from kronos.training.corpus import Holdout, load_corpus
from kronos.training.files import interval_of
from tests.training.conftest import made_up_bars


def test_every_file_is_read_with_its_interval(corpus):
    assert sorted(s.interval for s in corpus.series) == ["1d", *["1h"] * 6]
    assert corpus.values.shape == (6 * 400 + 300, 6)
    assert [s.start for s in corpus.series[1:]] == [s.stop for s in corpus.series[:-1]]


def test_missing_amount_is_volume_times_the_mean_price(corpus):
    expected = corpus.values[:, 4] * corpus.values[:, :4].mean(axis=1)
    np.testing.assert_allclose(corpus.values[:, 5], expected, rtol=1e-5)


def test_an_abnormal_gap_splits_a_series(tmp_path):
    bars = made_up_bars(300, seed=1)
    bars.loc[bars.index >= 140, ["open", "high", "low", "close"]] *= 1.3
    bars.to_csv(tmp_path / "split.csv", index=False)
    runs = load_corpus(tmp_path).series
    assert [s.n_bars for s in runs] == [140, 160]


def test_held_out_families_are_never_in_both_parts(bars_folder):
    holdout = Holdout(0.5)
    trained = {s.family for s in load_corpus(bars_folder, holdout=holdout).series}
    held_out = {s.family for s in load_corpus(bars_folder, holdout=holdout, held_out=True).series}
    assert trained
    assert held_out
    assert not trained & held_out
    assert len(trained | held_out) == 7


def test_families_are_held_out_in_about_the_given_share():
    names = [f"family{i}" for i in range(5000)]
    assert abs(sum(name in Holdout(0.1) for name in names) / 5000 - 0.1) < 0.02
    assert not any(name in Holdout(0.0) for name in names)
    with pytest.raises(InvalidRequest, match="held-out share"):
        Holdout(1.0)


def test_dates_bound_the_bars(bars_folder):
    day = pd.Timestamp("2020-01-10")
    before = load_corpus(bars_folder, until=day)
    after = load_corpus(bars_folder, since=day)
    whole = load_corpus(bars_folder)
    hourly = [s for s in before.series if s.interval == "1h"]
    assert {s.n_bars for s in hourly} == {9 * 24}
    assert {s.n_bars for s in after.series if s.interval == "1h"} == {400 - 9 * 24}
    first = hourly[0]
    same = next(s for s in whole.series if s.name == first.name)
    np.testing.assert_array_equal(
        before.values[first.start : first.stop], whole.values[same.start : same.start + 216]
    )


def test_calendar_fields_are_read_on_the_exchange_clock(tmp_path):
    made_up_bars(120, seed=2, start="2024-07-01 13:30").to_csv(tmp_path / "x.csv", index=False)
    manifest = pd.DataFrame(
        {"file": ["x.csv"], "clock": ["UTC"], "zone": ["America/New_York"], "group": ["equity/1h"]}
    )
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    corpus = load_corpus(tmp_path, manifest=tmp_path / "manifest.csv")
    assert corpus.stamps[0].tolist() == [30, 9, 0, 1, 7]
    assert corpus.series[0].group == "equity/1h"


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "bad.csv").write_text("time,price\n1,2\n")
    with pytest.raises(InvalidCandles, match=r"bad\.csv lacks the columns"):
        load_corpus(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="No run of 96 or more bars"):
        load_corpus(tmp_path)


@pytest.mark.parametrize(
    ("freq", "interval"), [("1min", "1m"), ("5min", "5m"), ("4h", "4h"), ("B", "1d"), ("W", "1w")]
)
def test_interval_is_the_most_common_step(freq, interval):
    assert interval_of(pd.Series(pd.date_range("2024-01-01", periods=50, freq=freq))) == interval
