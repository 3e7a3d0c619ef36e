"""The track record's charts: what lies where."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pages.ui.track_record.figure import coverage_figure, coverage_time_figure


def smoothed(first, last, n=40, gap=()):
    index = pd.date_range(first, last, periods=n, tz="UTC")
    table = pd.DataFrame({"coverage": 0.8, "low": 0.7, "high": 0.9}, index=index)
    table.iloc[list(gap)] = np.nan
    return table


def valid(figure):
    """The figure, which passes Plotly's own checks."""
    go.Figure(figure.to_dict())
    return figure


def test_coverage_over_time_lies_on_a_time_axis_that_holds_all_of_it():
    figure = valid(coverage_time_figure(smoothed("2025-01-01", "2026-03-15")))
    axis = figure.layout.xaxis
    assert axis.type == "date"
    assert axis.range[0] < "2025-01-01" < "2026-03-15" < axis.range[1]
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == [
        "95% interval", "this model, smoothed", "80%",
    ]  # fmt: skip


def test_a_gap_breaks_the_line_and_its_interval():
    figure = valid(coverage_time_figure(smoothed("2025-01-01", "2026-03-15", gap=range(10, 20))))
    filled = [trace for trace in figure.data if trace.fill == "tonexty"]
    assert [len(trace.x) for trace in filled] == [10, 20]
    assert [trace.showlegend for trace in filled] == [True, False]
    (line,) = (trace for trace in figure.data if trace.name == "this model, smoothed")
    assert not line.connectgaps
    assert np.isnan(np.array(line.y, dtype=float)).sum() == 10


def test_one_date_is_a_point_and_no_outcome_an_empty_chart():
    one = smoothed("2026-03-01", "2026-03-01", 1).assign(low=np.nan, high=np.nan)
    figure = valid(coverage_time_figure(one))
    assert "markers" in [trace.mode for trace in figure.data]
    axis = valid(coverage_time_figure(smoothed("2026-03-01", "2026-03-02")[:0])).layout.xaxis
    assert (axis.type, axis.range) == ("date", None)


def test_coverage_by_distance_has_its_band_and_its_reference():
    rows = {"coverage": 0.8, "error": 0.02, "n": 40}
    table = pd.DataFrame([rows] * 4, pd.Index([1, 6, 12, 24], name="key"), list(rows))
    figure = valid(coverage_figure(table, title="bars ahead"))
    (line,) = (trace for trace in figure.data if trace.name == "this model")
    assert list(line.x) == [1, 6, 12, 24]
    (reference,) = (trace for trace in figure.data if trace.name == "80%")
    assert list(reference.x) == [1, 24]
