"""The watchlist page: many instruments, one run, a table to sort."""

import streamlit as st

from kronos.errors import KronosError
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import plain, show_error
from pages.ui.frame.shell import require_shell
from pages.ui.frame.text import DISCLAIMER
from pages.ui.inputs.instruments import SAMPLES
from pages.ui.jobs.run_button import title_line
from pages.ui.watchlist import controls, follow, saved, session, together, view

require_shell()

try:
    with st.sidebar:
        st.header("Watchlist", anchor=False)
        chosen = controls.choose_list()
        request = controls.choose_settings(chosen)
except KronosError as error:
    st.title("Watchlist", anchor=False)
    show_error(error)
    st.stop()
with st.sidebar:
    controls.remember(st.session_state)
    st.caption(DISCLAIMER)
    rules = follow.choose_follow() if chosen.source != SAMPLES else None
    saved.show_saved(chosen)
title, is_pressed = title_line("watch_run_button", disabled=request is None)

refusal = session.respond(request, chosen, pressed=is_pressed)
run = session.WATCHLIST.current()

title.title("Watchlist", anchor=False)
for note in chosen.notes:
    st.caption(f":material/info: {plain(note)}")
with st.container():
    show_link_losses()
view.show_state(run, request, refusal)
if run is not None:
    view.show_board(run, rules)
    view.show_problems(run)
    together.show_together(run)
    view.show_opening(run)
    view.show_downloads(run)
