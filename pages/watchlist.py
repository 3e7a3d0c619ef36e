"""The watchlist page: many instruments, one run, a table to sort."""

import streamlit as st

from kronos.errors import KronosError
from pages.ui.disclaimer import DISCLAIMER
from pages.ui.messages import plain, show_error
from pages.ui.shell import require_shell
from pages.ui.watchlist import board, controls, keeping, session

require_shell()

with st.sidebar:
    st.header("Kronos Fan", anchor=False)
    try:
        chosen = controls.choose_list()
        request = controls.choose_settings(chosen)
    except KronosError as error:
        show_error(error)
        st.stop()
    controls.remember(st.session_state)
    run_pressed = st.button(
        "Run",
        key="watch_run_button",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        shortcut="Ctrl+Enter",
        disabled=request is None,
    )
    st.caption(DISCLAIMER)
    keeping.show_keeping(chosen)

refusal = session.respond(request, chosen, pressed=run_pressed)
run = session.current()

st.title("Watchlist", anchor=False)
for note in chosen.notes:
    st.caption(f":material/info: {plain(note)}")
board.show_state(run, request, refusal)
if run is not None:
    board.show_board(run)
    board.show_problems(run)
    board.show_opening(run)
    keeping.show_downloads(run)
