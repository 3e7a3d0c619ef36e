"""The controls of the Forecast page as chips: widgets in, checked settings out."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from kronos import models
from kronos.forecast import SamplingParameters
from pages.ui.forecast.well_known import choose_well_known
from pages.ui.frame.glossary import meaning
from pages.ui.frame.links import linked_or_chosen
from pages.ui.frame.messages import plain
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs import controls
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import events_for, own_events_digest
from pages.ui.inputs.model_choices import ensemble_entry, ensemble_remark, model_state
from pages.ui.jobs import caches
from pages.ui.jobs.forecast_runs import FORECAST
from pages.ui.jobs.settings import MIN_CONTEXT, ForecastSettings, default_paths

_PATHS_OF_MODEL, _OWN_EVENTS = "default_paths", "own_events_known"


def choose_source() -> ChosenCandles | None:
    """The chip of the bars; None while there are none, see `choose_candles`."""
    with controls.chip("data", controls.source_title()):
        source = candle_source.choose_candles()
        if source is None or not source.is_sample:
            choose_well_known()
        return source


def choose_settings(source: ChosenCandles) -> ForecastSettings:
    """The chips of the forecast.

    Raises:
        InvalidRequest: A value of the link is out of range.
    """
    entries = _models()
    title = linked_or_chosen("model", "")
    with controls.chip("model", title if title in entries else next(iter(entries))):
        model = _choose_model(entries)
    horizon, origin = controls.choose_ahead(source)
    paths, seed = controls.choose_draws(_follow_model(model))
    with controls.chip("sampling", _sampling_title()):
        lookback = _choose_lookback(model)
        temperature, top_p, top_k = _choose_shares()
    controls.choose_events(source)
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


def has_event_news(settings: ForecastSettings) -> bool:
    """Whether the calendar or a leading market alone differs from what the last forecast knew.

    What the visitor changes waits for Run; what was fetched unasked since then does not.
    """
    state, own = st.session_state, own_events_digest()
    known = next((run.settings for run in FORECAST.runs()), settings)
    if known == settings:
        state[_OWN_EVENTS] = own
        return False
    is_same = state.get(_OWN_EVENTS) == own and not FORECAST.is_cancelled()
    return is_same and replace(known, events=settings.events) == settings


def _follow_model(model: models.Entry) -> int:
    """The default number of paths of a model, taken over where nobody chose another number."""
    state, default = st.session_state, default_paths(model)
    if _PATHS_OF_MODEL in state and state.get("paths") == state[_PATHS_OF_MODEL]:
        state["paths"] = default
    state[_PATHS_OF_MODEL] = default
    return default


def _sampling_title() -> str:
    limits = {"T": controls.T_LIMITS, "top_p": controls.TOP_P_LIMITS}
    return "T {:g} · top-p {:g}".format(
        *(controls.linked_number(name, 1.0, *ends) for name, ends in limits.items())
    )


def _models() -> dict[str, models.Entry]:
    """What can forecast, by title."""
    entries = {entry.title: entry for entry in caches.usable_models()}
    if (ensemble := ensemble_entry()) is not None:
        entries[ensemble.title] = ensemble
    return entries


def _choose_model(entries: dict[str, models.Entry]) -> models.Entry:
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
        "Temperature T", *controls.T_LIMITS, 1.0, 0.05, key="T", bind="query-params",
        help=meaning("Temperature T"),
    )  # fmt: skip
    top_p = st.slider(
        "Top-p", *controls.TOP_P_LIMITS, 1.0, 0.05, key="top_p", bind="query-params",
        help=meaning("Top-p"),
    )  # fmt: skip
    top_k = st.number_input(
        "Top-k", 0, 1024, 0, key="top_k", bind="query-params",
        help=meaning("Top-k"),
    )  # fmt: skip
    st.session_state[controls.SAMPLED_WITH] = {"T": float(temperature), "p": float(top_p)}
    return round(float(temperature), 4), round(float(top_p), 4), int(top_k)
