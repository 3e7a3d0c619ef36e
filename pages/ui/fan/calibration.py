"""Raw or calibrated: the switch, what the record is worth in words, and the fan that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import streamlit as st

from kronos.calibration import CalibrationStatus, calibrate, calibration_status
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.jobs import caches

__all__ = ["PROMISE", "choose_fan", "choose_fans"]

Fan = Literal["raw", "calibrated"]
_LABELS: dict[Fan, str] = {"raw": "Raw fan", "calibrated": "Calibrated fan"}
PROMISE = (
    "Calibrated: in the long run, over all forecasts of this model on series of this kind, as many "
    "closes come to lie below each quantile as its level says, so about 80% in the 80% band. "
    "Nothing is promised of this one forecast, of days with events, or of whole paths."
)
"""What calibration promises, and what it does not."""


def choose_fan(candles: Candles, forecast: Forecast | None) -> Forecast | None:
    """The forecast as it came or corrected by its record, under the switch between the two."""
    with st.container():  # see pages/compare.py
        if forecast is None:
            return None
        ((found, words),) = choose_fans(candles, [forecast])
        st.caption(f":material/straighten: {plain(words)}")
        return found


def choose_fans(candles: Candles, forecasts: Sequence[Forecast]) -> list[tuple[Forecast, str]]:
    """Every forecast as it is to be shown, and which fan that is in words; one switch for all."""
    try:
        state = caches.calibration()
    except InvalidRequest as error:
        return [(forecast, f"Raw fan shown. {error}") for forecast in forecasts]
    statuses = [calibration_status(state, forecast, candles) for forecast in forecasts]
    is_wanted = _switch(statuses) == "calibrated"
    shown = []
    for forecast, found in zip(forecasts, statuses, strict=True):
        is_calibrated = is_wanted and found.can_apply
        name = _LABELS["calibrated" if is_calibrated else "raw"]
        words = found.words
        if found.kind == "calibrated" and not is_calibrated:  # the words are of the other fan
            words = f"The other is {words[0].lower()}{words[1:]}"
        fan = calibrate(forecast, candles, state) if is_calibrated else forecast
        shown.append((fan, f"{name} shown. {words}"))
    return shown


def _switch(statuses: Sequence[CalibrationStatus]) -> Fan:
    """Calibrated is the default where the record is good and is no hindsight, else raw."""
    if not any(found.can_apply for found in statuses):
        return "raw"
    is_good = any(found.kind == "calibrated" and not found.is_hindsight for found in statuses)
    chosen: Fan = st.segmented_control(
        "Fan",
        list(_LABELS),
        default="calibrated" if is_good else "raw",
        required=True,
        format_func=lambda name: _LABELS[name],
        # A widget keeps its default: two of them have two names.
        key="fan_kind" if is_good else "stale_fan_kind",
        bind="query-params",
        help=meaning("Calibrated fan"),
        label_visibility="collapsed",
    )
    return chosen
