"""A stored forecast as a chart: the fan as it was made, and the bars that came since.

The bars come from the source of the forecast. Where it has none any more, the chart has the
outcomes that the store recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from data_sources.registry import open_source, source_titles
from data_sources.samples import SAMPLES, SampleBars, load_sample
from data_sources.source import Instrument
from kronos.candles import Candles
from kronos.errors import Busy, InvalidRequest
from kronos.forecast import Forecast, SamplingParameters
from kronos.serving.jobs import JobStatus
from pages.ui.chart import style
from pages.ui.chart.sheet import Sheet
from pages.ui.chart.view import show_fan, show_figure
from pages.ui.frame.access import may_administer
from pages.ui.frame.links import open_page
from pages.ui.frame.messages import error_text, plain
from pages.ui.frame.text import bar_time, origin_query
from pages.ui.inputs import fetching
from pages.ui.inputs.fetching import Wanted
from pages.ui.inputs.ticker import ticker_link
from pages.ui.jobs import queues
from pages.ui.jobs.forecast_runs import FORECAST
from pages.ui.jobs.session import owner

if TYPE_CHECKING:
    from kronos.store.prediction import Prediction
    from kronos.store.store import Store

__all__ = [
    "Since", "forecast_link", "open_stored", "read_since", "rebuilt", "show_again", "show_stored",
    "stored_figure", "then_and_since", "visible_sources",
]  # fmt: skip

_WANTED = "bars of a stored forecast"
_HEIGHT = 320


def visible_sources() -> tuple[str, ...] | None:
    """Sources whose stored forecasts this session may see; None for all.

    The store holds no forecast that a visitor of a public server made. It may hold some that its
    owner made from files at the command line: strangers see those of public markets alone.
    """
    if may_administer():
        return None
    from data_sources.registry import exchange_titles

    return (SampleBars.name, *dict.fromkeys([*source_titles(), *exchange_titles()]))


def open_stored(prediction_id: str) -> Prediction:
    """A stored forecast that this session may see.

    Args:
        prediction_id: Its id, or the beginning of it.

    Raises:
        InvalidRequest: There is none.
        StoreError: The store cannot be used.
    """
    from kronos.store import open_store

    prediction = open_store().get(prediction_id.strip().lower())
    sources = visible_sources()
    if sources is not None and prediction.source not in sources:
        raise InvalidRequest(
            f"There is no forecast with the id {prediction_id.strip().lower()} in the store."
        )
    return prediction


@dataclass(frozen=True, slots=True, eq=False)
class Since:
    """What is known of the time since a stored forecast.

    Attributes:
        found: Bars around the origin; the state of their fetch; None where the source has none.
        candles: The bars in the prices of the forecast; None without them.
        closes: (H,) closes in the prices of the forecast, of the bars where these have one, else
            those that the store recorded; NaN where there is none.
    """

    found: Candles | JobStatus | Busy | None
    candles: Candles | None
    closes: np.ndarray


def read_since(store: Store, prediction: Prediction) -> Since:
    """The bars that came, from the source of a forecast, and the outcomes that the store has."""
    found = _bars(prediction)
    candles = then_and_since(prediction, found) if isinstance(found, Candles) else None
    scored = store.evaluations([prediction.id]).set_index("step")["actual_return"]
    returns = scored.astype(float).reindex(range(1, prediction.horizon + 1)).to_numpy()
    closes = prediction.last_close * np.exp(returns)
    if candles is not None:
        came = candles.bars_at(prediction.timestamps)["close"].to_numpy(dtype=float)
        closes = np.where(np.isnan(came), closes, came)
    return Since(found, candles, closes)


def show_stored(
    store: Store, prediction: Prediction, since: Since, *, key: str, alt: str, narrow: bool
) -> None:
    """The chart of a stored forecast, with the bars since; the page reruns once they are here.

    Args:
        store: Has its paths.
        prediction: The forecast.
        since: What came of it.
        key: Key of the chart on the page.
        alt: Alternative text.
        narrow: Whether the screen is narrow.
    """
    found, candles = since.found, since.candles
    forecast = None if candles is None else _with_paths(store, prediction)
    if candles is not None and forecast is not None:
        show_fan(
            candles, forecast, key=key, narrow=narrow, shown=("bands", "paths"), alt=alt,
            subject=prediction.id,
        )  # fmt: skip
        text = "The stored forecast and its paths; the bars after the origin are drawn over it."
    else:
        local = prediction.timestamps.tz_convert(prediction.zone)
        labels = [bar_time(stamp, prediction.interval) for stamp in local]
        drawn = stored_figure(
            labels, prediction.quantiles, prediction.levels, since.closes, compact=narrow
        )
        show_figure(drawn, key=f"{key}_closes", alt=alt)
        text = "The stored forecast: 95%, 80% and 50% bands, median, and actual closes."
    st.caption(f"{text} The fan is the raw one, before calibration.")
    if isinstance(found, JobStatus) and not found.is_final:
        _await_bars(found.key)
    elif isinstance(found, JobStatus | Busy):
        error = found if isinstance(found, Busy) else found.error
        if error is not None:
            st.caption(f":material/cloud_off: {error_text(error)}")


def show_again(prediction: Prediction, *, key: str) -> None:
    """A button that opens the Forecast page with the bars and settings of a stored forecast."""
    query = forecast_link(prediction)
    if query is not None and st.button("Open in Forecast", key=key, icon=":material/open_in_new:"):
        FORECAST.expect_visit()
        open_page("forecast", query)


def forecast_link(prediction: Prediction) -> dict[str, str] | None:
    """Link to the request of a stored forecast; None where the page has no such bars."""
    settings = {
        **origin_query(prediction.origin.tz_convert(prediction.zone), prediction.interval),
        "horizon": str(prediction.horizon),
        "paths": str(min(max(int(prediction.parameters["sample_count"]), 20), 500)),
        "seed": str(prediction.seed),
    }
    if prediction.source == SampleBars.name:
        titles = {(s.symbol, s.interval): s.title for s in SAMPLES.values()}
        title = titles.get((prediction.instrument, prediction.interval))
        return None if title is None else {"data": title, **settings}
    if prediction.source not in source_titles():
        return None
    instrument = Instrument(prediction.source, prediction.instrument)
    return ticker_link(instrument, prediction.interval, **settings)


def then_and_since(prediction: Prediction, candles: Candles) -> Candles | None:
    """The bars in the prices of the forecast, without volume; None where its origin is missing.

    A split or a dividend since then rescales all earlier prices of a source. As in the scoring,
    returns count from the close at the origin.
    """
    frame = candles.frame
    close = frame["close"].get(prediction.origin)
    if close is None:
        return None
    frame = frame.copy()
    frame[["open", "high", "low", "close"]] *= prediction.last_close / close
    frame[["volume", "amount"]] = 0.0  # the store keeps closes alone
    return replace(candles, frame=frame)


def rebuilt(prediction: Prediction, closes: np.ndarray) -> Forecast:
    """The forecast of a prediction with the stored closes of its paths, (N, H)."""
    given = prediction.parameters
    still = np.zeros_like(closes)
    return Forecast(
        paths=np.stack([closes] * 4 + [still, still], axis=-1),
        timestamps=prediction.timestamps.tz_convert(prediction.zone),
        origin=prediction.origin,
        last_close=prediction.last_close,
        parameters=SamplingParameters(
            T=given["T"], top_p=given["top_p"], top_k=given["top_k"],
            sample_count=len(closes), seed=prediction.seed,
        ),
        model_name=prediction.model_name,
        model_revision=prediction.model_version,
        context_hash=prediction.context_hash,
        n_context=given["n_context"],
    )  # fmt: skip


def _with_paths(store: Store, prediction: Prediction) -> Forecast | None:
    closes = store.paths(prediction).get("close")
    return None if closes is None else rebuilt(prediction, closes)


def _bars(prediction: Prediction) -> Candles | JobStatus | Busy | None:
    """Bars around the origin; the state of their fetch; None where the source has none."""
    if prediction.source == SampleBars.name:
        of = (prediction.instrument, prediction.interval)
        key = next((k for k, s in SAMPLES.items() if (s.symbol, s.interval) == of), None)
        return None if key is None else load_sample(key)
    try:
        intervals = open_source(prediction.source).intervals
    except InvalidRequest:
        return None
    if prediction.interval not in intervals:
        return None
    day = prediction.origin.tz_convert(prediction.zone).date()
    wanted = Wanted(prediction.source, prediction.instrument, prediction.interval, around=day)
    try:
        status = fetching.fetch(fetching.asked_since(_WANTED, wanted))
    except Busy as error:
        return error
    return status.result.candles if status.state == "done" else status


@st.fragment(run_every=fetching.POLL_SECONDS)
def _await_bars(key: str) -> None:
    status = queues.fetches().status(key, owner=owner())
    if status is None or status.is_final:
        st.rerun()
    st.caption(f":material/hourglass_top: {plain(status.stage or 'Waiting')} …")


def stored_figure(
    labels: Sequence[str],
    quantiles: np.ndarray,
    levels: np.ndarray,
    actual: np.ndarray,
    *,
    compact: bool = False,
) -> go.Figure:
    """A stored fan and the actual closes.

    Args:
        labels: (H,) times of the bars.
        quantiles: (H, L) closes.
        levels: (L,).
        actual: (H,) closes; NaN where there is none.
        compact: For a narrow screen.
    """
    sheet = Sheet()
    grid = {"zeroline": False, "ticks": "", "showgrid": True, "fixedrange": True}
    sheet.time_axis().update(grid, automargin=True)
    sheet.price_axis().update(grid, title={"text": "close", "standoff": 8})
    sheet.layout.update(
        style.page_layout(),
        height=_HEIGHT,
        margin={"l": 8, "r": 12, "t": 34, "b": 8},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        showlegend=True,
        hovermode="closest",
        dragmode=False,
    )
    column = {round(level, 6): i for i, level in enumerate(levels.tolist())}
    seen: dict[str, Any] = {"mode": "lines", "hoverinfo": "skip", "line": {"width": 0}}
    for low, high, opacity, name in (
        (0.025, 0.975, 0.12, "95%"), (0.1, 0.9, 0.17, "80%"), (0.25, 0.75, 0.24, "50%"),
    ):  # fmt: skip
        edges = [quantiles[:, column[level]] for level in (low, high)]
        sheet.trace("scatter", x=labels, y=edges[0], showlegend=False, **seen)
        sheet.trace(
            "scatter", x=labels, y=edges[1], fill="tonexty", name=name,
            fillcolor=style.faded(style.FAN, opacity), **seen,
        )  # fmt: skip
    for name, values, line in (
        ("median", quantiles[:, column[0.5]], {"color": style.MEDIAN, "width": 2.2}),
        ("actual", actual, {"color": style.ACTUAL, "width": 1.8}),
    ):
        sheet.trace(
            "scatter", x=labels, y=values, name=name, line=line, connectgaps=True,
            mode="lines+markers" if name == "actual" else "lines",
            marker={"size": 5, "symbol": "circle-open", "color": style.ACTUAL},
            hovertemplate=f"%{{x}}: %{{y:,.6~g}}<extra>{name}</extra>",
        )  # fmt: skip
    sheet.time_axis().update(type="category", nticks=2 if compact else 5, tickangle=0)
    sheet.price_axis().update(nticks=7, automargin=True)
    sheet.layout["hovermode"] = "x"
    return sheet.figure()
