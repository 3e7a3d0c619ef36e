"""The Compare page: several models on the same candles, from one origin, with one seed."""

import streamlit as st

from kronos.errors import InvalidRequest
from pages.ui.compare import view
from pages.ui.compare.controls import choose_requests
from pages.ui.fan.results import show_facts
from pages.ui.fan.side_by_side import show_state
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import show_error
from pages.ui.frame.shell import is_narrow, require_shell
from pages.ui.frame.text import DISCLAIMER
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs.controls import choose_source
from pages.ui.jobs import saving
from pages.ui.jobs.forecast_runs import COMPARISON
from pages.ui.jobs.run_button import chip_line, run_button

require_shell()

line = chip_line()
with line.chips:
    source = choose_source()

if source is None:
    if not candle_source.is_waiting():
        COMPARISON.greet()
    candle_source.show_no_candles()
    st.stop()

try:
    with line.chips:
        requests = choose_requests(source)
except InvalidRequest as error:
    with line.name:
        view.show_heading(source.candles, [])
    show_error(error)
    st.stop()
with line.run:
    is_pressed = run_button("run_comparison")

refusal = COMPARISON.respond(requests, source.candles, pressed=is_pressed)
statuses = COMPARISON.advance(source.data_id)
found = COMPARISON.finished(source.data_id)

with line.name:
    view.show_heading(source.candles, found)
with line.facts:
    show_facts(source, None)
# Always one element: a control that changes its place among the elements is mounted again and
# loses its binding to the address bar.
with st.container():
    candle_source.ask_clock(source)
    show_link_losses()
    show_state(
        COMPARISON,
        view.WORDS,
        requests,
        source,
        statuses,
        refusal,
        has_older=bool(found),
    )
with st.container(horizontal=True, vertical_alignment="center"):
    look = view.choose_look()
    contenders = view.contenders_of(source.candles, found)
narrow = is_narrow()
view.show_chart(source.candles, contenders, look, narrow=narrow)
if contenders:
    view.show_tables(source.candles, found, contenders, narrow=narrow)
    view.show_cautions(source, contenders)
    shown = {one.run.request.digest: one.forecast for one in found}
    saving.save_shown(source.candles, source.source_name, shown)
st.caption(DISCLAIMER)
candle_source.show_reading(source)
