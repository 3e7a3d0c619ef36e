"""The sources whose symbols a watchlist can hold."""

from __future__ import annotations

from data_sources import registry as markets
from data_sources.samples import SampleBars

SAMPLES = SampleBars.name
open_source = markets.open_source


def source_titles() -> dict[str, str]:
    """Title of every source by its name, the samples first. Loads no client."""
    return {SAMPLES: SampleBars.title, **markets.source_titles()}
