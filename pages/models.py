"""The models page: what is on this machine, what can be fetched, and whether it works."""

import streamlit as st

from pages.ui.frame.shell import require_shell
from pages.ui.models import view as models_view

require_shell()

with st.sidebar:
    st.header("Models", anchor=False)
    st.caption(
        "Models belong to this machine: everybody who uses this server sees them here, and sees "
        "what is being done to them."
    )

st.title("Models", anchor=False)
models_view.show_machine()
st.header("All models", anchor=False)
models_view.show_models()
models_view.show_origin()
