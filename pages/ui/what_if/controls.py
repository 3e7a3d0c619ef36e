"""The controls of the What-if page: widgets in, settings and edits of the events out."""

from __future__ import annotations

import re

import streamlit as st

from kronos import models
from kronos.candles import Candles
from kronos.events import KINDS, SURPRISES, Event, EventInputs, Surprise
from kronos.forecast import SamplingParameters
from pages.ui.frame.glossary import meaning
from pages.ui.frame.links import linked_or_chosen
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted, moment_text
from pages.ui.inputs import controls
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import events_for
from pages.ui.inputs.model_choices import model_state
from pages.ui.jobs import caches
from pages.ui.jobs.settings import ForecastSettings
from pages.ui.what_if.work import Ahead, Edits, assumed_event, kinds_to_add

MOST_LISTED = 24
"""Scheduled events with a switch; later ones stay on."""
NOTHING = "Nothing"
AS_IT_WAS = "As it was"


def choose_plain(source: ChosenCandles) -> ForecastSettings:
    """The chips of the forecast as scheduled.

    Raises:
        InvalidRequest: A value of the link is out of range.
    """
    with controls.chip("model", _model_title()):
        model = _choose_model()
    horizon, origin = controls.choose_ahead(source)
    paths, seed = controls.choose_draws()
    controls.choose_events(source)
    return ForecastSettings(
        data_id=source.data_id,
        model=model.name,
        horizon=horizon,
        sampling=SamplingParameters(sample_count=paths, seed=seed),
        origin=origin,
        events=events_for(source, model.name),
    )


def _models() -> dict[str, models.Entry]:
    """By title; usable models that read events come first."""
    readers = caches.event_readers(only_usable=True)
    ordered = sorted(caches.usable_models(), key=lambda entry: entry.name not in readers)
    return {entry.title: entry for entry in ordered}


def _model_title() -> str:
    return linked_or_chosen("told_model", next(iter(_models())))


def _choose_model() -> models.Entry:
    entries = _models()
    title = st.selectbox(
        "Model", list(entries), key="told_model", bind="query-params", help=meaning("Reads events")
    )
    st.caption(model_state(entries[title]))
    return entries[title]


def choose_edits(ahead: Ahead, inputs: EventInputs) -> Edits:
    """The edits of the events; the link carries them."""
    with st.container(border=True, key="scenario"):
        off = _choose_off(ahead)
        event = _choose_added(ahead, inputs)
        surprise = _choose_surprise()
    return Edits(off, event, surprise)


def _choose_off(ahead: Ahead) -> tuple[Event, ...]:
    st.markdown("**Scheduled within the horizon**")
    if not ahead.scheduled:
        st.caption(
            f"No event that models read within the next {counted(len(ahead.future), 'bar')}."
        )
    off = []
    for event, bar in list(zip(ahead.scheduled, ahead.bars, strict=True))[:MOST_LISTED]:
        stays = st.checkbox(
            plain(f"{bar_text(ahead.known, ahead, bar)}: {_short_title(event)}"),
            value=True,
            key=switch_key(event),
            bind="query-params",
        )
        if not stays:
            off.append(event)
    n_more = len(ahead.scheduled) - MOST_LISTED
    if n_more > 0:
        st.caption(f"{counted(n_more, 'later event')} without a switch.")
    return tuple(off)


def _choose_added(ahead: Ahead, inputs: EventInputs) -> Event | None:
    st.markdown("**Add to the calendar**")
    kinds = kinds_to_add(inputs, ahead.known.calendar)
    chosen = st.selectbox(
        "Event", [NOTHING, *kinds.values()], key="add", bind="query-params",
        help=meaning("Event"),
    )  # fmt: skip
    if chosen == NOTHING:
        return None
    bars = [bar_text(ahead.known, ahead, bar + 1) for bar in range(len(ahead.future))]
    on = st.selectbox("At bar", bars, key="add_on", bind="query-params")
    kind = next(kind for kind, title in kinds.items() if title == chosen)
    return assumed_event(kind, bars.index(on) + 1, ahead, inputs)


def _choose_surprise() -> Surprise | None:
    st.markdown("**Outcome at the last known bar**")
    titles = {KINDS[kind]: kind for kind in SURPRISES}
    chosen = st.selectbox(
        "Release", [AS_IT_WAS, *titles], key="surprise", bind="query-params",
        help=meaning("Surprise"),
    )  # fmt: skip
    kind = titles.get(chosen)
    if kind is None:
        return None
    scored = SURPRISES[kind]
    size = st.number_input(
        f"Surprise ({scored.unit})", -scored.most, scored.most, 1.0, 0.25,
        key=f"size_{kind}", bind="query-params", format="%.2f",
    )  # fmt: skip
    return Surprise(kind, round(float(size), 4))


def bar_text(known: Candles, ahead: Ahead, bar: int) -> str:
    """Number and time of a bar of the horizon."""
    return f"+{bar}, {moment_text(ahead.future[bar - 1], known)}"


def _short_title(event: Event) -> str:
    """Kind, and the region of a rate decision: a column has no room for more."""
    title = KINDS[event.kind]
    return f"{title}, {event.region}" if event.kind == "rate_decision" else title


def switch_key(event: Event) -> str:
    """Key of the switch of an event, also in links."""
    who = re.sub(r"[^A-Za-z0-9]+", "-", event.region or event.symbol).lower()
    return f"on_{event.kind}_{who}_{event.release_day}"
