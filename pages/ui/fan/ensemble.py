"""The ensemble as one of the models, and its weights in words and numbers."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from kronos import models
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain
from pages.ui.jobs import services

__all__ = ["ensemble_entry", "ensemble_remark", "show_weights", "weights_table", "weights_text"]

_MAX_LOOKBACK = 1000
"""Most bars that a member is asked to read."""


def ensemble_entry() -> models.Entry | None:
    """The ensemble as a list of models shows it; None where its weights cannot be read."""
    try:
        weights = services.ensemble()
    except InvalidRequest:
        return None
    members = {entry.name: entry for entry in services.models() if entry.name in weights.members}
    states = {entry.state for entry in members.values()}
    return models.Entry(
        name=models.ENSEMBLE,
        title="Ensemble",
        state="broken" if states & {"broken", "downloadable"} else "cached",
        n_bytes=sum(entry.n_bytes for entry in members.values()),
        n_parameters=sum(entry.n_parameters for entry in members.values()),
        max_context=_MAX_LOOKBACK,
        lookback=None,
        licence="",
        revision=weights.revision,
    )


def ensemble_remark() -> str:
    """Members of the ensemble and where their weights come from."""
    weights = services.ensemble()
    return f"Averages {', '.join(weights.members)}. Weights: {weights.reason}"


def weights_text(forecast: Forecast) -> str:
    """Mean weights over the horizon, largest first."""
    assert forecast.weights is not None
    means = {name: sum(each) / len(each) for name, each in forecast.weights.items()}
    ordered = sorted(means.items(), key=lambda pair: -pair[1])
    return "Weights: " + ", ".join(f"{name} {mean:.0%}" for name, mean in ordered)


def weights_table(forecast: Forecast) -> pd.DataFrame:
    """One row a bar, one column a member, in percent."""
    table = 100.0 * pd.DataFrame(forecast.weights)
    table.insert(0, "bar", range(1, len(table) + 1))
    return table


def show_weights(forecast: Forecast) -> None:
    """Who made the fan of an ensemble; nothing for a single model."""
    if forecast.weights is None:
        return
    st.caption(f":material/balance: {plain(weights_text(forecast))}", help=meaning("Ensemble"))
    with st.expander("Weights at every bar"):
        table = weights_table(forecast)
        percent = st.column_config.NumberColumn(format="%.1f%%")
        st.dataframe(
            table,
            hide_index=True,
            height=min(36 * (len(table) + 1), 300),
            column_config=dict.fromkeys(table.columns[1:], percent),
        )
