"""The controls of the Forecast page as chips: widgets in, checked settings out.

A chip shows the value of its controls and opens them. Its label is needed before its controls are
there: it shows what the session, else the link, else the default says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from data_sources.samples import SAMPLES
from kronos import models
from kronos.forecast import SamplingParameters
from pages.ui.forecast.well_known import choose_well_known
from pages.ui.frame.glossary import meaning
from pages.ui.frame.links import linked_or_chosen
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs import controls
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import choose_own_events, events_for, own_events
from pages.ui.inputs.model_choices import ensemble_entry, ensemble_remark, model_state
from pages.ui.inputs.ticker import DEFAULT_INTERVAL, OTHERS, TICKER
from pages.ui.jobs import caches
from pages.ui.jobs.settings import DEFAULT_HORIZON, MIN_CONTEXT, ForecastSettings, default_paths

_POPOVER_PIXELS = 300
_PATHS_OF_MODEL = "default_paths"


def choose_source() -> ChosenCandles | None:
    """The chip of the bars; None while there are none, see `choose_candles`."""
    with _chip("data", _source_title()):
        source = candle_source.choose_candles()
        if source is None or not source.is_sample:
            choose_well_known()
        return source


def choose_settings(source: ChosenCandles) -> ForecastSettings:
    """The chips of the forecast.

    Raises:
        InvalidRequest: A value of the link is out of range.
    """
    with _chip("model", linked_or_chosen("model", "Bundled")):
        model = _choose_model()
    horizon = _number("horizon", DEFAULT_HORIZON)
    day = linked_or_chosen("origin", "")
    with _chip("horizon", counted(horizon, "bar") + (f" from {day}" if day else "")):
        horizon = controls.choose_horizon()
        origin = controls.choose_origin(source)
    n_paths = _follow_model(model)
    with _chip("paths", counted(_number("paths", n_paths), "path")):
        paths = controls.choose_paths(n_paths)
        seed = controls.choose_seed()
    with _chip("sampling", _sampling_title()):
        lookback = _choose_lookback(model)
        temperature, top_p, top_k = _choose_shares()
    n_own = len(own_events())
    with _chip("events", f"Own events: {n_own:,}" if n_own else "Own events"):
        choose_own_events(source.candles, currency=source.currency)
    return ForecastSettings(
        data_id=source.data_id,
        model=model.name,
        horizon=horizon,
        sampling=SamplingParameters(
            T=temperature, top_p=top_p, top_k=top_k, sample_count=paths, seed=seed
        ),
        origin=origin,
        lookback=lookback,
        events=events_for(source, model.name),
    )


def _follow_model(model: models.Entry) -> int:
    """The default number of paths of a model, taken over where nobody chose another number."""
    state, default = st.session_state, default_paths(model)
    if _PATHS_OF_MODEL in state and state.get("paths") == state[_PATHS_OF_MODEL]:
        state["paths"] = default
    state[_PATHS_OF_MODEL] = default
    return default


@contextmanager
def _chip(name: str, label: str) -> Iterator[None]:
    # The key keeps it open while its label changes.
    with st.popover(plain(label), key=f"chip_{name}"), st.container(width=_POPOVER_PIXELS):
        yield


def _number(name: str, default: int) -> int:
    try:
        return int(float(linked_or_chosen(name, str(default))))
    except (ValueError, OverflowError):
        return default


def _source_title() -> str:
    """Source and width of the bars."""
    samples = {sample.title: sample for sample in SAMPLES.values()}
    chosen = linked_or_chosen("data", "")
    if chosen == TICKER:
        source = linked_or_chosen("source", "Yahoo Finance")
        source = linked_or_chosen("exchange", "Exchange") if source == OTHERS else source
        return f"{source}, {linked_or_chosen('interval', DEFAULT_INTERVAL)}"
    if chosen == candle_source.UPLOAD:
        return "Own file"
    return f"Sample, {samples.get(chosen, next(iter(SAMPLES.values()))).interval}"


def _sampling_title() -> str:
    shares = [linked_or_chosen(name, "1") for name in ("T", "top_p")]
    try:
        return "T {:g} · top-p {:g}".format(*map(float, shares))
    except ValueError:
        return "T 1 · top-p 1"


def _choose_model() -> models.Entry:
    entries = {entry.title: entry for entry in caches.usable_models()}
    if (ensemble := ensemble_entry()) is not None:
        entries[ensemble.title] = ensemble
    title = st.selectbox("Model", list(entries), key="model", bind="query-params")
    is_ensemble = entries[title].name == models.ENSEMBLE
    st.caption(plain(ensemble_remark()) if is_ensemble else model_state(entries[title]))
    return entries[title]


def _choose_lookback(model: models.Entry) -> int | None:
    advised = f"{model.lookback}" if model.lookback else "all that fit"
    lookback = st.number_input(
        "Lookback (bars)", MIN_CONTEXT, max(model.max_context, MIN_CONTEXT), None, 16,
        key="lookback", bind="query-params", placeholder=f"Recommended: {advised}",
        help=meaning(
            "Lookback",
            f"At most {model.max_context}. Empty: the recommended number.",
        ),
    )  # fmt: skip
    return None if lookback is None else int(lookback)


def _choose_shares() -> tuple[float, float, int]:
    """Temperature, top-p and top-k."""
    temperature = st.slider(
        "Temperature T", 0.0, 2.0, 1.0, 0.05, key="T", bind="query-params",
        help=meaning("Temperature T"),
    )  # fmt: skip
    top_p = st.slider(
        "Top-p", 0.05, 1.0, 1.0, 0.05, key="top_p", bind="query-params",
        help=meaning("Top-p"),
    )  # fmt: skip
    top_k = st.number_input(
        "Top-k", 0, 1024, 0, key="top_k", bind="query-params",
        help=meaning("Top-k"),
    )  # fmt: skip
    st.session_state[controls.SAMPLED_WITH] = {"T": float(temperature), "p": float(top_p)}
    return round(float(temperature), 4), round(float(top_p), 4), int(top_k)
