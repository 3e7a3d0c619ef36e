"""The frame around every page: configuration, navigation, style and the width of the screen."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st

from kronos.system import asset_path
from pages.ui.frame.access import show_account
from pages.ui.frame.glossary import show_glossary
from pages.ui.frame.links import read_link, remember_address, restore_address


class _Page(NamedTuple):
    address: str
    file: str
    title: str
    is_listed: bool = True
    section: str = ""


_MORE = "More"
_PAGES = (
    _Page("home", "forecast", "Forecast"),
    _Page("compare", "compare", "Compare"),
    _Page("what_if", "what_if", "What if"),
    # The same page under its own name, so that /forecast is a link that works.
    _Page("forecast", "forecast", "Forecast", is_listed=False),
    _Page("watchlist", "watchlist", "Watchlist"),
    _Page("forecasts", "forecasts", "Forecasts"),
    _Page("track_record", "track_record", "Track record"),
    _Page("backtest", "backtest", "Backtest"),
    _Page("synthetic", "synthetic", "Synthetic", section=_MORE),
    _Page("training", "training", "Training", section=_MORE),
    _Page("models", "models", "Models", section=_MORE),
)
ADDRESSES = tuple(page.address for page in _PAGES[1:])
"""Addresses of the pages below that of the application, which is the first page."""
SIDEBAR_PIXELS = 330
_WITH_CHIPS = ("Forecast", "Compare", "What if")
"""Titles of the pages whose controls are in the line of the title."""
_FLAG = "shell_built"
# Plotly draws a white ground under its hover line where a chart is transparent. The placeholder of
# a chart shimmers: sixty repaints a second take processor time from the chart and the forecast.
# Chosen buttons and tabs and the values of sliders are written in the accent colour: it is dark
# enough for white text on it, and too dark to read on a dark page. Where nothing hovers, buttons
# over charts and tables would always be there and cover what stands beneath.
# The grey that Streamlit gives the labels of a chart on a light page has a contrast of 3.7 to 1.
# A field that refuses a number or a date gives the reason to screen readers and to whoever finds
# its icon: here it stands beneath the field. The parts of a closed sidebar cannot be seen, and no
# key reaches them.
# Title, strip and the controls of the look are as wide as the window and the sidebar leave them, so
# they are asked for their own width.
# A script reads from the style which page is shown.
_STYLE = """<style>
.js-plotly-plot .spikeline:not([stroke-dasharray]) { display: none; }
[data-testid="stPlotlyChart"] text[style*="rgb(128, 132, 149)"] { fill: currentColor !important; }
[data-testid="stSkeleton"] { animation: none !important; }
[data-testid="stButtonGroup"] [data-selected="true"],
[data-testid="stTab"][aria-selected="true"],
[data-testid="stSliderThumbValue"] { color: inherit !important; }
.stMainBlockContainer { padding-inline: 1.5rem; }
.stMainBlockContainer:has(.st-key-line) > .stVerticalBlock { gap: 0.6rem; }
.st-key-name h1 { font-size: 1.25rem; padding: 0 0 1rem; white-space: nowrap; }
.st-key-chips button { min-height: 2rem; padding: 0.1rem 0.6rem; }
.st-key-line kbd, .st-key-title_line kbd { color: inherit; opacity: 1; }
.st-key-title_line { flex-wrap: nowrap; }
.st-key-title_line h1 { padding-block: 0.5rem; }
.st-key-strip { padding: 0.35rem 0.9rem; overflow-x: auto; row-gap: 0.35rem; }
.st-key-strip p { white-space: nowrap; }
.st-key-facts p { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.st-key-facts p:has([data-testid="stTooltipIcon"]) {
  position: relative; width: fit-content; max-width: 100%; padding-right: 1.75rem;
}
.st-key-facts p > span:has([data-testid="stTooltipIcon"]) {
  position: absolute; inset: 0 0 0 auto; display: flex; align-items: center; margin: 0;
}
.st-key-details [role="tablist"] { flex-wrap: wrap; gap: 0 0.9rem; overflow: visible; }
.st-key-following { row-gap: 0; }
.st-key-state:empty { display: none; }
.st-key-state [data-testid="stAlertContainer"] { padding-block: 0.3rem; }
[data-testid="stSidebar"][data-collapsed="true"] { visibility: hidden; }
[data-testid="stHeader"] :is(a, button):focus-visible {
  outline: 2px solid #4F86EE !important; outline-offset: -2px;
}
:is([data-testid="stNumberInputContainer"], [data-testid="stDateInputField"],
    [data-testid="stTimeInputField"]):has(> [role="alert"]) { flex-wrap: wrap; height: auto; }
:is([data-testid="stNumberInputContainer"], [data-testid="stDateInputField"],
    [data-testid="stTimeInputField"]) > [role="alert"] {
  position: static; flex: 1 0 100%; width: auto; height: auto; margin: 0; padding: 0 0.7rem 0.4rem;
  clip: auto; clip-path: none; overflow: visible; white-space: normal;
  font-size: 0.8rem; line-height: 1.2rem;
}
[data-testid="stNumberInput"]:has([role="alert"]) [data-testid="InputInstructions"] {
  display: none;
}
@media (hover: none) {
  [data-testid="stElementToolbar"], [data-testid="stPlotlyChart"] .modebar { display: none; }
}
@media (max-width: 1100px) {
  .st-key-desk { flex-direction: column; }
  .st-key-desk > :has(> .st-key-panel) { width: 100% !important; }
}
@media (min-width: 641px) {
  .st-key-line > :has(> .st-key-chips) { flex: 1000 1 0; min-width: 0; max-width: max-content; }
  .st-key-line > :has(> .st-key-facts) { flex: 1 1 0; min-width: 0; }
  .st-key-line { container: line / inline-size; }
  .st-key-strip { container: strip / inline-size; }
  .st-key-look { container: look / inline-size; }
}
@media (min-width: 641px) and (max-width: 1300px) {
  .st-key-strip { column-gap: 0.5rem; padding-inline: 0.6rem; }
}
@container line (max-width: 1300px) {
  .st-key-line kbd { display: none; }
  .st-key-chips button { padding-inline: 0.45rem; }
  .st-key-chips button p { font-size: 0.8rem; }
}
@container line (max-width: 1060px) {
  :has(> .st-key-facts) { order: 1; flex: 1 0 100% !important; margin-top: -0.75rem; }
}
@container strip (max-width: 1300px) {
  .st-key-readouts { gap: 0.5rem; }
  p { font-size: 0.8rem !important; }
}
@container strip (max-width: 1060px) {
  :has(> .st-key-readouts) { flex: 1 1 0 !important; min-width: 0; }
  .st-key-readouts { gap: 0.25rem 0.75rem; }
}
@container look (max-width: 930px) {
  .st-key-look button { padding-inline: 0.5rem; }
}
@media (max-width: 640px) {
  .stMainBlockContainer { padding-inline: 0.75rem; }
  .st-key-line > :has(> .st-key-chips) { order: 1; flex: 1 0 100%; }
  .st-key-line > :has(> .st-key-facts) { order: 2; flex: 1 0 100%; }
  .stMainBlockContainer:has(.st-key-line) { padding-top: 3.75rem; }
  .stMainBlockContainer:has(.st-key-line) > .stVerticalBlock { gap: 0.35rem; }
  .stMainBlockContainer:has(.st-key-title_line) > .stVerticalBlock { gap: 0.5rem; }
  .st-key-title_line h1 { font-size: 1.5rem; padding-block: 0.25rem; }
  .st-key-state [data-testid="stAlertContainer"] p { font-size: 0.85rem; }
  .st-key-line { row-gap: 0.35rem; }
  .st-key-chips, .st-key-look, .st-key-live { gap: 0.25rem; }
  .st-key-picture, .st-key-picture .stVerticalBlock { gap: 0.2rem; }
  .st-key-chips button, .st-key-look button, .st-key-live button { padding-inline: 0.4rem; }
  .st-key-chips button, .st-key-look button, .st-key-live button,
  .st-key-strip [data-testid="stButtonGroup"] button {
    min-height: 1.75rem; height: 1.75rem; font-size: 0.8rem;
  }
  .st-key-chips button p, .st-key-live p, .st-key-facts p { font-size: 0.8rem; }
  .st-key-live { flex-wrap: nowrap; align-items: flex-start; }
  .st-key-live > :last-child { flex: 1; min-width: 0; }
  .st-key-live [data-testid="stButtonGroup"] > div { flex-wrap: wrap; row-gap: 0.25rem; }
  .st-key-strip { flex-wrap: wrap; gap: 0.2rem 0.5rem; padding: 0.2rem 0.4rem; }
  .st-key-strip > :has(> .st-key-readouts), .st-key-readouts { display: contents; }
  .st-key-strip p, .st-key-strip p *, .st-key-strip [data-testid="stButtonGroup"] button {
    font-size: 0.7rem !important;
  }
  .st-key-strip p { line-height: 1.2; }
  .st-key-strip p > span, .st-key-strip p label { margin: 0; padding: 0; }
  .st-key-line > :has(> .st-key-name) { flex: 1; min-width: 0; }
  .st-key-name h1 { font-size: 1.1rem; white-space: normal; }
  .st-key-line kbd, .st-key-title_line kbd { display: none; }
}
</style>"""


def build_shell() -> st.Page:
    """Configure the page and the navigation; returns the page to run."""
    read_link()
    st.set_page_config(
        page_icon=str(asset_path("icon.svg")),
        layout="wide",
    )
    st.session_state[_FLAG] = True
    sections: dict[str, list[st.Page]] = {}
    for each in _PAGES:
        sections.setdefault(each.section, []).append(
            st.Page(
                f"pages/{each.file}.py",
                title=each.title,
                url_path=each.address,
                default=each is _PAGES[0],
                visibility="visible" if each.is_listed else "hidden",
            )
        )
    page = st.navigation(sections, position="top")
    restore_address(address_of(page))
    remember_address(address_of(page))
    st.set_page_config(
        page_title=f"{page.title} · Kronos Fan",
        initial_sidebar_state="collapsed" if page.title in _WITH_CHIPS else SIDEBAR_PIXELS,
    )
    st.html(_STYLE.replace("<style>", f'<style data-page="{page.url_path}">'))
    with st.sidebar:
        show_glossary()
        show_account()
    return page


def run_page(page: st.Page) -> None:
    """Run a page, and remember its settings for a workspace."""
    page.run()
    remember_address(address_of(page))


def address_of(page: st.Page) -> str:
    """The address of a page, `forecast` for that of the application as well."""
    return page.url_path or _PAGES[0].file


def require_shell() -> None:
    """Rerun through app.py if this page was started without it.

    On a fresh server Streamlit runs a file in pages/ by itself when its address is the first
    that is visited, until a navigation has been built.
    """
    if not st.session_state.get(_FLAG):
        build_shell()
        st.rerun()


_SCRIPT = """
export default function ({ setStateValue, data }) {
  const query = window.matchMedia("(max-width: 640px)");
  const send = () => { if (query.matches !== data.narrow) setStateValue("narrow", query.matches); };
  send();
  query.addEventListener("change", send);
  return () => query.removeEventListener("change", send);
}
"""

_watch_width = st.components.v2.component("viewport_width", js=_SCRIPT)


def is_narrow() -> bool:
    """Whether the browser is at most 640 pixels wide.

    A wide browser sends no state, so that its page runs only once.
    """
    known = bool(st.session_state.get("viewport", {}).get("narrow", False))
    answer = _watch_width(key="viewport", data={"narrow": known}, on_narrow_change=lambda: None)
    return bool(answer.get("narrow", False))
