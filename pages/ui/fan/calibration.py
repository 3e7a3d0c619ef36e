"""Raw or calibrated: the switch, the state of the record in words, and the chosen fan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from kronos.calibration import CalibrationStatus, calibrate, calibration_status, drift_words
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.jobs import caches

Fan = Literal["raw", "calibrated"]
FANS: dict[Fan, str] = {"raw": "Raw fan", "calibrated": "Calibrated fan"}
PROMISE = (
    "Calibration holds in the long run: about 80% of closes are inside the 80% band. It promises "
    "nothing for a single forecast, for days with events or for whole paths."
)


@dataclass(frozen=True, slots=True)
class ShownFan:
    """A forecast, raw or calibrated.

    Attributes:
        forecast: Its paths.
        name: Which of the two fans it is, and how much drift a calibrated one keeps.
        state: State of the calibration: one sentence, then details.
        short: The same in a few words, for one line beside other numbers.
    """

    forecast: Forecast
    name: str
    state: str
    short: str


def choose_fan(candles: Candles, forecast: Forecast | None) -> Forecast | None:
    """The raw forecast or the calibrated one, with the switch between the two below its state."""
    if forecast is None:
        return None
    with st.container(width="content", gap=None, key="fan_choice"):
        state = st.container()
        (shown,) = choose_fans(candles, [forecast])
        # One line: a second one would take its height from the chart.
        state.caption(plain(shown.short), help=plain(f"{shown.name}. {shown.state}"))
    return shown.forecast


def choose_fans(candles: Candles, forecasts: Sequence[Forecast]) -> list[ShownFan]:
    """Every forecast as the fan that one switch chooses for all."""
    try:
        state = caches.calibration()
    except InvalidRequest as error:
        raw, short = FANS["raw"], "Raw fan; the calibration cannot be read"
        return [ShownFan(forecast, raw, str(error), short) for forecast in forecasts]
    statuses = [calibration_status(state, forecast, candles) for forecast in forecasts]
    is_wanted = _switch(statuses) == "calibrated"
    shown = []
    for forecast, found in zip(forecasts, statuses, strict=True):
        is_calibrated = is_wanted and found.can_apply
        fan = calibrate(forecast, candles, state) if is_calibrated else forecast
        name = FANS["calibrated" if is_calibrated else "raw"]
        words = found.words
        if is_calibrated and found.is_hindsight:
            name += " with hindsight"
        if fan.drift_shares is not None:
            name += f", {drift_words(fan.drift_shares)}"
        if found.kind == "calibrated" and not is_calibrated:  # the words describe the other fan
            known = "uses hindsight" if found.is_hindsight else "is available"
            words = f"The calibrated fan {known}. {words}"
        shown.append(ShownFan(fan, name, words, _short(found, is_calibrated=is_calibrated)))
    return shown


def _short(found: CalibrationStatus, *, is_calibrated: bool) -> str:
    """Which fan is shown, and on what record, in a few words."""
    fan = "Calibrated" if is_calibrated else "Raw fan"
    if found.kind == "stale":
        return f"{fan}; the calibration is stale"
    if found.kind == "uncalibrated":
        return f"{fan}, not calibrated"
    if not is_calibrated:
        return f"{fan}; calibrated {'uses hindsight' if found.is_hindsight else 'is available'}"
    hindsight = " with hindsight" if found.is_hindsight else ""
    return f"{fan}{hindsight} on {found.n_outcomes:,} outcomes"


def _switch(statuses: Sequence[CalibrationStatus]) -> Fan:
    """Calibrated by default where the record is current and before the origin, else raw."""
    if not any(found.can_apply for found in statuses):
        return "raw"
    is_good = any(found.kind == "calibrated" and not found.is_hindsight for found in statuses)
    chosen: Fan = st.segmented_control(
        "Fan",
        list(FANS),
        default="calibrated" if is_good else "raw",
        required=True,
        format_func=lambda name: FANS[name],
        # A widget keeps its first default, so each default has its own key.
        key="fan_kind" if is_good else "stale_fan_kind",
        bind="query-params",
        help=meaning("Calibrated fan"),
        label_visibility="collapsed",
    )
    return chosen
