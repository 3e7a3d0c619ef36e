"""The track record in words. Pure: no page in here."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data_sources.samples import SAMPLES, SampleBars
from data_sources.source import Instrument
from pages.ui.fan.readouts import Readout
from pages.ui.frame.text import bar_time, origin_query
from pages.ui.inputs.ticker import ticker_link
from pages.ui.jobs.scoring import Scored
from pages.ui.track_record.study import Study

__all__ = [
    "PROMISE",
    "forecast_link",
    "headline",
    "miss_title",
    "parts_table",
    "rivals_table",
    "scope_text",
    "scored_text",
]  # fmt: skip

PROMISE = (
    "**What this can tell, and what not.** Of a calibrated model, four of five outcomes lie in the "
    "80% band, counted over many instruments and months. That says nothing of a single day: after "
    "news, or in a crash, whole groups of outcomes miss together. A record of the past promises "
    "nothing for markets that change. Forecasts made afterwards, as a backtest, can be chosen with "
    "hindsight; only those made ahead cannot."
)


def scope_text(study: Study) -> str:
    """How much the figures rest on."""
    if study.first is None or study.last is None:
        return (
            "No forecast is of this kind. Choose other filters: those of a walk through the "
            'bundled samples show with "Learned from: Both".'
        )
    return (
        f"{study.n_forecasts:,} forecasts of {study.n_series:,} series from {study.n_dates:,} "
        f"dates between {study.first:%d %b %Y} and {study.last:%d %b %Y}, {study.n_steps:,} bars."
    )


def headline(study: Study) -> list[Readout]:
    """The main figures."""
    covered = study.coverage.iloc[0]
    # Of N independent paths and an outcome like them, so much lies between two of their quantiles.
    expected = 0.8 * (study.n_paths - 1) / (study.n_paths + 1)
    numbers = [
        Readout(
            "80% band held",
            f"{covered['coverage']:.1%}",
            f"± {2 * covered['error']:.1%}; {expected:.1%} expected of {study.n_paths} paths",
        )
    ]
    if study.rivals:
        rival = study.rivals[0]
        numbers.append(
            Readout(
                "CRPS skill",
                f"{rival.skill.skill:+.1%}",
                f"{_range(rival.skill.low, rival.skill.high)} against {rival.title}",
            )
        )
    if study.rank_ic.n_dates:
        numbers.append(
            Readout(
                "RankIC of the median",
                f"{study.rank_ic.mean:+.3f}",
                f"t = {study.rank_ic.t:.1f} over {study.rank_ic.n_dates} dates; IC "
                f"{study.ic.mean:+.3f}",
            )
        )
    if study.volatility.n:
        numbers.append(
            Readout(
                "Volatility",
                f"R² {study.volatility.r2:+.2f}",
                f"mean error {study.volatility.mae:.2f} of the volatility at the origin",
            )
        )
    return numbers


def calibration_description(study: Study) -> str:
    """The charts of calibration in words, for those who do not see them."""
    below = study.reliability.set_index("level")["share"]
    months = study.by_month["coverage"]
    return (
        f"{below[0.1]:.0%} of outcomes lie below p10, {below[0.5]:.0%} below p50 and "
        f"{below[0.9]:.0%} below p90. The 80% band held {study.by_step['coverage'].iloc[0]:.0%} at "
        f"the first bar and {study.by_step['coverage'].iloc[-1]:.0%} at the last, and from "
        f"{months.min():.0%} to {months.max():.0%} in a month."
    )


def skill_description(study: Study) -> str:
    """The chart of skill in words."""
    parts = [
        f"{rival.title} {rival.skill.skill:+.1%}, {_range(rival.skill.low, rival.skill.high)}"
        for rival in study.rivals
    ]
    return f"CRPS skill against {'; '.join(parts)}."


def rivals_table(study: Study) -> pd.DataFrame:
    """One row a baseline: skill, its interval, the test, and on how much they rest."""
    return pd.DataFrame(
        {
            "Against": [rival.title for rival in study.rivals],
            "CRPS skill": [f"{rival.skill.skill:+.1%}" for rival in study.rivals],
            "95% interval": [_range(r.skill.low, r.skill.high) for r in study.rivals],
            "Diebold-Mariano": [_number(rival.skill.statistic) for rival in study.rivals],
            "p": [_number(rival.skill.p, 3) for rival in study.rivals],
            "Forecasts": [f"{rival.skill.n_windows:,}" for rival in study.rivals],
            "Dates": [f"{rival.skill.n_dates:,}" for rival in study.rivals],
        }
    )


def parts_table(study: Study) -> pd.DataFrame:
    """One row an asset class, an interval and a kind of day."""
    parts = study.parts
    return pd.DataFrame(
        {
            "By": parts["kind"],
            "Part": parts["part"],
            "Forecasts": [f"{n:,}" for n in parts["forecasts"]],
            "80% band held": [
                f"{share:.1%} ± {2 * error:.1%}"
                for share, error in zip(parts["coverage"], parts["error"], strict=True)
            ],
            "CRPS skill": ["" if np.isnan(value) else f"{value:+.1%}" for value in parts["skill"]],
            "95% interval": [
                _range(low, high) for low, high in zip(parts["low"], parts["high"], strict=True)
            ],
        }
    )


def miss_title(miss: pd.Series) -> str:
    """A miss in a line, to be chosen from a list."""
    sigmas = abs(miss["actual_return"]) / miss["scale"]
    origin = bar_time(miss["origin"].tz_convert(miss["zone"]), miss["interval"])
    return (
        f"{miss['instrument']} {miss['interval']}, {origin}: "
        f"{np.expm1(miss['actual_return']):+.1%} by bar {miss['step']}, {sigmas:.1f} sigmas"
    )


def forecast_link(miss: pd.Series, zone: str) -> dict[str, str] | None:
    """The Forecast page's address for a forecast that was kept; None where its bars are not to be
    had there."""
    settings = {
        **origin_query(miss["origin"].tz_convert(zone), miss["interval"]),
        "horizon": str(miss["horizon"]),
        "paths": str(min(max(int(miss["n_paths"]), 20), 500)),
        "seed": str(miss["seed"]),
    }
    if miss["source"] == SampleBars.name:
        titles = {(s.symbol, s.interval): s.title for s in SAMPLES.values()}
        title = titles.get((miss["instrument"], miss["interval"]))
        return None if title is None else {"data": title, **settings}
    from data_sources.registry import source_titles

    if miss["source"] not in source_titles():
        return None
    instrument = Instrument(miss["source"], miss["instrument"])
    return ticker_link(instrument, miss["interval"], **settings)


def scored_text(last: Scored | None, *, is_running: bool) -> str:
    """What the scoring in the background did last."""
    if is_running:
        return "Asking the sources for bars now."
    if last is None:
        return "Stored forecasts are scored once an hour, as their bars come."
    text = (
        f"Last scored at {last.at:%d %b %Y %H:%M} UTC: {last.n_steps:,} new bars of "
        f"{last.n_series:,} series."
    )
    if last.problem:
        failed = f"{last.n_failed:,} series failed, the first: " if last.n_failed else ""
        text += f" {failed}{last.problem}"
    return text


def _range(low: float, high: float) -> str:
    return "too few dates" if np.isnan(low) else f"{low:+.1%} to {high:+.1%}"


def _number(value: float, digits: int = 2) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"
