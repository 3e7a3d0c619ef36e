"""The track record's charts: what lies where."""

import pandas as pd
import pytest

from pages.ui.track_record.figure import coverage_figure


def by_month(*months):
    rows = {"coverage": 0.8, "error": 0.02, "n": 40}
    return pd.DataFrame([rows] * len(months), pd.Index(months, name="key"), list(rows))


@pytest.mark.parametrize(
    ("months", "shown"),
    [
        (["2026-03"], ["2026-02-14", "2026-03-16"]),
        (["2025-11", "2026-03"], ["2025-10-17", "2026-03-16"]),
    ],
)
def test_months_lie_as_far_apart_as_they_are(months, shown):
    axis = coverage_figure(by_month(*months), title="month", is_time=True).layout.xaxis
    assert (axis.type, list(axis.range), axis.dtick) == ("date", shown, "M1")


def test_of_many_months_not_each_is_named():
    months = [f"{year}-{month:02}" for year in (2024, 2025) for month in range(1, 13)]
    axis = coverage_figure(by_month(*months), title="month", is_time=True).layout.xaxis
    assert (axis.dtick, axis.nticks) == (None, 6)


def test_a_record_without_outcomes_has_an_axis_all_the_same():
    axis = coverage_figure(by_month(), title="month", is_time=True).layout.xaxis
    assert (axis.type, axis.range) == ("date", None)
