"""Laws of cleaning bars."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from data_sources.cleaning import clean_bars
from kronos.candles import Candles

COLUMNS = ["open", "high", "low", "close", "volume"]


def table(rows, minutes=None):
    minutes = range(len(rows)) if minutes is None else minutes
    stamps = pd.DatetimeIndex([pd.Timestamp(60 * m, unit="s", tz="UTC") for m in minutes])
    return pd.DataFrame(rows, index=stamps, columns=COLUMNS, dtype=float)


GOOD = [10.0, 12.0, 9.0, 11.0, 5.0]


def test_good_bars_stay_as_they_are():
    bars = table([GOOD, GOOD, GOOD])
    cleaned, notes = clean_bars(bars)
    pd.testing.assert_frame_equal(cleaned, bars)
    assert notes == []


def test_unusable_bars_are_left_out_and_counted():
    nan = float("nan")
    rows = [GOOD, [nan, 12, 9, 11, 5], [10, 12, 9, float("inf"), 5], [0, 12, 0, 11, 5]]
    cleaned, notes = clean_bars(table([*rows, [10, 12, 9, 15, 5]]))
    assert len(cleaned) == 1
    assert notes == [
        "2 bars were left out, without all four prices (1970-01-01).",
        "1 bar was left out, with a price that is not above 0 (1970-01-01).",
        "1 bar was left out, with open or close far outside low and high (1970-01-01).",
    ]


def test_slight_misses_are_widened_and_rounding_is_not_noted():
    cleaned, notes = clean_bars(table([[10, 12, 9, 12.1, 5], [10, 12, 9, 12 + 1e-9, 5]]))
    assert cleaned["high"].tolist() == [12.1, 12 + 1e-9]
    assert len(notes) == 1
    assert notes[0].startswith("1 bar was given with open or close outside low and high")


def test_the_later_of_two_different_bars_of_one_time_is_used_and_noted():
    other = [11.0, 12.0, 9.0, 10.0, 6.0]
    cleaned, notes = clean_bars(table([GOOD, other, GOOD, GOOD], minutes=[1, 1, 0, 0]))
    assert cleaned.to_numpy().tolist() == [GOOD, other]
    assert notes == ["1 bar was given twice with different values; the later one is used."]


def test_an_unknown_volume_is_zero():
    cleaned, _ = clean_bars(table([[*GOOD[:4], float("nan")], [*GOOD[:4], -3.0]]))
    assert cleaned["volume"].tolist() == [0.0, 0.0]


numbers = st.one_of(
    st.floats(0.5, 200), st.just(float("nan")), st.just(0.0), st.just(-1.0), st.just(float("inf"))
)
rows = st.lists(st.tuples(st.integers(0, 12), *[numbers] * 5), min_size=1, max_size=25)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_cleaned_bars_are_candles_and_each_was_an_input(given_rows):
    bars = table([row[1:] for row in given_rows], minutes=[row[0] for row in given_rows])
    cleaned, notes = clean_bars(bars)
    assert cleaned.index.is_monotonic_increasing
    assert cleaned.index.is_unique
    if len(cleaned) < bars.index.nunique():
        assert any("left out" in note for note in notes)
    if not len(cleaned):
        return
    Candles.from_frame(cleaned, interval="1m", zone="UTC", calendar="24/7")
    for stamp, bar in cleaned.iterrows():
        candidates = bars.loc[[stamp], ["open", "close"]].to_numpy()
        assert (candidates == bar[["open", "close"]].to_numpy()).all(axis=1).any()
        assert bar["high"] in bars.loc[[stamp]].to_numpy()
    assert np.isfinite(cleaned.to_numpy()).all()


def levels(*closes):
    return table([[c, c * 1.01, c * 0.99, c, 5.0] for c in closes])


def test_a_price_that_no_neighbour_explains_is_left_out_and_named():
    bars = levels(*[10.0] * 9)
    bars.iloc[4, 1] = 1e30
    cleaned, notes = clean_bars(bars)
    assert cleaned.index.equals(bars.index.delete(4))
    assert len(notes) == 1
    assert "1970-01-01 00:04 UTC with open 10, high 1e+30" in notes[0]


def test_wild_prices_are_found_side_by_side_and_at_both_ends():
    closes = [1e30, *[10.0] * 4, 1e30, 1e-30, *[10.0] * 4, 1e-30]
    cleaned, notes = clean_bars(levels(*closes))
    assert cleaned["close"].tolist() == [10.0] * 8
    assert "4 bars were left out" in notes[0]
    assert notes[0].endswith("; and 1 more.")


def test_crashes_splits_and_lasting_levels_are_kept():
    for closes in (
        [100, 100, 100, 60, 58, 59, 61],
        [100, 100, 100, 5, 5, 5, 5],  # a split by 20
        [1, 1, 1, 10, 1, 1, 1],  # an illiquid coin
        [80, 60, 30, 17, 1, 0.005, 7e-5, 2e-4, 3e-4, 2e-4],  # a collapse
        [1, 1, 1, 1000, 1000, 1000],  # another unit
        [1, 1e30, 1],  # nobody can say which is wrong
    ):
        bars = levels(*closes)
        cleaned, notes = clean_bars(bars)
        pd.testing.assert_frame_equal(cleaned, bars)
        assert notes == []
