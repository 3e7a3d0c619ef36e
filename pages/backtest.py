"""The backtest page: the past performance of a portfolio that follows the forecasts."""

import streamlit as st

from kronos.errors import KronosError
from pages.ui.backtest import controls, view
from pages.ui.backtest.example import backtest_example
from pages.ui.backtest.work import backtest_work, backtests
from pages.ui.frame.access import may_administer, not_offered
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.shell import is_narrow, require_shell
from pages.ui.frame.text import DISCLAIMER
from pages.ui.inputs.instruments import SAMPLES, open_source
from pages.ui.jobs.examples import mark
from pages.ui.jobs.registry import Run
from pages.ui.jobs.run_button import title_line
from pages.ui.jobs.session_runs import LongRuns

OFFERS = "Backtests"

require_shell()
if not may_administer():
    st.title("Backtest", anchor=False)
    finished = backtest_example()
    text = not_offered(OFFERS) + (f" {mark(finished.result.model_revision)}" if finished else "")
    st.info(text, icon=":material/lock:")
    if finished is not None:
        view.show_result(finished, narrow=is_narrow())
    st.stop()
session = LongRuns("backtest", backtests)

try:
    with st.sidebar:
        st.header("Backtest", anchor=False)
        chosen = controls.choose()
except KronosError as error:
    st.title("Backtest", anchor=False)
    show_error(error)
    st.stop()
with st.sidebar:
    request = chosen.request
    st.caption(DISCLAIMER)
title, is_pressed = title_line("backtest_run_button", disabled=request is None)

refusal = None
if is_pressed and request is not None:
    work = backtest_work(
        request, chosen.contents, open_source=open_source, downloads_model=chosen.downloads_model
    )
    refusal = session.start(Run(request.key, request, work))

title.title("Backtest", anchor=False)
for note in chosen.notes:
    st.caption(f":material/info: {plain(note)}")
run = session.current()
is_of_samples = request is not None and request.source == SAMPLES and not any(chosen.contents)
finished = backtest_example() if run is None and is_of_samples else None
if request is None:
    invitation = (
        "Paste symbols in the sidebar, name a Qlib data folder, or upload files of candles, then "
        "press Run."
    )
elif finished is not None:
    invitation = f"{mark(finished.result.model_revision)} Press Run for your own."
else:
    invitation = f"Press Run. {view.RULE}"
with st.container(key="state"):  # see pages/compare.py
    show_link_losses()
    session.show_state(
        None if request is None else request.key,
        invitation=invitation,
        refusal=refusal,
        text=view.state_text,
        after_stop="continue",
    )
if run is not None and run.outcome is not None:
    view.show_result(run.outcome, narrow=is_narrow())
elif finished is not None:
    view.show_result(finished, narrow=is_narrow())
