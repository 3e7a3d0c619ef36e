"""Lines of the visitor's choice over the fan: quantiles, a corridor, an implied volatility."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import streamlit as st

from kronos.candles import Candles
from kronos.forecast import DEFAULT_LEVELS, Forecast
from pages.ui.chart.layers import Overlay
from pages.ui.frame.links import linked_or_chosen

CORRIDOR = 0.8
"""Share of whole paths inside the corridor."""
_MOST_LEVELS, _HIGHEST_VOLATILITY = 20, 1000.0


@dataclass(frozen=True, slots=True)
class Lines:
    """What is drawn over the fan, and stands in its table and files.

    Attributes:
        quantiles: Levels beside those of the bands, ascending, each from .01 to .99.
        corridor: Share of whole paths inside a corridor; None for none.
        implied: Annual volatility of the options market; None for none.
    """

    quantiles: tuple[float, ...] = ()
    corridor: float | None = None
    implied: float | None = None

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of table and files: those of the bands, and the chosen ones."""
        return tuple(sorted({*DEFAULT_LEVELS, *self.quantiles}))

    def overlays(self, candles: Candles, forecast: Forecast) -> tuple[Overlay, ...]:
        """The lines of a fan, in prices."""
        found = []
        if self.quantiles:
            names = ", ".join(f"p{100 * level:g}" for level in self.quantiles)
            found.append(Overlay(names, forecast.quantile(self.quantiles), "dot"))
        if self.corridor is not None and forecast.n_paths >= 3:
            name = f"{self.corridor:.0%} of whole paths"
            found.append(Overlay(name, forecast.corridor(self.corridor), "longdash"))
        if self.implied is not None:
            cone = forecast.implied_cone(self.implied, candles.bar_years, (0.1, 0.9))
            found.append(Overlay(f"Implied {self.implied:.0%}, 80%", cone, "dashdot"))
        return tuple(found)


def chosen_lines() -> Lines:
    """The lines of the session, else of the link, before their controls are drawn."""
    levels, _ = _levels(linked_or_chosen("quantiles", ""))
    try:
        volatility = float(linked_or_chosen("implied_volatility", "0"))
    except ValueError:
        volatility = 0.0
    is_known = math.isfinite(volatility) and 0.0 < volatility <= _HIGHEST_VOLATILITY
    is_corridor = linked_or_chosen("corridor", "false").lower() == "true"
    return Lines(
        levels, CORRIDOR if is_corridor else None, volatility / 100.0 if is_known else None
    )


def choose_lines() -> None:
    """Their controls, which the link carries; drawn in every run."""
    with st.popover("Lines", icon=":material/stacked_line_chart:", key="chip_lines"):
        text = st.text_input(
            "Quantiles (%)", key="quantiles", bind="query-params", placeholder="5 95",
            max_chars=200,
            help="From 1 to 99, with spaces in between: in the chart, the table and the files.",
        )  # fmt: skip
        _, wrong = _levels(text)
        if wrong:
            st.caption(":material/error: Quantiles are numbers from 1 to 99, at most 20.")
        st.toggle(
            f"Corridor: {CORRIDOR:.0%} of whole paths", key="corridor", bind="query-params",
            help="A band that holds this share of the paths at all bars at once. The bands of the "
            "fan hold their share at one bar at a time.",
        )  # fmt: skip
        st.number_input(
            "Implied volatility (%)", min_value=0.0, max_value=_HIGHEST_VOLATILITY, value=0.0,
            step=1.0, key="implied_volatility", bind="query-params",
            help="Annual volatility of the options market: its 80% cone over the fan, and both "
            "probabilities in the tab Risk. 0 for none.",
        )  # fmt: skip


def _levels(text: str) -> tuple[tuple[float, ...], bool]:
    """Levels that a text names, ascending, and whether it has anything else."""
    parts = [each for each in re.split(r"[\s,;%]+", text[:1000]) if each]
    found = set()
    for part in parts[:_MOST_LEVELS]:
        try:
            percent = float(part)
        except ValueError:
            continue
        if 1.0 <= percent <= 99.0:
            found.add(round(percent / 100.0, 6))
    n_read = len(set(parts))
    return tuple(sorted(found)), n_read != len(found)
