"""Whether the screen is narrow: the one thing about the browser that a chart's layout needs."""

from __future__ import annotations

import streamlit as st

_SCRIPT = """
export default function ({ setStateValue, data }) {
  const query = window.matchMedia("(max-width: 640px)");
  const tell = () => { if (query.matches !== data.narrow) setStateValue("narrow", query.matches); };
  tell();
  query.addEventListener("change", tell);
  return () => query.removeEventListener("change", tell);
}
"""

_watch_width = st.components.v2.component("viewport_width", js=_SCRIPT)


def is_narrow() -> bool:
    """True once the browser has said that it is at most 640 pixels wide.

    A wide browser says nothing, so that its first run is its only one.
    """
    known = bool(st.session_state.get("viewport", {}).get("narrow", False))
    answer = _watch_width(key="viewport", data={"narrow": known}, on_narrow_change=lambda: None)
    return bool(answer.get("narrow", False))
