"""The What-if page: notes on the model, the two fans, and the change between them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from kronos.candles import Candles
from kronos.events import Event
from pages.ui.chart.panels import Contender, compare_description, overlay_figure, panel_figure
from pages.ui.chart.scene import View, build_scene
from pages.ui.chart.view import choose_view, show_fan, show_figure
from pages.ui.fan.readouts import inside_text
from pages.ui.fan.side_by_side import Words
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.frame.text import Format, counted, in_print
from pages.ui.inputs.calendar import show_calendar
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.controls import choose_bars
from pages.ui.inputs.events import all_events, events_of
from pages.ui.inputs.model_choices import choice_of, title_of
from pages.ui.jobs import caches
from pages.ui.jobs.forecast_runs import Finished, ForecastRuns
from pages.ui.jobs.settings import ForecastSettings, context_of
from pages.ui.what_if.text import change_table, change_text
from pages.ui.what_if.work import Edits, surprise_mark

WHAT_IF = ForecastRuns("what_if")
"""The runs of this page."""


def _title(place: int, request: ForecastSettings) -> str:
    if request.events is None:
        return title_of(request)
    return "What if" if place else "As scheduled"


WORDS = Words(
    invitation="Press Run to forecast these candles.",
    older="Below is the previous result.",
    title=_title,
)


def show_heading(candles: Candles, found: Sequence[Finished]) -> None:
    """Instrument and horizon as the title."""
    text = f"{candles.symbol}: what if"
    if found:
        horizon = counted(found[0].run.settings.horizon, "bar")
        text += f", next {horizon} of {candles.interval}"
    st.title(plain(text), anchor=False)


def show_reads_no_events(model: str) -> None:
    """A warning that a model reads no events, and the models that do."""
    title = choice_of(model).title
    st.warning(
        f"**{plain(title)} does not read events.** It sees candles and times only, so no event "
        "changes its fan. The page shows this one fan.",
        icon=":material/hearing_disabled:",
    )
    readers = [choice_of(name).title for name in sorted(caches.event_readers(only_usable=True))]
    st.caption(f"These models read events: {plain(', '.join(readers))}.")


def show_reach(
    edits: Edits, first: int | None, horizon: int, *, at_once: bool, is_in_time: bool
) -> None:
    """The first bar that the edits can change, and why not an earlier one.

    Args:
        edits: The edits of the events.
        first: That bar, from 1; None where nothing changes.
        horizon: Bars of the fan.
        at_once: Whether the model reads the events of all bars before it forecasts any.
        is_in_time: Whether it reads the schedule of a bar before it forecasts the bar.
    """
    change = f"The fan can change from bar +{first} of {horizon}."
    if not edits:
        change = "Switch an event off, add one or assume an outcome, then press Run."
        reason = "Both fans use the same random numbers, so only the events make a difference."
    elif at_once:
        reason = "This model reads the events of every bar before it forecasts the first one."
    elif is_in_time:
        reason = (
            "An event changes its own bar and the bars after it. FOMC decisions and CPI also have "
            "a countdown of days, so an edit of one changes earlier bars too."
        )
    elif first is None:
        reason = "An event changes the bars after its own bar, and the last bar has none."
    else:
        reason = (
            "An event changes the bars after its own bar. FOMC decisions and CPI also have a "
            "countdown of days, so an edit of one changes earlier bars too."
        )
    if edits and first is None:
        change = "The model reads no difference, so there is no second fan."
    st.caption(f":material/info: {plain(change)}", help=reason)


def show_fans(source: ChosenCandles, found: Sequence[Finished], *, narrow: bool) -> None:
    """Two fans side by side, overlaid and in numbers; a single fan on its own chart."""
    view = choose_view()
    candles = source.candles
    if not found:
        show_fan(candles, None, view=view, key="candles", narrow=narrow)
        return
    marked = _marked(source, found)
    if len(found) == 1:
        forecast = found[0].forecast
        show_fan(candles, forecast, view=view, key="fan", narrow=narrow, events=marked[0])
        show_calendar(source, all_events(), forecast)
        return
    contenders = _contenders(found)
    figure = panel_figure(candles, contenders, view=view, compact=narrow, events=marked)
    show_figure(figure, key="side_by_side", alt=compare_description(candles, contenders))
    st.caption(
        "Bands: 80% (p10 to p90) and 50% (p25 to p75) of paths. Thick line: median. Markers: "
        "filled on known bars, hollow on forecast bars."
    )
    show_calendar(source, all_events(), found[0].forecast)
    _show_change(found)
    _show_outcomes(candles, contenders)
    st.header("Overlay", anchor=False)
    _show_overlay(candles, contenders, view, narrow=narrow)
    st.header("Changes by bar", anchor=False)
    _show_bars(candles, found, narrow=narrow)


def _show_change(found: Sequence[Finished]) -> None:
    text = change_text(*(one.forecast for one in found))
    st.info(plain(text), icon=":material/compare_arrows:")
    st.caption(
        "A change shows how the model responds to events, not how the market will.",
        help="± is the standard error of the difference, from paths resampled in pairs. A change "
        "is significant above two standard errors.",
    )


def _show_outcomes(candles: Candles, contenders: Sequence[Contender]) -> None:
    """Each fan against the actual bars, where they are known."""
    for contender in contenders:
        text = inside_text(candles, contender.forecast)
        if text is not None:
            st.caption(plain(f"{contender.letter}: {text}"))


def _show_overlay(
    candles: Candles, contenders: Sequence[Contender], view: View, *, narrow: bool
) -> None:
    figure = overlay_figure(candles, contenders, view=view, compact=narrow)
    show_figure(figure, key="overlaid", alt=compare_description(candles, contenders))
    st.caption("Thick lines: medians. Bands in the same colour: 80% (p10 to p90).")


@st.fragment
def _show_bars(candles: Candles, found: Sequence[Finished], *, narrow: bool) -> None:
    before, after = (one.forecast for one in found)
    bars = choose_bars(before.horizon)
    if not bars:
        return
    scene = build_scene(candles, before, view="price")
    medians, widths, errors = (
        ("median A", "median B"), ("width A", "width B"), ("± median", "± width")
    )  # fmt: skip
    formats: dict[str, Format] = {
        **dict.fromkeys(medians, scene.price_text),
        **dict.fromkeys(widths, "{:.2f}%"),
        **dict.fromkeys(("change of median", "change of width"), "{:+.3f}%"),
        **dict.fromkeys(errors, "{:.3f}%"),
    }
    number = st.column_config.NumberColumn
    st.dataframe(
        in_print(change_table(before, after, bars), formats),
        hide_index=True,
        column_config={
            "bar": number(pinned=not narrow),
            **dict.fromkeys((*widths, "change of width"), number(help=meaning("Change of width"))),
            "change of median": number(help="In percent of the last close."),
            **dict.fromkeys(errors, number(help=meaning("Sampling error"))),
        },
    )
    st.caption(
        "A: as scheduled. B: what if. Widths and changes in percent of the last close.",
        help="A change is significant above two standard errors.",
    )


def _contenders(found: Sequence[Finished]) -> list[Contender]:
    return [
        Contender(one.place, _title(one.place, one.run.settings), one.forecast) for one in found
    ]


def _marked(source: ChosenCandles, found: Sequence[Finished]) -> list[tuple[Event, ...]]:
    """The events to mark around each fan: the calendar with the edits of its run."""
    first = found[0]
    marked = events_of(source, first.forecast)
    known = None if first.run.settings.events is None else set(first.run.settings.events.events)
    out = []
    for one in found:
        inputs = one.run.settings.events
        shown = marked
        if inputs is not None and known is not None:
            edited = set(inputs.events)
            off = tuple(known - edited)
            shown = (*Edits(off).on_chart(marked), *(edited - known))
            if inputs.surprise is not None:
                history = context_of(source.candles, one.run.settings.origin)
                shown = (*shown, surprise_mark(inputs.surprise, history))
        out.append(shown)
    return out
