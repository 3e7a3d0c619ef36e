"""The Forecasts page: stored forecasts; each opens as the chart that was shown."""

import streamlit as st

from kronos.errors import KronosError
from pages.ui.forecasts import controls, view
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.messages import show_error
from pages.ui.frame.shell import is_narrow, require_shell

require_shell()

with st.sidebar:
    st.header("Forecasts", anchor=False)
    filters = controls.choose()
    view.take_opened()
    opened = controls.choose_opened()
found, problem = None, None
try:
    found = view.find_opened(opened)
except KronosError as error:
    problem = error
if found is None:
    st.title("Forecasts", anchor=False)
    st.caption("The forecasts that this server stored, the newest first.")
with st.container(key="state"):
    show_link_losses()
    if problem is not None:
        show_error(problem)
if found is not None:
    view.show_opened(found, narrow=is_narrow())
    st.header("All stored forecasts", anchor=False)
view.show_list(filters)
