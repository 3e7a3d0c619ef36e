"""From a line of the watchlist to its own page."""

from __future__ import annotations

from data_sources.samples import SAMPLES as ALL_SAMPLES
from data_sources.source import Instrument
from pages.ui.inputs.instruments import SAMPLES
from pages.ui.inputs.ticker import ticker_link
from pages.ui.watchlist.run import WatchRun


def forecast_query(run: WatchRun, i: int, model_title: str) -> dict[str, str] | None:
    """The Forecast page's address for a line, with the settings of the run.

    Args:
        run: The run.
        i: Number of the line.
        model_title: Name of its model to show; empty leaves the page's own choice.

    Returns:
        None for a file, which no address can name.
    """
    entry, request = run.request.entries[i], run.request
    if entry.is_file:
        return None
    settings = {
        "horizon": str(request.horizon),
        "paths": str(request.sampling.sample_count),
        "seed": str(request.sampling.seed),
    }
    if model_title:
        settings["model"] = model_title
    if request.source != SAMPLES:
        summary = run.rows[i].summary
        symbol = entry.symbol if summary is None else summary.symbol
        return ticker_link(Instrument(request.source, symbol), entry.interval, **settings)
    titles = {(sample.symbol, sample.interval): sample.title for sample in ALL_SAMPLES.values()}
    return {"data": titles[entry.symbol, entry.interval], **settings}
