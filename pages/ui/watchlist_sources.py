"""The sources whose symbols a watchlist can hold."""

from __future__ import annotations

from data_sources.samples import SampleBars
from data_sources.source import DataSource
from kronos.errors import InvalidRequest

SAMPLES = SampleBars.name


def source_titles() -> dict[str, str]:
    """Title of every source by its name, the samples first."""
    return {SAMPLES: SampleBars.title}


def open_source(name: str) -> DataSource:
    """A source by its name.

    Raises:
        InvalidRequest: There is none of that name.
    """
    if name == SAMPLES:
        return SampleBars()
    raise InvalidRequest(f"There is no source {name!r}.")
