"""Times, numbers and sizes as the pages write them."""

from __future__ import annotations

import pandas as pd
import pytest

from pages.ui.frame.text import age_text, counted, in_print, number_text, origin_query, size_text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bars"), (1, "1 bar"), (2, "2 bars"), (1500, "1,500 bars")]
)
def test_a_number_agrees_with_its_noun(number, text):
    assert counted(number, "bar") == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(None, "Unknown"), (98_304, "98 kB"), (8_400_000, "8 MB"), (25_300_000_000, "25.3 GB")],
)
def test_sizes_have_the_unit_that_fits(n_bytes, text):
    assert size_text(n_bytes) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        ("20s", "less than a minute old"),
        ("1min", "1 minute old"),
        ("5h", "5 hours old"),
        ("364D", "364 days old"),
        ("2608D", "7 years old"),
        ("-1h", "in the future"),
    ],
)
def test_age(age, text):
    now = pd.Timestamp("2026-11-20", tz="UTC")
    assert age_text(now - pd.Timedelta(age), now) == text


def test_a_link_names_the_bar_it_starts_from_even_at_midnight():
    midnight = pd.Timestamp("2026-03-02", tz="UTC")
    day = {"origin": "2026-03-02"}
    assert origin_query(midnight, "1d") == day
    assert origin_query(midnight, "1h") == day | {"origin_time": "00:00"}


def test_numbers_have_minus_signs_and_a_missing_one_is_a_dash():
    assert number_text("{:+.1%} to {:+.1%}", -0.024, 0.03) == "−2.4% to +3.0%"
    assert number_text("{:.2f}", float("nan")) == "–"


def test_a_table_is_written_for_people_and_sorts_by_its_values():
    table = pd.DataFrame({"bar": [1, 2], "p50": [-12345.678, float("nan")]})
    styled = in_print(table, {"p50": "{:,.2f}", "of another table": "{:.0f}"})
    assert styled.hide().to_string(delimiter=";").split() == ["bar;p50", "1;−12,345.68", "2;"]
    pd.testing.assert_frame_equal(styled.data, table)
