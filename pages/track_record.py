"""The track-record page: outcomes and scores of the stored forecasts."""

import streamlit as st

from pages.ui.frame.links import show_link_losses
from pages.ui.frame.shell import is_narrow, require_shell
from pages.ui.track_record import controls, view, walks
from pages.ui.track_record.text import READING

require_shell()

with st.sidebar:
    st.header("Track record", anchor=False)
    chosen = controls.choose()

st.title("Track record", anchor=False)
st.caption("Scores of all forecasts on this server. All visitors see the same record.")
with st.container():
    show_link_losses()
answer = view.look(chosen)
view.show_scoring()
if answer is not None and answer.study is not None:
    view.show_study(answer.study, narrow=is_narrow())
elif answer is not None:
    view.show_empty(answer)
with st.expander("How to read this record", icon=":material/menu_book:"):
    st.markdown(READING)
walks.show()
