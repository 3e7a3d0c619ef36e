"""A forecast in the formats that a program reads: quantiles or every path, as figures or a picture.

Formats: json, csv, parquet, arrow (an IPC stream), png, svg.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Annotated, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field, field_validator

from kronos.calibration import calibrate, load_state
from kronos.candles import Candles
from kronos.errors import InvalidRequest
from kronos.export import forecast_json, paths_csv, quantiles_csv, quantiles_table
from kronos.forecast import DEFAULT_LEVELS, Forecast
from kronos.plot import picture

__all__ = ["FORMATS", "MAX_WAIT", "Format", "View", "ViewQuery", "answer"]

Format = Literal["json", "csv", "parquet", "arrow", "png", "svg"]
FORMATS: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "png": "image/png",
    "svg": "image/svg+xml",
}
"""Media types."""
MAX_LEVELS = 99
MAX_WAIT = 60.0
"""Seconds that a request may wait for the end of a forecast."""


class View(BaseModel):
    """What of a forecast is wanted, and how. Percentages are from 0 to 100."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Format = "json"
    content: Literal["quantiles", "paths"] = "quantiles"
    quantiles: str | None = Field(
        None, max_length=400, description="Percent, from 1 to 99, separated by commas; default: "
        "10,25,50,75,90.", examples=["5,50,95"],
    )  # fmt: skip
    calibrated: bool = Field(False, description="Correct the fan by the model's record.")
    corridor: float | None = Field(
        None, gt=0, lt=100, description="Also a band that holds this share of whole paths."
    )
    implied: float | None = Field(
        None, gt=0, le=1000, description="Also the cone of this annual volatility."
    )
    stop: float | None = Field(None, gt=0, description="Price that closes with a loss.")
    target: float | None = Field(None, gt=0, description="Price that closes with a gain.")
    budget: float | None = Field(None, gt=0, le=100, description="Of the capital, lost at stop.")
    low: float | None = Field(None, gt=0, description="P(close from low to high) ...")
    high: float | None = Field(None, gt=0, description="... needs both.")
    risk: bool = Field(False, description="Also value at risk, shortfall, drawdowns (json).")

    @field_validator("quantiles")
    @classmethod
    def _are_percent(cls, text: str | None) -> str | None:
        if text is not None:
            _levels(text)
        return text

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels of the quantiles, ascending."""
        return DEFAULT_LEVELS if self.quantiles is None else _levels(self.quantiles)


class AskedView(View):
    """A view, and how long to wait for it."""

    wait: float = Field(0.0, ge=0.0, le=MAX_WAIT, description="Seconds to wait for the end.")

    @property
    def view(self) -> View:
        return View.model_construct(**self.model_dump(exclude={"wait"}))


ViewQuery = Annotated[AskedView, Query()]


def _levels(text: str) -> tuple[float, ...]:
    try:
        percents = [float(each) for each in text.split(",")]
    except ValueError:
        percents = []
    if not 1 <= len(percents) <= MAX_LEVELS or not all(1.0 <= each <= 99.0 for each in percents):
        raise ValueError(f"1 to {MAX_LEVELS} percentages from 1 to 99, such as 5,50,95")
    return tuple(sorted({each / 100.0 for each in percents}))


def answer(forecast: Forecast, candles: Candles, view: View) -> bytes:
    """The body of a result.

    Args:
        forecast: The raw fan.
        candles: Its bars, and those after the origin that are known.
        view: What is wanted.

    Raises:
        InvalidRequest: A figure makes no sense, or no calibration applies.
        MissingExtra: A picture is wanted and its package is not installed.
    """
    shown = calibrate(forecast, candles, load_state()) if view.calibrated else forecast
    return _WRITERS[view.content][view.format](shown, candles, view)


def _quantiles_json(forecast: Forecast, candles: Candles, view: View) -> bytes:
    between = None
    if view.low is not None or view.high is not None:
        if view.low is None or view.high is None:
            raise InvalidRequest("low and high are given together.")
        between = (view.low, view.high)
    implied = _share(view.implied)
    rows = []
    if view.risk or view.stop is not None or between is not None or implied is not None:
        rows = forecast.risk_rows(
            view.stop, view.target, budget=_share(view.budget), between=between,
            implied=None if implied is None else (implied, candles.bar_years),
        )  # fmt: skip
    elif view.target is not None or view.budget is not None:
        raise InvalidRequest("target and budget need stop.")
    return forecast_json(
        candles, forecast, view.levels, rows, corridor=_share(view.corridor), implied=implied
    ).encode()


def _paths_json(forecast: Forecast, candles: Candles, view: View) -> bytes:
    facts = json.loads(_quantiles_json(forecast, candles, view))
    table = forecast.paths_frame()
    facts["paths"] = {
        name: table[name].to_numpy().reshape(forecast.n_paths, forecast.horizon).tolist()
        for name in table.columns
    }
    return json.dumps(facts, allow_nan=False).encode()


def _quantiles_csv(forecast: Forecast, candles: Candles, view: View) -> bytes:
    return quantiles_csv(candles, forecast, view.levels, **_bands(view)).encode()


def _paths_csv(forecast: Forecast, candles: Candles, view: View) -> bytes:
    return paths_csv(candles, forecast).encode()


def _table(forecast: Forecast, candles: Candles, view: View) -> pd.DataFrame:
    if view.content == "paths":
        return forecast.paths_frame().reset_index()
    return quantiles_table(candles, forecast, view.levels, **_bands(view))


def _parquet(forecast: Forecast, candles: Candles, view: View) -> bytes:
    sink = io.BytesIO()
    pq.write_table(_arrow_table(forecast, candles, view), sink)
    return sink.getvalue()


def _arrow(forecast: Forecast, candles: Candles, view: View) -> bytes:
    table = _arrow_table(forecast, candles, view)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _arrow_table(forecast: Forecast, candles: Candles, view: View) -> pa.Table:
    """The table, with everything that made the forecast in the metadata of its schema."""
    table = pa.Table.from_pandas(_table(forecast, candles, view), preserve_index=False)
    facts = json.dumps({"symbol": candles.symbol, **forecast.metadata()})
    return table.replace_schema_metadata({"forecast": facts})


def _png(forecast: Forecast, candles: Candles, view: View) -> bytes:
    return picture(forecast, candles, kind="png")


def _svg(forecast: Forecast, candles: Candles, view: View) -> bytes:
    return picture(forecast, candles, kind="svg")


def _bands(view: View) -> dict[str, float | None]:
    return {"corridor": _share(view.corridor), "implied": _share(view.implied)}


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100.0


_Writer = Callable[[Forecast, Candles, View], bytes]
_BOTH: dict[Format, _Writer] = {"parquet": _parquet, "arrow": _arrow, "png": _png, "svg": _svg}
_WRITERS: dict[str, dict[Format, _Writer]] = {
    "quantiles": _BOTH | {"json": _quantiles_json, "csv": _quantiles_csv},
    "paths": _BOTH | {"json": _paths_json, "csv": _paths_csv},
}
