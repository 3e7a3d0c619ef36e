"""The forecast page: choose candles, set a forecast up, see the fan."""

import streamlit as st

from kronos.errors import InvalidRequest
from pages.ui.chart import view as chart_view
from pages.ui.fan import results
from pages.ui.fan.calibration import choose_fan
from pages.ui.fan.ensemble import show_weights
from pages.ui.forecast import asked, details
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import show_error
from pages.ui.frame.shell import require_shell
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs import controls
from pages.ui.jobs import progress, saving
from pages.ui.jobs.run_button import run_button

require_shell()

with st.sidebar:
    st.header("Kronos Fan", anchor=False)
    source = candle_source.choose_candles()

if source is None:
    if not candle_source.is_waiting():
        asked.greet()
    candle_source.show_no_candles()
    st.stop()

with st.sidebar:
    try:
        request = controls.choose_request(source)
    except InvalidRequest as error:
        show_error(error)
        st.stop()
    is_pressed = run_button("run")

refusal = asked.respond(request, source.candles, pressed=is_pressed)
status = asked.advance(source.data_id)
raw = asked.shown_forecast(source.data_id)

results.show_heading(source.candles, raw)
results.show_facts(source, raw)
show_link_losses()
progress.show_state(request, source, status, refusal, raw)
shown = choose_fan(source.candles, raw)
if raw is not None and shown is not None:
    show_weights(shown)
    results.show_readouts(source.candles, shown)
    results.show_outcome(source.candles, shown)
look = chart_view.show_chart(source, shown)
run = asked.shown_run()
if raw is not None and shown is not None and run is not None:
    results.show_cautions(source, shown)
    details.show_details(source, shown, look)
    saving.save_shown(source, {run.request.digest: raw})
candle_source.show_reading(source)
