"""The list of baselines, and their revision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kronos.request import ModelFacts

__all__ = ["BASELINES", "Description", "baseline_facts", "find", "revision"]

DEFAULT_LOOKBACK = 1000
MAX_LOOKBACK = 10_000


@dataclass(frozen=True, slots=True)
class Description:
    """A baseline in lists.

    Attributes:
        name: Name to load it by.
        title: Name to show.
        summary: The method in one line.
        n_estimated: Numbers it estimates from the bars.
        n_needed: Fewest bars it can be estimated from.
    """

    name: str
    title: str
    summary: str
    n_estimated: int
    n_needed: int


BASELINES: dict[str, Description] = {
    entry.name: entry
    for entry in (
        Description(
            "random-walk",
            "Random walk with drift",
            "Normal steps with the mean and the standard deviation of past returns.",
            n_estimated=2,
            n_needed=21,
        ),
        Description(
            "bootstrap",
            "Block bootstrap",
            "Blocks of past bars, of random length.",
            n_estimated=0,
            n_needed=31,
        ),
        Description(
            "ewma",
            "EWMA cone",
            "Normal steps without drift; volatility weighted towards recent bars (decay .94).",
            n_estimated=1,
            n_needed=21,
        ),
        Description(
            "garch",
            "GARCH(1,1)-t",
            "Volatility that clusters and reverts, with Student t shocks; no drift.",
            n_estimated=4,
            n_needed=101,
        ),
        Description(
            "fhs",
            "Filtered historical simulation",
            "Past shocks, standardized, with the volatility of a fitted GARCH.",
            n_estimated=3,
            n_needed=101,
        ),
    )
}
"""Name -> description, simplest first."""


def find(name: str) -> Description | None:
    """The baseline of a name in any case; None for a name of another kind."""
    return BASELINES.get(name.strip().casefold())


def revision() -> str:
    """Revision of the methods; changes when a method draws other numbers."""
    return "6d6ad9aac2acdfa5"


def baseline_facts(description: Description) -> ModelFacts:
    """What a request needs to know of a baseline."""
    from kronos.request import ModelFacts  # lists of models are read without pandas

    return ModelFacts(
        model=description.name,
        name=description.name,
        revision=revision(),
        least=description.n_needed,
        most=MAX_LOOKBACK,
        advised=DEFAULT_LOOKBACK,
    )
