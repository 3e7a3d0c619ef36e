"""The Forecasts page: stored forecasts; each opens as the chart that was shown."""

import streamlit as st

from pages.ui.forecasts import controls, view
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.shell import is_narrow, require_shell

require_shell()

st.title("Forecasts", anchor=False)
st.caption("The forecasts that this server stored, the newest first.")
with st.sidebar:
    st.header("Forecasts", anchor=False)
    filters = controls.choose()
    view.take_opened()
    opened = controls.choose_opened()
with st.container():
    show_link_losses()
if opened:
    view.show_opened(opened, narrow=is_narrow())
view.show_list(filters)
