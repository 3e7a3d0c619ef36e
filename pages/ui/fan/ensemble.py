"""The weights of an ensemble, in words and numbers."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from kronos.forecast import Forecast
from pages.ui.frame.glossary import meaning
from pages.ui.frame.messages import plain


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
