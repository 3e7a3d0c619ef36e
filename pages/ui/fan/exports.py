"""Downloads of a forecast: file names, the chart as HTML, the forecast as Python."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kronos.candles import Candles
from kronos.events import Event, events_csv
from kronos.forecast import Forecast
from pages.ui.chart.figure import Look, fan_figure
from pages.ui.frame.text import DISCLAIMER

_ENSEMBLE_IMPORT = "from kronos.ensemble import load_ensemble, market_of\n"
_CALIBRATION_IMPORT = "from kronos.calibration import calibrate, load_state\n"


def file_stem(candles: Candles, forecast: Forecast) -> str:
    """A file name that is harmless everywhere, without its ending."""
    symbol = re.sub(r"[^A-Za-z0-9]+", "-", candles.symbol).strip("-")[:40] or "candles"
    fan = "" if forecast.calibration_hash is None else "_calibrated"
    return f"{symbol}_{candles.interval}_{forecast.origin:%Y%m%dT%H%M}_{forecast.horizon}bars{fan}"


def foot_line(forecast: Forecast) -> str:
    """What a chart on its own must say: what made it, and what it is not."""
    return (
        f"{forecast.model_name}, revision {forecast.model_revision[:8]}, "
        f"{forecast.n_paths} paths, seed {forecast.parameters.seed}, {_fan(forecast)}, origin "
        f"{forecast.origin.isoformat()}. {DISCLAIMER}"
    )


def _fan(forecast: Forecast) -> str:
    if forecast.calibration_hash is None:
        return "raw fan"
    return f"fan calibrated ({forecast.calibration_hash[:8]})"


def chart_html(candles: Candles, forecast: Forecast, look: Look) -> str:
    """The chart as a page of its own that needs no network, on white.

    Args:
        candles: The bars.
        forecast: The fan.
        look: The look of the chart on the page.
    """
    figure = fan_figure(candles, forecast, **look)
    bottom = 60
    figure.update_layout(
        template="plotly_white",
        paper_bgcolor="white",
        plot_bgcolor="white",
        height=figure.layout.height + bottom,
        margin_b=figure.layout.margin.b + bottom,
    )
    figure.add_annotation(
        x=0, xref="paper", xanchor="left", y=0, yref="paper", yanchor="top", yshift=-32,
        text=foot_line(forecast), showarrow=False, font_size=10.5,
    )  # fmt: skip
    return figure.to_html(include_plotlyjs=True, config={"displaylogo": False, "responsive": True})


def python_snippet(
    candles_code: str, forecast: Forecast, *, events: str = "", currency: str = ""
) -> str:
    """A script that makes the same forecast, and says so if the bars or events are others.

    Args:
        candles_code: Python that gives the bars as `candles`.
        forecast: What is to be repeated.
        events: Python that gives the events as `events`, for a forecast that was told of them.
        currency: Currency the instrument is quoted in, where the source says.
    """
    sampling = forecast.parameters
    origin = forecast.origin.tz_convert("UTC").isoformat()
    has_events = forecast.events_hash is not None
    hash_check = f"""\
if forecast.events_hash != "{forecast.events_hash}":
    print("These are not the events that the page told.")
"""
    return f"""\
import pandas as pd

import kronos
{"" if forecast.calibration_hash is None else _CALIBRATION_IMPORT}\
{"" if forecast.weights is None else _ENSEMBLE_IMPORT}\
{candles_code}
{events + chr(10) if has_events else ""}\
known = candles.at_origin(pd.Timestamp("{origin}")).history
future = known.future({forecast.horizon})
{channels_code(currency) if has_events else ""}\
forecast = {_loading(forecast)}.forecast(
    known.frame,
    x_timestamp=known.local_index,
    y_timestamp=future.tz_convert(known.zone),
    T={sampling.T!r},
    top_p={sampling.top_p!r},
    top_k={sampling.top_k},
    sample_count={sampling.sample_count},
    seed={sampling.seed},
    lookback={forecast.n_context},
{"    events=channels," + chr(10) if has_events else ""}\
{"" if forecast.weights is None else "    market=market_of(known)," + chr(10)}\
)
if forecast.context_hash != "{forecast.context_hash}":
    print("These are not the bars that the page read.")
{hash_check if has_events else ""}\
{_calibration_code(forecast)}\
print(forecast.to_frame().to_string())
"""


def _loading(forecast: Forecast) -> str:
    return "load_ensemble()" if forecast.weights else f'kronos.load("{forecast.model_name}")'


def _calibration_code(forecast: Forecast) -> str:
    """The lines that correct the fan as the page did; none for a raw one."""
    if forecast.calibration_hash is None:
        return ""
    return f"""\
forecast = calibrate(forecast, known, load_state())
if forecast.calibration_hash != "{forecast.calibration_hash}":
    print("This machine's calibration is not the one that the page used.")
"""


def events_code(file_name: str, added: Sequence[Event]) -> str:
    """The events of a session as `events`.

    Args:
        file_name: The user's file, which lies where he has it; "" without one.
        added: Events that were added by hand.
    """
    if not file_name and not added:
        return "from kronos.events import event_channels, load_events, regions_of\n\n" + (
            "events = load_events()"
        )
    names = ["EventTable", "event_channels", "load_events", "merge_events", "read_events"]
    head = f"from kronos.events import {', '.join([*names, 'regions_of'])}\n"
    own = []
    if file_name:
        head = f"from pathlib import Path\n\n{head}"
        own.append(f"*read_events(Path({file_name!r}).read_bytes(), {file_name!r})")
    if added:
        head += f"\nadded = {_quoted(events_csv(added))}"
        own.append('*read_events(added.encode(), "added by hand")')
    return (
        f"{head}\n"
        f"own = ({', '.join(own)},)\n"
        'tables = [EventTable("stored", load_events()), EventTable("own", own)]\n'
        "events = merge_events(tables)"
    )


def channels_code(currency: str) -> str:
    """The channels of `events` over the bars `known` and `future`, as `channels`."""
    return f"""\
channels = event_channels(
    known.frame.index.append(future),
    interval=known.interval,
    calendar=known.calendar,
    zone=known.zone,
    n_context=len(known),
    events=events,
    symbol=known.symbol,
    regions=regions_of(known.calendar, known.symbol, {currency!r}),
)
"""


def _quoted(text: str) -> str:
    """A string literal of several lines, one a row."""
    lines = "".join(f"    {line + chr(10)!r}\n" for line in text.splitlines())
    return f"(\n{lines})"
