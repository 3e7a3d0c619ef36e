"""The training page: an adapter for your own candles, saved as a model of this machine."""

import streamlit as st

from pages.ui.frame.access import may_administer, not_offered
from pages.ui.frame.links import show_link_losses
from pages.ui.frame.shell import require_shell
from pages.ui.training import process, session
from pages.ui.training.view import show_run, show_setup

require_shell()

with st.sidebar:
    st.header("Training", anchor=False)

if not may_administer():
    st.title("Training", anchor=False)
    st.info(not_offered(process.OFFERS), icon=":material/lock:")
    st.stop()

run = session.current()
if run is None:
    show_setup()
else:
    show_run(run)
show_link_losses()
