"""The models page: models on this machine and on the hub, and tests of them."""

import streamlit as st

from pages.ui.frame.links import show_link_losses
from pages.ui.frame.shell import require_shell
from pages.ui.models import view as models_view

require_shell()

with st.sidebar:
    st.header("Models", anchor=False)
    st.caption(
        "Models belong to this machine. All visitors of this server see them, and every "
        "download, test or deletion under way."
    )

st.title("Models", anchor=False)
show_link_losses()
models_view.show_machine()
st.header("All models", anchor=False)
models_view.show_models()
models_view.show_origin()
