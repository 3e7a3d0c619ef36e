"""The track-record page: outcomes and scores of the stored forecasts."""

import streamlit as st

from pages.ui.frame.links import show_link_losses
from pages.ui.frame.shell import is_narrow, require_shell
from pages.ui.track_record import controls, view, walks
from pages.ui.track_record.record import CARD, SERVER
from pages.ui.track_record.study import Chosen
from pages.ui.track_record.text import READING

require_shell()
if walks.has_ended():
    controls.show_walk()

with st.sidebar:
    st.header("Track record", anchor=False)
    of = controls.choose_record(has_walk=walks.has_record())
    chosen = controls.choose(of)

st.title("Track record", anchor=False)
st.caption(
    "Scores of all forecasts on this server. All visitors see the same record."
    if of == SERVER
    else "Scores of forecasts, and of the baselines on the same bars."
)
with st.container():
    show_link_losses()
walks.show()
answer = view.look(chosen, of)
if of == SERVER:
    view.show_scoring()
if of == SERVER and answer is not None and view.is_empty(answer, chosen):
    view.show_empty(answer)
    # The first visit sees a record all the same, marked as what it is.
    answer, of = view.look(Chosen(), CARD), CARD
if of == CARD and answer is not None:
    view.show_card_mark(answer)
if answer is not None and answer.study is not None:
    view.show_study(answer, answer.study, narrow=is_narrow())
with st.expander("How to read this record", icon=":material/menu_book:"):
    st.markdown(READING)
