"""The controls of a comparison: widgets in, checked settings for every place out."""

from __future__ import annotations

import streamlit as st

from kronos.forecast import SamplingParameters
from kronos.models import BUNDLED
from pages.ui.chart.panels import LETTERS
from pages.ui.frame.glossary import meaning
from pages.ui.frame.links import linked_or_chosen
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted
from pages.ui.inputs import controls
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import events_for
from pages.ui.inputs.model_choices import Choice, choices
from pages.ui.jobs.settings import ForecastSettings

FIRST = (BUNDLED, "ewma", "garch", "fhs")
"""Default models of the places: the bundled model and the baselines it has to beat."""


def choose_requests(source: ChosenCandles) -> list[ForecastSettings]:
    """The chips of two to four models, from one origin and with one seed.

    Raises:
        InvalidRequest: A value of the link is out of range.
    """
    found = choices()
    with controls.chip("models", _models_title()):
        n_places = st.segmented_control(
            "Models to compare",
            [2, 3, 4],
            default=len(FIRST),
            required=True,
            key="models",
            bind="query-params",
            width="stretch",
        )
        with st.container():  # see pages/compare.py
            drawn = [_choose_place(place, found) for place in range(n_places or len(FIRST))]
    horizon, origin = controls.choose_ahead(source)
    paths, seed = controls.choose_draws()
    controls.choose_events(source)
    return [
        ForecastSettings(
            data_id=source.data_id,
            model=choice.name,
            horizon=horizon,
            sampling=SamplingParameters(T=T, top_p=top_p, sample_count=paths, seed=seed),
            origin=origin,
            events=events_for(source, choice.name),
        )
        for choice, T, top_p in drawn
    ]


def _models_title() -> str:
    """The two models, or how many there are."""
    n_places = int(controls.linked_number("models", len(FIRST), 2, len(FIRST)))
    if n_places != 2:
        return counted(n_places, "model")
    of_place = {choice.name: title for title, choice in choices().items()}
    return " · ".join(
        linked_or_chosen(letter.lower(), of_place.get(first, first))
        for letter, first in zip(LETTERS[:2], FIRST[:2], strict=True)
    )


def _choose_place(place: int, found: dict[str, Choice]) -> tuple[Choice, float, float]:
    """Model, temperature and top-p of one place; a model begins with those of the Forecast page."""
    letter = LETTERS[place]
    titles = list(found)
    names = [choice.name for choice in found.values()]
    title = st.selectbox(
        f"Model {letter}",
        titles,
        index=names.index(FIRST[place]) if FIRST[place] in names else 0,
        key=letter.lower(),
        bind="query-params",
    )
    choice = found[title]
    if choice.is_baseline:
        st.caption(plain(choice.remark))
        return choice, 1.0, 1.0
    for name, value in st.session_state.get(controls.SAMPLED_WITH, {}).items():
        key = f"{name}{letter.lower()}"
        # As a value, not as the default: a link holds what differs from the default.
        if key not in st.session_state and key not in st.query_params:
            st.session_state[key] = value
    with st.expander(f"Sampling of {letter}: {plain(choice.remark)}", icon=":material/tune:"):
        temperature = st.slider(
            f"Temperature of {letter}", *controls.T_LIMITS, 1.0, 0.05, key=f"T{letter.lower()}",
            bind="query-params",
            help=meaning("Temperature T"),
        )  # fmt: skip
        top_p = st.slider(
            f"Top-p of {letter}", *controls.TOP_P_LIMITS, 1.0, 0.05, key=f"p{letter.lower()}",
            bind="query-params",
            help=meaning("Top-p"),
        )  # fmt: skip
    return choice, round(float(temperature), 4), round(float(top_p), 4)
