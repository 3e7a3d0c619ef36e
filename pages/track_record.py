"""The track-record page: what became of the forecasts that were kept."""

import streamlit as st

from pages.ui.frame.shell import is_narrow, require_shell
from pages.ui.track_record import controls, view, walks
from pages.ui.track_record.text import PROMISE

require_shell()

with st.sidebar:
    st.header("Track record", anchor=False)
    chosen = controls.choose()

st.title("Track record", anchor=False)
st.caption(
    "Every forecast that is run here is kept and scored when its bars have come. Everybody who "
    "uses this server sees the same record."
)
answer = view.look(chosen)
view.show_scoring()
if answer is not None and answer.study is not None:
    view.show_study(answer.study, narrow=is_narrow())
elif answer is not None:
    view.show_empty(answer)
st.markdown(PROMISE)
walks.show()
