"""The filters of the record, in the sidebar."""

from __future__ import annotations

import streamlit as st

from kronos.calendars import ASSET_CLASSES
from pages.ui.frame.glossary import meaning
from pages.ui.track_record.study import ALL, DAYS, MADE, SAMPLE, Choices, Chosen

_CHOICES = "record choices"


def choose() -> Chosen:
    """The filters; their choices are those of the record when it was last read."""
    known: Choices | None = st.session_state.get(_CHOICES)
    if known is None:
        return Chosen()
    model = st.selectbox("Model", known.models, key="record_model", bind="query-params")
    classes = dict(ASSET_CLASSES) | {ALL: "All"}
    asset_class = st.selectbox(
        "Asset class", [ALL, *known.asset_classes], key="record_class", bind="query-params",
        format_func=lambda name: classes[name],
    )  # fmt: skip
    interval = st.selectbox(
        "Interval", [ALL, *known.intervals], key="record_interval", bind="query-params"
    )
    made = st.selectbox(
        "Forecast made", list(MADE), key="record_made", bind="query-params",
        format_func=MADE.__getitem__,
        help="A forecast made ahead of the outcome is stored before its bar ends.",
    )  # fmt: skip
    sample = st.selectbox(
        "Sample", list(SAMPLE), key="record_sample", bind="query-params",
        format_func=SAMPLE.__getitem__, help=meaning("Out of sample"),
    )  # fmt: skip
    days = st.selectbox(
        "Days", list(DAYS), key="record_days", bind="query-params", format_func=DAYS.__getitem__,
        help="On an event day, a scheduled release falls on the date of the bar.",
    )  # fmt: skip
    return Chosen(model, asset_class, interval, made, sample, days)


def learn(choices: Choices) -> bool:
    """Remember the choices of the filters; True if they changed."""
    has_changed = st.session_state.get(_CHOICES) != choices
    st.session_state[_CHOICES] = choices
    return has_changed
