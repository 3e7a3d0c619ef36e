"""A finished comparison on the page: heading, chart, tables, cautions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

import streamlit as st

from kronos.candles import Candles
from pages.ui.chart.panels import (
    Contender,
    compare_description,
    overlay_figure,
    panel_figure,
)
from pages.ui.chart.scene import View, build_scene
from pages.ui.chart.view import choose_view, show_fan, show_figure
from pages.ui.compare.text import (
    Cost,
    compare_workbook,
    horizon_table,
    model_table,
    verdict_text,
)
from pages.ui.fan.calibration import choose_fans
from pages.ui.fan.exports import file_stem
from pages.ui.fan.results import caution_notes, weights_text
from pages.ui.fan.side_by_side import Words
from pages.ui.frame.excel import MIME
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.frame.text import counted, in_print
from pages.ui.inputs.candles import ChosenCandles
from pages.ui.inputs.controls import choose_bars
from pages.ui.inputs.model_choices import choice_of, title_of
from pages.ui.jobs.forecast_runs import Finished

Arrangement = Literal["panels", "overlay"]
ARRANGEMENTS: dict[Arrangement, str] = {"panels": "Panels", "overlay": "Overlay"}


WORDS = Words(
    invitation="Press Run to compare models on these candles.",
    older="Below is the previous comparison.",
    title=lambda place, request: title_of(request),
)


def contenders_of(candles: Candles, found: Sequence[Finished]) -> list[Contender]:
    """The fans of a comparison with their letters, beside the switch of raw and calibrated."""
    with st.container(  # see pages/compare.py
        horizontal=True, vertical_alignment="center", width="content"
    ):
        if not found:
            return []
        shown = choose_fans(candles, [one.forecast for one in found])
        contenders = []
        for one, fan in zip(found, shown, strict=True):
            mark = "" if fan.forecast.calibration_hash is None else ", calibrated"
            title = title_of(one.run.settings) + mark
            contenders.append(Contender(one.place, title, fan.forecast))
        letters = [one.letter for one in contenders]
        names = [f"{letter}: {fan.name}" for letter, fan in zip(letters, shown, strict=True)]
        if len({fan.name for fan in shown}) == 1:
            names = [shown[0].name]
        states = [f"{letter}: {fan.state}" for letter, fan in zip(letters, shown, strict=True)]
        st.caption(
            f":material/straighten: {plain(' · '.join(names))}",
            help="\n\n".join(map(plain, states)),
        )
        return contenders


def show_heading(candles: Candles, found: Sequence[Finished]) -> None:
    """Instrument, number of forecasts and horizon as the title."""
    text = candles.symbol
    if found:
        ahead = found[0].forecast.horizon
        text += (
            f": {counted(len(found), 'forecast')} of the next {counted(ahead, 'bar')} of "
            f"{candles.interval}"
        )
    st.title(plain(text), anchor=False)


def choose_look() -> tuple[Arrangement, View]:
    """The controls of arrangement and view."""
    arrangement = st.segmented_control(
        "Arrangement", list(get_args(Arrangement)), default="panels", required=True,
        format_func=lambda name: ARRANGEMENTS[name], key="arrangement", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    return arrangement, choose_view()


def show_chart(
    candles: Candles,
    contenders: Sequence[Contender],
    look: tuple[Arrangement, View],
    *,
    narrow: bool,
) -> None:
    """The fans; candles alone without fans."""
    arrangement, view = look
    if not contenders:
        show_fan(candles, None, view=view, key="candles", narrow=narrow)
        return
    draw = overlay_figure if arrangement == "overlay" else panel_figure
    figure = draw(candles, contenders, view=view, compact=narrow)
    show_figure(figure, key="comparison", alt=compare_description(candles, contenders))
    text = "Bands: 80% (p10 to p90) and 50% (p25 to p75) of paths. Thick line: median."
    if arrangement == "overlay":
        text = "Thick lines: medians. Bands in the same colour: 80% (p10 to p90)."
    st.caption(text)
    for contender in contenders:
        if contender.forecast.weights is not None:
            weights = f"{contender.letter}: {weights_text(contender.forecast)}"
            st.caption(f":material/balance: {plain(weights)}")


def show_tables(
    candles: Candles,
    found: Sequence[Finished],
    contenders: Sequence[Contender],
    *,
    narrow: bool,
) -> None:
    """Cost and scores of every model, then quantiles at chosen bars."""
    choices = [choice_of(one.run.settings.model) for one in found]
    costs = [Cost(choice.n_parameters, choice.n_bytes) for choice in choices]
    models = model_table(candles, contenders, costs)
    verdict = verdict_text(models)
    st.header("Cost and scores", anchor=False)
    with st.container():  # see pages/compare.py
        if verdict is not None:
            st.info(plain(verdict), icon=":material/balance:")
    # On a narrow screen a pinned column leaves no room for the others.
    name = st.column_config.TextColumn(pinned=not narrow)
    st.dataframe(models, hide_index=True, column_config={"model": name, **_model_columns()})
    st.header("Quantiles by bar", anchor=False)
    _show_bars(candles, contenders, narrow=narrow)
    st.download_button(
        "Tables (Excel)", partial(compare_workbook, candles, tuple(contenders), costs),
        file_name=f"{file_stem(candles, contenders[0].forecast)}_compared.xlsx", mime=MIME,
        key="compare xlsx", on_click="ignore", icon=":material/download:",
    )  # fmt: skip


@st.fragment
def _show_bars(candles: Candles, contenders: Sequence[Contender], *, narrow: bool) -> None:
    scene = build_scene(candles, contenders[0].forecast, view="price")
    bars = choose_bars(contenders[0].forecast.horizon)
    if not bars:
        return
    table = horizon_table(candles, contenders, bars)
    prices = dict.fromkeys(("p10", "p50", "p90", "actual"), scene.price_text)
    st.dataframe(
        in_print(table, {**prices, "width": "{:.2f}%", "P(up)": "{:.0f}%"}),
        hide_index=True,
        column_config={
            "model": st.column_config.TextColumn(pinned=not narrow),
            "width": st.column_config.NumberColumn(
                help="p90 minus p10, in percent of the last close"
            ),
            "P(up)": st.column_config.NumberColumn(help=meaning("P(up)")),
        },
    )


def show_cautions(source: ChosenCandles, contenders: Sequence[Contender]) -> None:
    """Limits of the fans, each once, with the letters of its fans."""
    about: dict[str, list[str]] = {}
    for contender in contenders:
        for note in caution_notes(source, contender.forecast):
            about.setdefault(note, []).append(contender.letter)
    for note, letters in about.items():
        who = "" if len(letters) == len(contenders) else f"{', '.join(letters)}: "
        st.caption(f":material/info: {plain(who + note)}")


def _model_columns() -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "seconds": number(
            format="%.2f s",
            help="Wall time. Models that run at the same time share the machine.",
        ),
        "parameters": number(
            format="localized", help="A model learns them; a baseline estimates them from the bars."
        ),
        "memory": st.column_config.TextColumn(help="Weights of model and tokenizer."),
        "bars read": number(format="localized"),
        "CRPS": number(
            format="%.3f",
            help="Mean over the known bars, in units of sigma × sqrt(bars). Lower is better.",
        ),
        "inside 80%": st.column_config.TextColumn(
            help="Known bars that closed inside the 80% band, and the numbers that 95% of the "
            "fan's own paths have inside the band of the others."
        ),
        "known bars": number(help="Bars of the horizon with a known actual close."),
    }
