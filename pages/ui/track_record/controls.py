"""The filters of a record, in the sidebar."""

from __future__ import annotations

import streamlit as st

from kronos.calendars import ASSET_CLASSES
from pages.ui.frame.glossary import meaning
from pages.ui.track_record.record import CARD, SERVER
from pages.ui.track_record.study import ALL, DAYS, MADE, SAMPLE, Choices, Chosen

WALK = "walk"
_TITLES = {SERVER: "This server", CARD: "Model card", WALK: "My walk"}
_CHOICES = "record choices"
_RECORD = "record_of"


def choose_record(*, has_walk: bool) -> str:
    """Which record is shown: that of the server, of the model card, or of this session's walk."""
    options = [SERVER, CARD, *([WALK] if has_walk else [])]
    if st.session_state.get(_RECORD) not in {None, *options}:
        del st.session_state[_RECORD]
    return st.selectbox(
        "Record", options, key=_RECORD, bind="query-params", format_func=_TITLES.__getitem__,
        help="The model card's record comes with the application; that of a walk is of this "
        "session.",
    )  # fmt: skip


def show_walk() -> None:
    """Show the walk's record from the next drawing of the controls on."""
    st.session_state[_RECORD] = WALK


def choose(of: str) -> Chosen:
    """The filters; their choices are those of the record when it was last read."""
    known: Choices | None = st.session_state.get(f"{_CHOICES} {of}")
    if known is None:
        return Chosen(sample="any" if of == WALK else "out")
    end = "" if of == SERVER else f"_{of}"
    model = st.selectbox("Model", known.models, key=f"record_model{end}", bind="query-params")
    classes = dict(ASSET_CLASSES) | {ALL: "All"}
    asset_class = st.selectbox(
        "Asset class", [ALL, *known.asset_classes], key=f"record_class{end}", bind="query-params",
        format_func=lambda name: classes[name],
    )  # fmt: skip
    interval = st.selectbox(
        "Interval", [ALL, *known.intervals], key=f"record_interval{end}", bind="query-params"
    )
    if of == CARD:
        return Chosen(model, asset_class, interval)
    made = st.selectbox(
        "Forecast made", list(MADE), key=f"record_made{end}", bind="query-params",
        format_func=MADE.__getitem__,
        help="A forecast made ahead of the outcome is stored before its bar ends.",
    )  # fmt: skip
    samples = list(SAMPLE)
    sample = st.selectbox(
        "Sample", samples, samples.index("any" if of == WALK else "out"),
        key=f"record_sample{end}", bind="query-params", format_func=SAMPLE.__getitem__,
        help=meaning("Out of sample"),
    )  # fmt: skip
    days = st.selectbox(
        "Days", list(DAYS), key=f"record_days{end}", bind="query-params",
        format_func=DAYS.__getitem__,
        help="On an event day, a scheduled release falls on the date of the bar.",
    )  # fmt: skip
    return Chosen(model, asset_class, interval, made, sample, days)


def learn(of: str, choices: Choices) -> bool:
    """Remember the choices of a record's filters; True if they changed."""
    key = f"{_CHOICES} {of}"
    has_changed = st.session_state.get(key) != choices
    st.session_state[key] = choices
    return has_changed
