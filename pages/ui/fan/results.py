"""A forecast on the page in words and numbers."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from kronos import models
from kronos.calendars import asset_class
from kronos.candles import Candles
from kronos.evaluation.bands import bands_of_kind
from kronos.events import leaders_text
from kronos.forecast import Forecast
from pages.ui.fan import readouts
from pages.ui.fan.calibration import PROMISE
from pages.ui.frame.glossary import meaning
from pages.ui.frame.links import is_level, take_from_link
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted, table_pixels
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.events import events_of
from pages.ui.jobs import caches
from pages.ui.jobs.scoring import scorer

READOUT_PIXELS = 164
_LINKED = "linked"


def show_heading(candles: Candles, forecast: Forecast | None) -> None:
    """Instrument and horizon as the title."""
    ahead = f": next {counted(forecast.horizon, 'bar')} of {candles.interval}" if forecast else ""
    st.title(f"{plain(candles.symbol)}{plain(ahead)}", anchor=False)


def show_facts(source: ChosenCandles, forecast: Forecast | None) -> None:
    """Instrument, last bar and its age; the rest in the tooltip."""
    now = pd.Timestamp.now(tz="UTC")
    facts = readouts.data_facts(source.candles, source.bars, now)
    more = facts + (readouts.model_facts(forecast) if forecast is not None else [])
    # The chip of the bars names the source.
    short = [fact for fact in facts if fact != source.candles.source and "fetched" not in fact]
    short.sort(key=lambda fact: not fact.startswith("last bar"))  # what a narrow line shows
    if source.bars is not None:
        more += source.bars.notes
    st.caption(" · ".join(map(plain, short)), help=" · ".join(map(plain, more)))


def show_verdicts(source: ChosenCandles, forecast: Forecast) -> None:
    """The main numbers in one row, each with its error; what they mean is in the tooltips."""
    events = events_of(source, forecast)
    held = held_bands(source.candles, forecast)
    for number in readouts.verdicts(source.candles, forecast, events, held):
        show_in_strip(number)


def show_in_strip(number: readouts.Readout) -> None:
    """A number of the strip above a chart: its remark stands beside the value."""
    with st.container(width="content", gap=None):
        help = meaning(number.term, plain(number.more)) if number.term else None
        st.caption(plain(number.label), help=help)
        st.markdown(f"**{plain(number.value)}** :small[{plain(number.remark)}]")


def held_bands(candles: Candles, forecast: Forecast) -> readouts.HeldBands | None:
    """How often earlier bands of this kind have held; None where too few are on record."""
    sampling = forecast.parameters
    if sampling.narrows or sampling.T != 1.0:
        return None  # the record is of the distributions that models learned
    records = {
        "the record of this server": scorer().bands,
        "the evaluation of the model card": caches.card_bands(),
    }
    kind = asset_class(candles.calendar, candles.symbol)
    model, version = forecast.model_name, forecast.model_revision
    found = bands_of_kind(records.values(), model, version, kind, candles.interval)
    return None if found is None else readouts.HeldBands(found[1], list(records)[found[0]])


def show_volume_note(candles: Candles) -> None:
    """What the forecast part of the volume panel shows; nothing where there is no volume."""
    if (candles.frame["volume"] > 0).any():
        st.caption(
            "Volume after the origin: median and p10 to p90 of the paths.",
            help="Every path has a volume for each bar, drawn together with its prices. The bar is "
            "the median over the paths, the whisker its 80% range. It is not calibrated.",
        )


def show_outcome(candles: Candles, forecast: Forecast) -> None:
    """The fan against the actual bars, where they are known."""
    outcome = readouts.outcome_text(candles, forecast)
    if outcome is not None:
        # No tick and no cross: one forecast is no evidence of either.
        st.info(plain(outcome), icon=":material/straighten:")


def show_cautions(source: ChosenCandles, forecast: Forecast) -> None:
    """Limits of the fan, one line each."""
    for note in caution_notes(source, forecast, is_charted=True):
        st.caption(f":material/info: {plain(note)}")


def caution_notes(
    source: ChosenCandles, forecast: Forecast, *, is_charted: bool = False
) -> list[str]:
    """Limits of the fan in words: its data, its settings and its training.

    Args:
        source: The candles.
        forecast: The fan.
        is_charted: Whether a line below its chart says what it read of leading markets.
    """
    kind = models.kind_of(forecast.model_name)
    adapter = next(
        (entry for entry in caches.models() if entry.base and entry.name == forecast.model_name),
        None,
    )
    is_published = kind not in ("bundled", "chronos", "baseline")
    if forecast.weights is not None:
        is_published = not models.PUBLISHED.keys().isdisjoint(forecast.weights)
    if adapter is not None:
        is_published = adapter.base in models.PUBLISHED
    notes = readouts.cautions(source.candles, forecast, is_published=is_published)
    if kind == "chronos":
        notes.append(
            "Chronos-2 forecasts the range of each bar separately. A block bootstrap of earlier "
            "bars links the bars of a path, and P(touch) depends on it. Which market prices it was "
            "trained on is not published."
        )
    if kind == "bundled" and source.is_sample:
        notes.append(
            "The bundled model may have been trained on data like these samples. This is a "
            "demonstration, not evidence of skill."
        )
    if adapter is not None and adapter.cut_off and f"{forecast.origin:%Y-%m-%d}" < adapter.cut_off:
        notes.append(
            f"The adapter was trained on bars up to {adapter.cut_off}. This forecast starts "
            "earlier, so a fan that held proves nothing."
        )
    if forecast.calibration_hash is not None:
        notes.append(PROMISE)
    if forecast.events_hash is not None:
        note = (
            "The model read the event calendar: dates that were public at the origin and outcomes "
            "released by then."
        )
        if not is_charted or forecast.leaders is None:
            leaders = leaders_text(forecast.leaders or {}) or "nothing"
            note += f" Of leading markets it read {leaders}."
        notes.append(note)
    return notes


def show_number(number: readouts.Readout) -> None:
    with st.container(width=READOUT_PIXELS, gap=None):
        st.caption(plain(number.label))
        st.markdown(f"**{plain(number.value)}**")
        if number.remark:
            st.caption(plain(number.remark))


def linked_number(name: str, key: str, otherwise: float) -> float:
    """The first value of a control that appears after the first run.

    Such a control cannot be bound to the address: it would show its default.

    Args:
        name: The parameter of the link.
        key: What the value belongs to: it counts for the first one of a visit alone.
        otherwise: The value without a link.
    """
    linked = take_from_link(name)
    if linked is not None and is_level(linked):
        st.session_state[f"{_LINKED} {name}"] = (key, float(linked))
    linked_key, value = st.session_state.get(f"{_LINKED} {name}", (key, otherwise))
    return float(value) if linked_key == key else otherwise


def note_in_address(name: str, value: float, otherwise: float) -> None:
    """Write the value of such a control into the address; its default is left out."""
    if value == otherwise:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != str(value):
        st.query_params[name] = str(value)


def weights_text(forecast: Forecast) -> str:
    """Mean weights of an ensemble over the horizon, largest first."""
    assert forecast.weights is not None
    means = {name: sum(each) / len(each) for name, each in forecast.weights.items()}
    ordered = sorted(means.items(), key=lambda pair: -pair[1])
    return "Weights: " + ", ".join(f"{name} {mean:.0%}" for name, mean in ordered)


def weights_table(forecast: Forecast) -> pd.DataFrame:
    """Weights of an ensemble in percent: one row per bar, one column per member."""
    table = 100.0 * pd.DataFrame(forecast.weights)
    table.insert(0, "bar", range(1, len(table) + 1))
    return table


def show_weights(forecast: Forecast) -> None:
    """The weights of an ensemble; nothing for a single model."""
    if forecast.weights is None:
        return
    st.caption(f":material/balance: {plain(weights_text(forecast))}", help=meaning("Ensemble"))
    with st.expander("Weights per bar"):
        table = weights_table(forecast)
        percent = st.column_config.NumberColumn(format="%.1f%%")
        st.dataframe(
            table,
            hide_index=True,
            height=table_pixels(len(table), 300),
            column_config=dict.fromkeys(table.columns[1:], percent),
        )
