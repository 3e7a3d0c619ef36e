"""What has come out of a run: its figures, keeping the adapter, and where to go with it."""

from __future__ import annotations

import streamlit as st

from kronos import models
from kronos.errors import InvalidRequest, KronosError
from kronos.models.adapters import adapter_path
from pages.ui.fan.results import show_number
from pages.ui.frame.links import open_page
from pages.ui.frame.messages import show_error
from pages.ui.frame.text import origin_query
from pages.ui.inputs.candles import UPLOAD, hand_over
from pages.ui.jobs import caches
from pages.ui.jobs.forecast_runs import COMPARISON, FORECAST
from pages.ui.training.folder import KeptSeries, TrainingRun
from pages.ui.training.text import result_facts, verdict

_REFUSED = "keeping refused"


def show_outcome(run: TrainingRun) -> None:
    """Figures, and what can be done with the adapter."""
    lines = run.lines()
    helped, words = verdict(lines)
    if helped:
        st.success(words, icon=":material/check_circle:")
    else:
        st.warning(words, icon=":material/balance:")
    with st.container(horizontal=True, gap="medium", key="training_result"):
        for fact in result_facts(lines):
            show_number(fact)
    if run.kept_as and adapter_path(run.kept_as) is not None:
        _show_ways(run)
    else:
        _show_keeping(run)


def _show_keeping(run: TrainingRun) -> None:
    st.subheader("Keep it as a model", anchor=False)
    st.caption(
        "A kept model belongs to this machine: everybody who uses this server sees its name and "
        "can forecast with it or delete it. Your bars stay yours."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Name", key="train_name", max_chars=63, width=320, placeholder="my-candles",
            help="Lower-case letters, digits, dots, hyphens and underscores.",
        )  # fmt: skip
        st.button(
            "Keep as a model", key="train_keep", type="primary", icon=":material/save:",
            on_click=_keep, args=(run,),
        )  # fmt: skip
    refused = st.session_state.pop(_REFUSED, None)
    if refused is not None:
        show_error(refused)


def _keep(run: TrainingRun) -> None:
    name = str(st.session_state.get("train_name") or "").strip()
    try:
        keep(run, name)
    except KronosError as error:
        st.session_state[_REFUSED] = error


def keep(run: TrainingRun, name: str) -> None:
    """Registers a run's adapter under a name that nothing else has.

    Raises:
        InvalidRequest: The name cannot be one, or is taken.
    """
    models.require_free(name)
    if adapter_path(name) is not None:
        # On this page nobody takes the place of somebody else's model.
        raise InvalidRequest(
            f"{name} is the name of a model already; choose another, or delete that one on the "
            "Models page."
        )
    models.install(run.adapter, name)
    run.note_kept(name)
    caches.models.clear()


def _show_ways(run: TrainingRun) -> None:
    """Compare and Forecast with the adapter, on bars of the run."""
    st.subheader("Use it", anchor=False)
    series = run.series
    with st.container(horizontal=True, vertical_alignment="bottom"):
        i = st.selectbox(
            "On", range(len(series)), format_func=lambda i: series[i].title, key="train_open",
            width=320,
        )  # fmt: skip
        to_compare = st.button(
            "Compare with its base", key="train_compare", type="primary",
            icon=":material/compare_arrows:",
        )  # fmt: skip
        to_forecast = st.button("Forecast", key="train_forecast", icon=":material/insights:")
    st.caption(
        "Compare begins so far in the past that what came is drawn and scored. Those bars chose "
        "the step, so a hit there proves little; the score on newer bars counts."
    )
    if to_compare or to_forecast:
        _open(run, series[int(i or 0)], compare=to_compare)


def _open(run: TrainingRun, series: KeptSeries, *, compare: bool) -> None:
    told = run.settings
    titles = {entry.name: entry.title for entry in caches.models()}
    candles = run.candles(series)
    if not series.sample:
        hand_over(candles, series.title, run.choices)
    query = {"data": series.sample or UPLOAD, "horizon": str(told.horizon)}
    if compare:
        origin = candles.local_index[-1 - min(told.horizon, len(candles) // 2)]
        query |= {
            "models": "2",
            "a": titles.get(told.base, told.base),
            "b": titles.get(run.kept_as, run.kept_as),
            **origin_query(origin, candles.interval),
        }
        COMPARISON.expect_visit()
        open_page("compare", query)
    FORECAST.expect_visit()
    query["model"] = titles.get(run.kept_as, run.kept_as)
    open_page("forecast", query)
