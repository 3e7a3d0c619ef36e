"""What the tools answer: the figures that a decision needs, rounded, small enough for a context."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from kronos.candles import Candles
from kronos.evaluation.cone import cone_scale, origin_volatility
from kronos.evaluation.scores import score_cone, score_paths
from kronos.forecast import Forecast

__all__ = ["Comparison", "Estimate", "Fan", "Scored", "Step", "fan_of", "scored_of"]

N_STEPS = 6
"""Bars of a fan that an answer names."""
_DIGITS = 6


class Step(BaseModel):
    """One bar of the fan: quantiles of its close."""

    bar: int = Field(description="1 is the bar after the origin.")
    time: str
    p10: float
    p50: float
    p90: float
    probability_up: float


class Estimate(BaseModel):
    """A figure from sampled paths, and its standard error."""

    value: float
    standard_error: float


class Fan(BaseModel):
    """A forecast in a few figures. Returns are in percent of the last close."""

    instrument: str
    interval: str
    model: str
    revision: str
    origin: str = Field(description="Time of the last bar that was read.")
    last_close: float
    horizon: int
    paths: int
    steps: list[Step]
    probability_up: Estimate = Field(description="At the horizon.")
    range80: tuple[float, float] = Field(description="p10 and p90 at the horizon, percent.")
    expected_move: float = Field(description="Mean size of the move at the horizon, percent.")
    value_at_risk95: Estimate = Field(description="Loss of a long position, percent.")
    calibrated: bool
    notes: list[str] = []
    link: str | None = Field(None, description="Opens the same view; none for a file.")


class Comparison(BaseModel):
    """Several models on the same bars, origin and seed."""

    fans: list[Fan]
    link: str | None = None


class Scored(BaseModel):
    """A forecast from an origin in the past beside what came. Scores are over sigma * sqrt(bar)."""

    fan: Fan
    bars_known: int = Field(description="Bars of the forecast whose outcome is known.")
    last_actual: float = Field(description="Close of the last of them.")
    inside80: float = Field(description="Share of outcomes from p10 to p90; .8 is expected.")
    crps: float = Field(description="Lower is better.")
    crps_of_cone: float = Field(description="Of a plain EWMA cone from the same bars.")
    note: str


def fan_of(
    forecast: Forecast, candles: Candles, *, notes: tuple[str, ...] = (), link: str | None = None
) -> Fan:
    """The figures of a forecast."""
    rows = forecast.quantile((0.1, 0.5, 0.9))
    ups = forecast.probability_up()
    bars = np.unique(np.linspace(0, forecast.horizon - 1, min(N_STEPS, forecast.horizon)).round())
    up = float(ups[-1])
    risk = forecast.value_at_risk(0.95)
    moves = 100.0 * (rows[:, -1] / forecast.last_close - 1.0)
    return Fan(
        instrument=candles.symbol,
        interval=candles.interval,
        model=forecast.model_name,
        revision=forecast.model_revision[:16],
        origin=forecast.origin.isoformat(),
        last_close=_short(forecast.last_close),
        horizon=forecast.horizon,
        paths=forecast.n_paths,
        steps=[
            Step(
                bar=i + 1, time=forecast.timestamps[i].isoformat(), p10=_short(rows[0, i]),
                p50=_short(rows[1, i]), p90=_short(rows[2, i]), probability_up=round(ups[i], 3),
            )
            for i in bars.astype(int)
        ],
        probability_up=Estimate(
            value=round(up, 3),
            standard_error=round(float(np.sqrt(up * (1.0 - up) / forecast.n_paths)), 3),
        ),
        range80=(round(moves[0], 3), round(moves[2], 3)),
        expected_move=round(100.0 * float(forecast.expected_move()[-1]), 3),
        value_at_risk95=Estimate(
            value=round(100.0 * risk.value, 3), standard_error=round(100.0 * risk.error, 3)
        ),
        calibrated=forecast.calibration_hash is not None,
        notes=list(notes),
        link=link,
    )  # fmt: skip


def scored_of(forecast: Forecast, candles: Candles, fan: Fan) -> Scored | None:
    """The forecast beside the bars that came; None where none of them is known."""
    actual = candles.bars_at(forecast.timestamps)["close"].to_numpy()
    is_known = np.isfinite(actual)
    sigma = origin_volatility(candles, forecast.origin)
    if not is_known.any() or sigma is None:
        return None
    returns = np.log(actual[is_known] / forecast.last_close)
    scale = cone_scale(sigma, forecast.horizon)[is_known]
    ours = score_paths(returns, forecast.log_returns()[:, is_known], scale)
    cone = score_cone(returns, scale)
    return Scored(
        fan=fan,
        bars_known=int(is_known.sum()),
        last_actual=_short(actual[is_known][-1]),
        inside80=round(float(ours.inside.mean()), 3),
        crps=round(float(ours.crps.mean()), 4),
        crps_of_cone=round(float(cone.crps.mean()), 4),
        note="One forecast proves nothing: its bars move together. See track_record for many.",
    )


def _short(value: Any) -> float:
    """A price with as many digits as a chart shows."""
    return float(f"{float(value):.{_DIGITS}g}") if value < 10**_DIGITS else round(float(value), 2)
