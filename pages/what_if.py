"""The What-if page: switch events off, add one or assume an outcome, and compare the fans."""

from dataclasses import replace

import streamlit as st

from kronos.errors import InvalidRequest
from kronos.models import kind_of
from pages.ui.fan.results import show_cautions, show_facts, show_verdicts
from pages.ui.fan.side_by_side import show_state
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import show_error
from pages.ui.frame.shell import is_narrow, require_shell
from pages.ui.frame.text import DISCLAIMER
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs.controls import choose_source
from pages.ui.inputs.events import alignments_of
from pages.ui.jobs import saving
from pages.ui.jobs.run_button import chip_line, run_button
from pages.ui.jobs.settings import context_of
from pages.ui.what_if import controls, view, work

require_shell()

line = chip_line()
with line.chips:
    source = choose_source()

if source is None:
    if not candle_source.is_waiting():
        view.WHAT_IF.greet()
    candle_source.show_no_candles()
    st.stop()

try:
    with line.chips:
        as_scheduled = controls.choose_plain(source)
        known = context_of(source.candles, as_scheduled.origin)
except InvalidRequest as error:
    with line.name:
        view.show_heading(source.candles, [])
    show_error(error)
    st.stop()
with line.run:
    is_pressed = run_button("run_what_if")
state, strip = st.container(), st.container()
with st.container(horizontal=True, gap="small", key="desk"):
    picture = st.container(key="picture")
    panel = st.container(width=348, key="panel")

requests = [as_scheduled]
with panel:
    events = as_scheduled.events
    if events is None:
        view.show_reads_no_events(as_scheduled.model)
    else:
        ahead = work.look_ahead(known, as_scheduled.horizon, events)
        edits = controls.choose_edits(ahead, events)
        at_once = kind_of(as_scheduled.model) == "chronos"
        alignments = alignments_of(as_scheduled.model)
        first = work.first_changed(ahead, events, edits, alignments=alignments, at_once=at_once)
        is_in_time = "ahead" in alignments
        view.show_reach(edits, first, as_scheduled.horizon, at_once=at_once, is_in_time=is_in_time)
        if first is not None:
            requests.append(replace(as_scheduled, events=edits.apply(events)))
    st.caption(DISCLAIMER)

refusal = view.WHAT_IF.respond(requests, source.candles, pressed=is_pressed)
statuses = view.WHAT_IF.advance(source.data_id)
found = view.WHAT_IF.finished(source.data_id)

with line.name:
    view.show_heading(source.candles, found)
with line.facts:
    show_facts(source, None)
with state:
    candle_source.ask_clock(source)
    show_link_losses()
    show_state(
        view.WHAT_IF,
        view.WORDS,
        requests,
        source,
        statuses,
        refusal,
        has_older=bool(found),
    )
if found:
    with strip, st.container(horizontal=True, border=True, gap="small", key="strip"):
        show_verdicts(source, found[0].forecast)
with picture:
    view.show_fans(source, found, narrow=is_narrow())
if found:
    show_cautions(source, found[0].forecast)
    # A fan of assumed events predicts nothing: only the forecast as scheduled is saved.
    shown = {one.run.request.digest: one.forecast for one in found if not one.place}
    saving.save_shown(source.candles, source.source_name, shown)
candle_source.show_reading(source)
