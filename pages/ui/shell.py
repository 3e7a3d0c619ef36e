"""The frame around every page: its configuration, navigation and style."""

from __future__ import annotations

import streamlit as st

from kronos.assets import asset_path
from pages.ui.glossary import show_glossary

SIDEBAR_PIXELS = 330
_FLAG = "shell_built"
# Plotly draws a white ground under its hover line where a chart is transparent. And what shimmers
# in the place of a chart to come is repainted sixty times a second, by the very processor that
# the chart and the forecast wait for. What is chosen of buttons or tabs, and the value of a slider,
# is written in the accent colour: so dark that white on it can be read, it is too dark to be read
# on a dark page.
_STYLE = """<style>
.js-plotly-plot .spikeline:not([stroke-dasharray]) { display: none; }
[data-testid="stSkeleton"] { animation: none !important; }
[data-testid="stButtonGroup"] [data-selected="true"],
[data-testid="stTab"][aria-selected="true"],
[data-testid="stSliderThumbValue"] { color: inherit !important; }
</style>"""


def build_shell() -> st.Page:
    """Configure the page and the navigation; returns the page to run."""
    st.set_page_config(
        page_title="Kronos Fan",
        page_icon=str(asset_path("icon.svg")),
        layout="wide",
        initial_sidebar_state=SIDEBAR_PIXELS,
    )
    st.session_state[_FLAG] = True
    page = st.navigation(
        [
            st.Page("pages/forecast.py", title="Forecast", url_path="home", default=True),
            st.Page("pages/compare.py", title="Compare", url_path="compare"),
            st.Page("pages/what_if.py", title="What if", url_path="what_if"),
            # The same page under its own name, so that /forecast is a link that works.
            st.Page(
                "pages/forecast.py", title="Forecast", url_path="forecast", visibility="hidden"
            ),
            st.Page("pages/watchlist.py", title="Watchlist", url_path="watchlist"),
            st.Page("pages/track_record.py", title="Track record", url_path="track_record"),
            st.Page("pages/backtest.py", title="Backtest", url_path="backtest"),
            st.Page("pages/synthetic.py", title="Synthetic", url_path="synthetic"),
            st.Page("pages/training.py", title="Training", url_path="training"),
            st.Page("pages/models.py", title="Models", url_path="models"),
        ],
        position="top",
    )
    st.html(_STYLE)
    with st.sidebar:
        show_glossary()
    return page


def require_shell() -> None:
    """Rerun through app.py if this page was started without it.

    On a fresh server Streamlit runs a file in pages/ by itself when its address is the first
    that is visited, until a navigation has been built.
    """
    if not st.session_state.get(_FLAG):
        build_shell()
        st.rerun()
