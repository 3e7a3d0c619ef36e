"""The Forecast page: choose candles, set up a forecast, see the fan."""

import streamlit as st

from kronos.errors import InvalidRequest
from pages.ui.chart import levels
from pages.ui.chart import view as chart_view
from pages.ui.fan import results
from pages.ui.fan.calibration import choose_fan
from pages.ui.forecast import controls, follow, view, well_known
from pages.ui.forecast.lines import choose_lines, chosen_lines
from pages.ui.forecast.span import choose_span
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import show_error
from pages.ui.frame.shell import require_shell
from pages.ui.inputs import candles as candle_source
from pages.ui.inputs.ticker import show_stale
from pages.ui.jobs import saving
from pages.ui.jobs.forecast_runs import FORECAST
from pages.ui.jobs.run_button import chip_line, run_button

require_shell()

with st.sidebar, st.container():  # before any control, as it may choose the bars
    well_known.open_unasked()

name, chips, facts, run = chip_line()
with chips:
    source = controls.choose_source()

if source is None:
    if not candle_source.is_waiting():
        FORECAST.greet()
    candle_source.show_no_candles()
    st.stop()

try:
    with chips:
        request = controls.choose_settings(source)
        rules = follow.choose_follow(source)
except InvalidRequest as error:
    with name:
        results.show_heading(source.candles, None)
    show_error(error)
    st.stop()
with run:
    is_pressed = run_button("run")

is_renewed = follow.take_renewed() or controls.has_event_news(request)
refusal = FORECAST.respond([request], source.candles, pressed=is_pressed, renewed=is_renewed)
status = next(iter(FORECAST.advance(source.data_id)), None)
finished = FORECAST.finished(source.data_id)
raw = finished[0].forecast if finished else None

with name:
    results.show_heading(source.candles, raw)
with facts:
    results.show_facts(source, raw)
with st.container(key="state"):  # always one element: see pages/compare.py
    if source.bars is not None:
        show_stale(source.bars)
    candle_source.ask_clock(source)
    well_known.show_beside_sample(source)
    show_link_losses()
    view.show_state(request, source, status, refusal, raw)
with st.container():  # as above
    shown = None
    if raw is not None:
        with st.container(horizontal=True, border=True, gap="small", key="strip"):
            readouts = st.container(horizontal=True, gap="small", width="content", key="readouts")
            shown = choose_fan(source.candles, raw)
        if shown is not None:
            with readouts:
                results.show_verdicts(source, shown)
with st.container():  # as above
    follow.show_follow(source, request, rules, shown)
with st.container(horizontal=True, gap="small", key="desk"):
    picture = st.container(key="picture")
    panel = st.container(width=348, key="panel")
    with panel:
        drawn = levels.choose_levels(source.candles.symbol)
        levels.show_levels(source.candles, shown, drawn)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            chosen = chart_view.choose_studies()
            choose_lines()
    with picture:
        lines = chosen_lines()
        overlays = () if shown is None else lines.overlays(source.candles, shown)
        look = chart_view.show_chart(source, shown, request.origin, drawn, overlays, chosen)
        choose_span(source, request)
        if raw is not None and shown is not None:
            results.show_volume_note(source.candles)
            results.show_outcome(source.candles, shown)
            results.show_weights(shown)
            results.show_cautions(source, shown)
    with panel:
        request_of = finished[0].run.request if finished else None
        view.show_panel(source, shown, request_of, look, lines)
if finished and raw is not None:
    saving.save_shown(source.candles, source.source_name, {finished[0].run.request.digest: raw})
candle_source.show_reading(source)
well_known.fetch_unasked()
