"""Downloads of a forecast: file names, the chart as HTML, the forecast as Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from kronos.candles import Candles
from kronos.events import Event, events_csv
from kronos.export import quantiles_table
from kronos.forecast import DEFAULT_LEVELS, Forecast
from pages.ui.chart.figure import Look, fan_figure
from pages.ui.frame.excel import workbook
from pages.ui.frame.text import DISCLAIMER, file_part

_ENSEMBLE_IMPORT = "from kronos.ensemble import load_ensemble, market_of\n"
_CALIBRATION_IMPORT = "from kronos.calibration import calibrate, load_state\n"


def file_stem(candles: Candles, forecast: Forecast) -> str:
    """A file name without suffix, safe on every system."""
    symbol = file_part(candles.symbol, "candles")
    fan = "" if forecast.calibration_hash is None else "_calibrated"
    return f"{symbol}_{candles.interval}_{forecast.origin:%Y%m%dT%H%M}_{forecast.horizon}bars{fan}"


def foot_line(forecast: Forecast) -> str:
    """The line under an exported chart: model, settings and disclaimer."""
    return (
        f"{forecast.model_name}, revision {forecast.model_revision[:8]}, "
        f"{forecast.n_paths} paths, seed {forecast.parameters.seed}, {_fan(forecast)}, origin "
        f"{forecast.origin.isoformat()}. {DISCLAIMER}"
    )


def forecast_workbook(
    candles: Candles,
    forecast: Forecast,
    *,
    levels: Sequence[float],
    corridor: float | None,
    implied: float | None,
) -> bytes:
    """Quantiles, settings and paths as an Excel workbook.

    Args:
        candles: The bars.
        forecast: The fan.
        levels: See `kronos.export.quantiles_table`, also for the other two.
        corridor: Share of whole paths inside a corridor.
        implied: Annual volatility.
    """
    table = quantiles_table(candles, forecast, levels, corridor=corridor, implied=implied)
    paths = forecast.paths_frame().reset_index()
    return workbook({"Quantiles": table, "Paths": paths}, forecast_settings(candles, forecast))


def forecast_settings(candles: Candles, forecast: Forecast) -> dict[str, Any]:
    """What a forecast was made of, for the sheet of settings."""
    facts = {name: getattr(candles, name) for name in ("symbol", "interval", "zone", "source")}
    return facts | forecast.metadata() | {"origin": forecast.origin, "note": DISCLAIMER}


def _fan(forecast: Forecast) -> str:
    if forecast.calibration_hash is None:
        return "raw fan"
    return f"fan calibrated ({forecast.calibration_hash[:8]})"


def chart_html(candles: Candles, forecast: Forecast, look: Look) -> str:
    """The chart as an HTML page on white that works offline.

    Args:
        candles: The bars.
        forecast: The fan.
        look: The look of the chart on the page.
    """
    figure = go.Figure(fan_figure(candles, forecast, **look))
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
    candles_code: str,
    forecast: Forecast,
    *,
    events: str = "",
    currency: str = "",
    levels: Sequence[float] = DEFAULT_LEVELS,
    corridor: float | None = None,
    implied: float | None = None,
) -> str:
    """A script that repeats the forecast and reports other bars or events.

    Args:
        candles_code: Python that assigns the bars to `candles`.
        forecast: The forecast to repeat.
        events: Python that assigns the events to `events`; for a model that reads them.
        currency: Currency of the prices; empty if unknown.
        levels: Levels of the quantiles that it prints.
        corridor: Share of whole paths inside a corridor; see `Forecast.corridor`.
        implied: Annual volatility of a cone; see `Forecast.implied_cone`.
    """
    sampling = forecast.parameters
    shown = "" if tuple(levels) == DEFAULT_LEVELS else repr(tuple(levels))
    lines = "" if corridor is None else f"print(forecast.corridor({corridor!r}))\n"
    if implied is not None:
        lines += f"print(forecast.implied_cone({implied!r}, known.bar_years))\n"
    origin = forecast.origin.tz_convert("UTC").isoformat()
    has_events = forecast.events_hash is not None
    hash_check = f"""\
if forecast.events_hash != "{forecast.events_hash}":
    print("These are not the events that the page used.")
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
{_events_rows_code(forecast, currency) if has_events else ""}\
forecast = {"model" if has_events else _loading(forecast)}.forecast(
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
print(forecast.to_frame({shown}).to_string())
{lines}"""


def _loading(forecast: Forecast) -> str:
    return "load_ensemble()" if forecast.weights else f'kronos.load("{forecast.model_name}")'


def _calibration_code(forecast: Forecast) -> str:
    """The lines that calibrate the fan; none for a raw one."""
    if forecast.calibration_hash is None:
        return ""
    return f"""\
forecast = calibrate(forecast, known, load_state())
if forecast.calibration_hash != "{forecast.calibration_hash}":
    print("This machine's calibration is not the one that the page used.")
"""


_LEADERS_IMPORT = "from data_sources.leaders import fetched_leaders\n"


def events_code(file_name: str, added: Sequence[Event]) -> str:
    """Python that assigns the events of a session to `events`.

    Args:
        file_name: The uploaded file, read from the working directory; "" without one.
        added: Events that were added by hand.
    """
    if not file_name and not added:
        return (
            f"{_LEADERS_IMPORT}from kronos.events import event_inputs, last_close, load_events\n\n"
            "events = load_events()"
        )
    names = ["EventTable", "event_inputs", "last_close", "load_events", "merge_events"]
    head = f"{_LEADERS_IMPORT}from kronos.events import {', '.join(names)}, read_events\n"
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


def _events_rows_code(forecast: Forecast, currency: str) -> str:
    """Python that assigns the model, and its rows of `events` over `known` and `future`."""
    return f"""\
model = {_loading(forecast)}
leaders = fetched_leaders(last_close(known))
inputs = event_inputs(events, known, currency={currency!r}, leaders=leaders)
channels = inputs.rows(known, future, model.facts.event_alignments)
"""


def _quoted(text: str) -> str:
    """A string literal with one line per row."""
    lines = "".join(f"    {line + chr(10)!r}\n" for line in text.splitlines())
    return f"(\n{lines})"
