"""How models have fared: the evaluations of the store in one table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import sqlalchemy as sa

from kronos.store.schema import predictions
from kronos.store.store import Store

__all__ = ["summarise"]

_KEY = ["model", "interval", "made"]


def summarise(store: Store) -> pd.DataFrame:
    """Mean scores of every model, by interval and by when the forecast was stored.

    Returns:
        One row for each model, interval and `made` ("ahead" of the outcome or "afterwards"):
        predictions, steps, missing (steps without a bar), crps, interval_score and width over
        the volatility at the origin times the root of the step, coverage of the 80% band, mae of
        the median in log-returns, and direction (share of moves whose sign the median had).
        Steps of predictions whose volatility is not known count in all but the scaled columns.
    """
    columns = ("id", "model_name", "model_version", "interval")
    with store.database.reading() as connection:
        rows = connection.execute(sa.select(*(predictions.c[name] for name in columns))).all()
    facts = pd.DataFrame(rows, columns=list(columns))
    table = store.evaluations().merge(facts, left_on="prediction_id", right_on="id")
    table["model"] = table["model_name"] + " " + table["model_version"].str[:12]
    table["made"] = np.where(table["ahead"].astype(bool), "ahead", "afterwards")
    came = table["outcome"] != "missing"
    numbers = ("crps", "interval_score", "width", "inside_band", "absolute_error", "direction")
    for name in (*numbers, "scale"):
        table[name] = table[name].astype(float)
    for name in numbers[:3]:
        table[name] /= table["scale"]
    grouped = table.assign(came=came, gone=~came).groupby(_KEY, sort=True)
    return pd.DataFrame(
        {
            "predictions": grouped["prediction_id"].nunique(),
            "steps": grouped["came"].sum(),
            "missing": grouped["gone"].sum(),
            "crps": grouped["crps"].mean(),
            "interval_score": grouped["interval_score"].mean(),
            "coverage": grouped["inside_band"].mean(),
            "width": grouped["width"].mean(),
            "mae": grouped["absolute_error"].mean(),
            "direction": grouped["direction"].mean(),
        }
    ).reset_index()
