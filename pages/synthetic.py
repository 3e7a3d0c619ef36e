"""The synthetic page: generated candles, and how realistic they are."""

import streamlit as st

from kronos.errors import InvalidRequest, KronosError, NotOffered
from kronos.synthetic.generate import MIN_CONTEXT
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import show_error
from pages.ui.frame.shell import is_narrow, require_shell
from pages.ui.frame.text import DISCLAIMER
from pages.ui.inputs import candles as candle_source
from pages.ui.jobs import caches
from pages.ui.jobs.examples import mark
from pages.ui.jobs.registry import Run
from pages.ui.jobs.run_button import title_line
from pages.ui.jobs.session_runs import LongRuns
from pages.ui.synthetic import view
from pages.ui.synthetic.example import synthetic_example
from pages.ui.synthetic.work import synthetic_work, synthetics

require_shell()
session = LongRuns("synthetic", synthetics)

with st.sidebar:
    st.header("Synthetic", anchor=False)
    source = candle_source.choose_candles()

if source is None:
    candle_source.show_no_candles()
    st.stop()

try:
    with st.sidebar:
        request, downloads_model = view.choose(source)
except InvalidRequest as error:
    st.title("Synthetic candles", anchor=False)
    show_error(error)
    st.stop()
with st.sidebar:
    has_enough = len(source.candles) >= MIN_CONTEXT
    st.caption(DISCLAIMER)
title, is_pressed = title_line("synthetic_run_button", disabled=not has_enough)

refusal: KronosError | None = None
if is_pressed and has_enough:
    try:
        caches.require_here(request.plan.model)
    except NotOffered as error:
        refusal = error
    else:
        work = synthetic_work(source.candles, request, downloads_model=downloads_model)
        refusal = session.start(Run(request.key, request, work))

title.title("Synthetic candles", anchor=False)
run = session.current()
finished = synthetic_example() if run is None and source.is_sample else None
with st.container():  # see pages/compare.py
    candle_source.ask_clock(source)
    show_link_losses()
    session.show_state(
        request.key,
        invitation=("" if finished is None else f"{mark(finished.forecast.model_revision)} ")
        + (
            "Press Run. The model continues the source from its last bar, and the page compares "
            "the result with the source."
            if has_enough
            else f"The source needs at least {MIN_CONTEXT} bars."
        ),
        refusal=refusal,
        text=view.state_text,
    )
if run is not None and run.outcome is not None:
    view.show_result(run.outcome, narrow=is_narrow())
elif finished is not None:
    view.show_result(finished, narrow=is_narrow())
candle_source.show_reading(source)
