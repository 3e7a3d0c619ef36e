"""The what-if page: events switched off, added and supposed, and what the fan makes of them."""

from dataclasses import replace

import streamlit as st

from kronos.errors import InvalidRequest
from kronos.models import kind_of
from pages.ui.fan.results import show_cautions
from pages.ui.fan.side_by_side import show_state
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import show_error
from pages.ui.frame.shell import require_shell
from pages.ui.frame.viewport import is_narrow
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs.request import context_of
from pages.ui.jobs import saving
from pages.ui.jobs.run_button import run_button
from pages.ui.what_if import controls, results, scenario

require_shell()

with st.sidebar:
    st.header("What if", anchor=False)
    source = candle_source.choose_candles()

if source is None:
    if not candle_source.is_waiting():
        results.WHAT_IF.greet()
    candle_source.show_no_candles()
    st.stop()

with st.sidebar:
    try:
        as_scheduled = controls.choose_plain(source)
        known = context_of(source.candles, as_scheduled.origin)
    except InvalidRequest as error:
        show_error(error)
        st.stop()
    is_pressed = run_button("run_what_if")

heading = st.container()
requests = [as_scheduled]
with st.container():  # see pages/compare.py
    told = as_scheduled.events
    if told is None:
        results.show_deaf(as_scheduled.model)
    else:
        ahead = scenario.look_ahead(known, as_scheduled.horizon, told)
        edits = controls.choose_edits(ahead, told)
        at_once = kind_of(as_scheduled.model) == "chronos"
        first = scenario.first_changed(ahead, told, edits, at_once=at_once)
        results.show_reach(edits, first, as_scheduled.horizon, at_once=at_once)
        if first is not None:
            requests.append(replace(as_scheduled, events=edits.apply(told)))

refusal = results.WHAT_IF.respond(requests, source.candles, pressed=is_pressed)
statuses = results.WHAT_IF.advance(source.data_id)
found = results.WHAT_IF.finished(source.data_id)

with heading:
    results.show_heading(source.candles, found)
with st.container():  # see pages/compare.py
    show_link_losses()
    show_state(
        results.WHAT_IF,
        results.WORDS,
        requests,
        source,
        statuses,
        refusal,
        has_older=bool(found),
    )
results.show_fans(source, found, narrow=is_narrow())
if found:
    show_cautions(source, found[0].forecast)
    # A fan of supposed events foretells nothing, so only the one as scheduled is kept.
    saving.save_shown(
        source, {one.run.request.digest: one.forecast for one in found if not one.place}
    )
candle_source.show_reading(source)
