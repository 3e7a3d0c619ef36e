"""The parameters of links: their titles, their kinds, and the pages that read them.

The name of a parameter is the key of its control. A test compares this table with the controls
that are bound to the address.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "LONGEST", "PARAMETERS", "RENAMED", "Parameter", "find", "is_readable", "todays_name",
]  # fmt: skip

LONGEST, LONGEST_NUMBER = 20_000, 64
"""Most characters of a text, and of a number: a list of 200 symbols fits."""

Kind = Literal[
    "number", "numbers", "level", "day", "time", "flag", "choice", "titled", "several", "text"
]  # fmt: skip
"""What the text of a link says: one number or several, a price level from 0, a day, a time, a
switch, an option, the title of one option or of several that have another value, or free text."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a link.

    Attributes:
        title: Name to show.
        kind: How its text is read.
        pages: The pages with its control.
        needs: Parameters that a link has to have for the control to appear, with their values.
    """

    title: str
    kind: Kind
    pages: tuple[str, ...]
    needs: dict[str, str] = field(default_factory=dict)


_OF_CANDLES = ("forecast", "compare", "what_if", "synthetic")
_OF_FORECASTS = _OF_CANDLES[:3]
_TICKER = {"data": "Ticker"}
_UPLOAD = {"data": "My own file"}
_OTHER = "Another exchange"
_MARKET = {"bt_source": "Yahoo Finance"}
_LISTED = {"list_source": "Yahoo Finance"}


def _of(page: str, kind: Kind, **titles: str) -> dict[str, Parameter]:
    """Parameters of one kind on one page, by name, from their titles."""
    return {name: Parameter(title, kind, (page,)) for name, title in titles.items()}


_FANS = {"raw": "Raw fan", "calibrated": "Calibrated fan"}
RENAMED = {
    "data": {"my own csv file": "My own file"},
    "shape": {"candles": "Candles", "bars": "Bars", "line": "Line"},
    "view": {"price": "Price", "percent": "% from origin", "log": "Log price"},
    "window": {
        "auto": "Near",
        "near": "Near",
        "1m": "1M",
        "3m": "3M",
        "6m": "6M",
        "all": "All",
    },
    "layers": {"bands": "Bands", "paths": "Paths", "events": "Events"},
    "details": {
        "risk": "Risk",
        "quantiles": "Quantiles",
        "made": "How it was made",
        "tokens": "Tokens",
        "download": "Download",
        "python": "Download",
    },
    "fan_kind": _FANS,
    "stale_fan_kind": _FANS,
    "arrangement": {"panels": "Panels", "overlay": "Overlay"},
}  # fmt: skip
"""Other names of options in links, in lower case, by parameter: what the page calls them today.

Those of earlier versions, and the short ones that somebody writes who types a link.
"""

PARAMETERS: dict[str, Parameter] = {
    "data": Parameter("data", "choice", _OF_CANDLES),
    "source": Parameter("source", "choice", _OF_CANDLES, _TICKER),
    "exchange": Parameter("exchange", "choice", _OF_CANDLES, _TICKER | {"source": _OTHER}),
    "symbol": Parameter("symbol", "text", _OF_CANDLES, _TICKER),
    "interval": Parameter("interval", "choice", _OF_CANDLES, _TICKER),
    "raw": Parameter("raw prices", "flag", _OF_CANDLES, _TICKER),
    "upload_clock": Parameter("clock of the file", "titled", _OF_CANDLES, _UPLOAD),
    "origin": Parameter("origin", "day", _OF_FORECASTS),
    "origin_time": Parameter("origin time", "time", _OF_FORECASTS, {"origin": "2019-09-02"}),
    "horizon": Parameter("horizon", "number", _OF_FORECASTS),
    "paths": Parameter("paths", "number", _OF_FORECASTS),
    "seed": Parameter("seed", "number", _OF_FORECASTS),
    "view": Parameter("view", "titled", _OF_FORECASTS),
    "fan_kind": Parameter("fan", "titled", ("forecast", "compare")),
    "stale_fan_kind": Parameter("fan", "titled", ("forecast", "compare")),
    "bars_*": Parameter("bars ahead", "numbers", ("compare", "what_if")),
    **_of("forecast", "choice", model="model"),
    **_of("forecast", "number", lookback="lookback", T="T", top_p="top-p", top_k="top-k"),
    **_of("forecast", "level", stop="stop", target="target"),
    **_of("forecast", "level", risk_budget="risk budget"),
    **_of("forecast", "number", implied_volatility="implied volatility"),
    **_of("forecast", "text", quantiles="quantiles"),
    **_of("forecast", "flag", corridor="corridor"),
    "follow": Parameter("follow", "flag", ("forecast",), _TICKER),
    "alerts": Parameter("alerts", "text", ("forecast",), _TICKER | {"follow": "true"}),
    **_of("forecast", "titled", shape="bars", window="window", details="details"),
    **_of("forecast", "several", layers="layers", studies="studies"),
    **_of("forecast", "text", levels="levels", zoom="section of the chart"),
    **_of("compare", "number", models="models to compare"),
    **_of("compare", "choice", **{slot: f"model {slot.upper()}" for slot in "abcd"}),
    **_of("compare", "number", **{f"T{slot}": f"T of {slot.upper()}" for slot in "abcd"}),
    **_of("compare", "number", **{f"p{slot}": f"top-p of {slot.upper()}" for slot in "abcd"}),
    **_of("compare", "titled", arrangement="arrangement"),
    **_of("what_if", "choice", told_model="model", add="event", add_on="bar", surprise="release"),
    "on_*": Parameter("event", "flag", ("what_if",)),
    "size_*": Parameter("surprise", "number", ("what_if",)),
    **_of("synthetic", "choice", syn_model="model"),
    **_of("synthetic", "number", syn_bars="bars", syn_series="series", syn_seed="seed"),
    **_of("synthetic", "number", syn_T="T", syn_top_p="top-p"),
    **_of("watchlist", "titled", list_source="source"),
    "list_exchange": Parameter("exchange", "titled", ("watchlist",), {"list_source": _OTHER}),
    "symbols": Parameter("symbols", "text", ("watchlist",), _LISTED),
    "list_interval": Parameter("interval", "choice", ("watchlist",), _LISTED),
    **_of("watchlist", "text", samples="symbols"),
    **_of("watchlist", "choice", list_model="model"),
    **_of("watchlist", "number", list_horizon="horizon", list_paths="paths", list_seed="seed"),
    **_of("forecasts", "choice", stored_instrument="instrument", stored_model="model"),
    **_of("forecasts", "choice", stored_interval="interval"),
    **_of("forecasts", "titled", stored_state="outcome"),
    **_of("forecasts", "text", stored="forecast"),
    "list_follow": Parameter("follow", "flag", ("watchlist",), _LISTED),
    "list_alerts": Parameter("alerts", "text", ("watchlist",), _LISTED | {"list_follow": "true"}),
    **_of("track_record", "choice", record_model="model", record_interval="interval"),
    **_of("track_record", "titled", record_class="asset class", record_made="forecast made"),
    **_of("track_record", "titled", record_sample="sample", record_days="days"),
    **_of("backtest", "titled", bt_source="source", bt_signal="signal"),
    **_of("backtest", "flag", bt_samples="use of the samples", bt_reweigh="equal weights"),
    "bt_symbols": Parameter("symbols", "text", ("backtest",), _MARKET),
    "bt_interval": Parameter("interval", "choice", ("backtest",), _MARKET),
    "bt_k": Parameter("top k", "number", ("backtest",), _MARKET),
    "bt_from": Parameter("first day", "day", ("backtest",), _MARKET),
    "bt_to": Parameter("last day", "day", ("backtest",), _MARKET),
    **_of("backtest", "day", bt_from_samples="first day", bt_to_samples="last day"),
    **_of("backtest", "choice", bt_model="model"),
    **_of("backtest", "number", bt_k_samples="top k", bt_drop="drop n", bt_every="rebalance"),
    **_of("backtest", "number", bt_hold="min. hold", bt_horizon="horizon", bt_paths="paths"),
    **_of("backtest", "number", bt_buy="purchase cost", bt_sell="sale cost"),
    **_of("backtest", "number", bt_limit="daily price limit", bt_trials="trials"),
    **_of("backtest", "number", bt_momentum="momentum lookback", bt_seed="seed"),
    **_of("training", "text", run="training run"),
}
"""All parameters by name. A name that ends in * stands for every name that begins like it."""


def find(name: str) -> Parameter | None:
    """The parameter of a name in an address, or None."""
    if (found := PARAMETERS.get(name)) is not None:
        return found
    stems = ((stem[:-1], each) for stem, each in PARAMETERS.items() if stem.endswith("*"))
    return next((each for stem, each in stems if name.startswith(stem)), None)


def todays_name(name: str, text: str) -> str:
    """What the page calls an option of a link today; the text itself where that is its name."""
    return RENAMED.get(name, {}).get(text.casefold(), text)


def is_readable(name: str, text: str) -> bool:
    """Whether a control may read a text of the address.

    The controls of Streamlit compare what they read with their bounds, and fail at a number that
    is infinite or too large for a float. Everything else that they cannot hold, they leave out.
    """
    parameter = find(name)
    if parameter is not None and parameter.kind == "titled" and not text:
        return False  # a control that requires an option would have none
    if parameter is None or parameter.kind not in ("number", "numbers", "level"):
        return len(text) <= LONGEST
    try:
        return len(text) <= LONGEST_NUMBER and math.isfinite(float(text))
    except ValueError:
        return True
