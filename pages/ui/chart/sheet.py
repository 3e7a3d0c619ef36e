"""A chart under construction: panels in a grid, and what is drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import plotly.graph_objects as go


class Sheet:
    """Panels and their contents as plain dictionaries, in Plotly's own terms.

    Plotly validates a figure at every step, which takes several times longer than the rest. A
    sheet becomes a figure without validation; every figure that a test draws is validated.

    Attributes:
        traces: Traces in drawing order.
        shapes: Lines and areas.
        annotations: Texts.
        layout: Everything else, including the axes.
    """

    def __init__(
        self,
        *,
        heights: Sequence[float] = (1.0,),
        widths: Sequence[float] = (1.0,),
        gaps: tuple[float, float] = (0.0, 0.0),
        without: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Args:
        heights: Relative heights of the rows, from the top.
        widths: Relative widths of the columns, from the left.
        gaps: Gaps between columns and between rows, as shares of the whole.
        without: Row and column of empty places, counted from 1.
        """
        self.traces: list[dict[str, Any]] = []
        self.shapes: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.layout: dict[str, Any] = {}
        self._numbers: dict[tuple[int, int], str] = {}
        across = _spans(widths, gaps[0])
        upwards = _spans(heights[::-1], gaps[1])
        for row, vertical in enumerate(reversed(upwards), 1):
            for column, horizontal in enumerate(across, 1):
                if (row, column) not in without:
                    self._add_panel(row, column, horizontal, vertical)

    def trace(self, kind: str, *, row: int = 1, column: int = 1, **properties: Any) -> None:
        """Add a trace, such as a scatter, to a panel."""
        number = self._numbers[row, column]
        axes = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        self.traces.append({"type": kind} | axes | properties)

    def shape(self, kind: str, **properties: Any) -> None:
        """Add a shape, such as a line."""
        self.shapes.append({"type": kind} | properties)

    def note(self, text: str, *, size: float | None = None, **properties: Any) -> None:
        """Add an annotation without an arrow."""
        font = {} if size is None else {"font": {"size": size}}
        self.annotations.append({"text": text, "showarrow": False} | font | properties)

    def number(self, row: int, column: int) -> str:
        """The number in the names of a panel's axes."""
        return self._numbers[row, column]

    def time_axis(self, row: int = 1, column: int = 1) -> dict[str, Any]:
        """The horizontal axis of a panel, for changes."""
        return self.layout[f"xaxis{self._numbers[row, column]}"]

    def price_axis(self, row: int = 1, column: int = 1) -> dict[str, Any]:
        """The vertical axis of a panel, for changes."""
        return self.layout[f"yaxis{self._numbers[row, column]}"]

    def figure(self) -> go.Figure:
        """The chart."""
        lists = {"shapes": self.shapes, "annotations": self.annotations}
        layout = self.layout | {name: items for name, items in lists.items() if items}
        return go.Figure({"data": self.traces, "layout": layout}, _validate=False)

    def _add_panel(
        self,
        row: int,
        column: int,
        horizontal: tuple[float, float],
        vertical: tuple[float, float],
    ) -> None:
        number = str(len(self._numbers) + 1) if self._numbers else ""
        self._numbers[row, column] = number
        self.layout[f"xaxis{number}"] = {"anchor": f"y{number}", "domain": list(horizontal)}
        self.layout[f"yaxis{number}"] = {"anchor": f"x{number}", "domain": list(vertical)}


def _spans(sizes: Sequence[float], gap: float) -> list[tuple[float, float]]:
    """Start and end of each neighbour within 0 to 1."""
    share = (1.0 - gap * (len(sizes) - 1)) / sum(sizes)
    starts = accumulate((share * size + gap for size in sizes), initial=0.0)
    return [
        (start, min(1.0, start + share * size)) for start, size in zip(starts, sizes, strict=False)
    ]
