"""Panels of a chart under construction, held to Plotly's own grid."""

from __future__ import annotations

import pytest
from plotly.subplots import make_subplots

from pages.ui.chart.sheet import Sheet


@pytest.mark.parametrize("heights", [(1.0,), (0.82, 0.18), (1.0, 1.0, 1.0), (3.0, 1.0, 1.0, 2.0)])
@pytest.mark.parametrize("widths", [(1.0,), (0.91, 0.09), (1.0, 1.0, 1.0)])
def test_panels_lie_where_plotly_puts_them(heights, widths):
    expected = make_subplots(
        rows=len(heights),
        cols=len(widths),
        row_heights=list(heights),
        column_widths=list(widths),
        horizontal_spacing=0.006,
        vertical_spacing=0.025,
    )
    figure = Sheet(heights=heights, widths=widths, gaps=(0.006, 0.025)).figure()
    assert len(figure.layout.to_plotly_json()) == len(expected.layout.to_plotly_json())
    for name, axis in expected.layout.to_plotly_json().items():
        if name != "template":
            assert figure.layout[name].anchor == axis["anchor"]
            assert figure.layout[name].domain == pytest.approx(axis["domain"])


@pytest.mark.parametrize(("name", "value"), [("colour", "red"), ("x", "one")])
def test_every_figure_of_a_test_is_validated(name, value):
    sheet = Sheet()
    sheet.trace("scatter", **{"x": [1], "y": [2], name: value})
    with pytest.raises(ValueError, match=name):
        sheet.figure()


def test_a_short_form_that_only_validation_takes_apart_is_refused():
    sheet = Sheet()
    sheet.time_axis()["rangeslider_visible"] = False
    with pytest.raises(AssertionError):
        sheet.figure()
