"""The Forecast page: choose candles, set up a forecast, see the fan."""

import streamlit as st

from kronos.errors import InvalidRequest
from pages.ui.chart import view as chart_view
from pages.ui.fan import results
from pages.ui.fan.calibration import choose_fan
from pages.ui.forecast import view
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import show_error
from pages.ui.frame.shell import require_shell
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs import controls
from pages.ui.jobs import saving
from pages.ui.jobs.forecast_runs import FORECAST
from pages.ui.jobs.run_button import run_button

require_shell()

with st.sidebar:
    st.header("Kronos Fan", anchor=False)
    source = candle_source.choose_candles()

if source is None:
    if not candle_source.is_waiting():
        FORECAST.greet()
    candle_source.show_no_candles()
    st.stop()

with st.sidebar:
    try:
        request = controls.choose_request(source)
    except InvalidRequest as error:
        show_error(error)
        st.stop()
    is_pressed = run_button("run")

refusal = FORECAST.respond([request], source.candles, pressed=is_pressed)
status = next(iter(FORECAST.advance(source.data_id)), None)
finished = FORECAST.finished(source.data_id)
raw = finished[0].forecast if finished else None

results.show_heading(source.candles, raw)
results.show_facts(source, raw)
with st.container():  # see pages/compare.py
    candle_source.ask_clock(source)
show_link_losses()
view.show_state(request, source, status, refusal, raw)
shown = choose_fan(source.candles, raw)
if raw is not None and shown is not None:
    results.show_weights(shown)
    results.show_readouts(source.candles, shown)
    results.show_outcome(source.candles, shown)
look = chart_view.show_chart(source, shown)
if raw is not None and shown is not None:
    results.show_cautions(source, shown)
    view.show_details(source, shown, finished[0].run.request, look)
    saving.save_shown(source.candles, source.source_name, {finished[0].run.request.digest: raw})
candle_source.show_reading(source)
