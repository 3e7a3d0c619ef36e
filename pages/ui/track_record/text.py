"""Sentences and tables of the track record. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from kronos.evaluation.evidence import ENOUGH
from kronos.evaluation.track_record import Gain
from pages.ui.fan.readouts import Readout
from pages.ui.frame.excel import workbook
from pages.ui.frame.text import DISCLAIMER, bar_time, counted, number_text
from pages.ui.jobs.scoring import Scored
from pages.ui.track_record.study import Rival, Study

__all__ = [
    "READING",
    "card_text",
    "claim_text",
    "headline",
    "miss_title",
    "parts_table",
    "rivals_table",
    "scope_text",
    "scored_text",
]  # fmt: skip

READING = """\
- For a calibrated model, 80% of outcomes fall inside the 80% band, over many instruments and dates.
- This says nothing about a single day: after news or in a crash, many outcomes miss together.
- A past record is no guarantee, because markets change.
- Only forecasts made ahead of the outcome are free of hindsight. Those made afterwards, as a \
backtest, are not.
"""


def scope_text(study: Study) -> str:
    """The size of the selected part."""
    if study.first is None or study.last is None:
        return (
            "No forecast matches these filters. A walk-forward test on the bundled samples is in "
            "sample for the models: set Sample to Both in the sidebar."
        )
    text = (
        f"{counted(study.n_forecasts, 'forecast')} of {study.n_series:,} series, "
        f"{counted(study.n_steps, 'bar')}. Origins: {counted(study.n_dates, 'date')}, "
        f"{study.first:%d %b %Y} to {study.last:%d %b %Y}."
    )
    if study.n_out < study.n_forecasts and study.chosen.sample == "any":
        inside = study.n_forecasts - study.n_out
        text += f" {inside:,} of them are in sample or not known, and prove little."
    return text


def card_text(facts: Mapping[str, Any]) -> str:
    """What the record of the model card is."""
    return (
        f"Record of the model card: {facts['windows']:,} forecasts of {facts['series']:,} series "
        "that the bundled model was not trained on, made as a backtest when its weights were "
        f"evaluated ({facts['made_at'][:10]}, weights {facts['revision'][:8]}). It holds scores "
        "only, no bars. Forecasts of this server are not in it."
    )


def headline(study: Study) -> list[Readout]:
    """The main figures."""
    covered = study.coverage.iloc[0]
    # Probability mass between two quantiles of N independent paths.
    expected = 0.8 * (study.n_paths - 1) / (study.n_paths + 1)
    numbers = [
        Readout(
            "80% coverage",
            f"{covered['coverage']:.1%}",
            f"± {2 * covered['error']:.1%}; expected {expected:.1%} for {study.n_paths} paths",
        )
    ]
    if study.rivals:
        rival = study.rivals[0]
        numbers.append(
            Readout(
                "CRPS skill",
                number_text("{:+.1%}", rival.skill.skill),
                f"{_range(rival.skill.low, rival.skill.high)} vs {rival.title}",
            )
        )
        numbers.append(
            Readout(
                f"Better than {rival.title}?",
                {"better": "Yes", "worse": "No, worse"}.get(rival.evidence.claim, "Not shown"),
                f"e-value {_e_value(rival)}; a claim takes {ENOUGH:g}",
            )
        )
    if study.rank_ic.n_dates:
        numbers.append(
            Readout(
                "RankIC",
                number_text("{:+.3f}", study.rank_ic.mean),
                number_text("t = {:.1f}, ", study.rank_ic.t)
                + f"{counted(study.rank_ic.n_dates, 'date')}; IC "
                + number_text("{:+.3f}", study.ic.mean),
            )
        )
    if study.volatility.n:
        numbers.append(
            Readout(
                "Volatility",
                f"R² {study.volatility.r2:+.2f}",
                f"mean error {study.volatility.mae:.2f} × volatility at the origin",
            )
        )
    return numbers


def calibration_description(study: Study) -> str:
    """The calibration charts in words, for screen readers."""
    below = study.reliability.set_index("level")["share"]
    smoothed = study.over_time["coverage"]
    return (
        f"{below[0.1]:.0%} of outcomes lie below p10, {below[0.5]:.0%} below p50 and "
        f"{below[0.9]:.0%} below p90. Coverage of the 80% band: "
        f"{study.by_step['coverage'].iloc[0]:.0%} at the first bar, "
        f"{study.by_step['coverage'].iloc[-1]:.0%} at the last; {smoothed.min():.0%} to "
        f"{smoothed.max():.0%} over time."
    )


def skill_description(study: Study) -> str:
    """The chart of skill in words."""
    parts = [
        f"{rival.title} {number_text('{:+.1%}', rival.skill.skill)}, "
        f"{_range(rival.skill.low, rival.skill.high)}"
        for rival in study.rivals
    ]
    return f"CRPS skill vs {'; '.join(parts)}."


def claim_text(study: Study) -> str:
    """Whether the model is better than the first baseline, valid at every look."""
    rival = study.rivals[0]
    found = rival.evidence
    blocks = counted(len(found.times), "block")
    of = f"e-value {_e_value(rival)}, after {blocks} of outcomes that do not overlap"
    if found.since is None:
        return (
            f"Not shown to be better or worse than {rival.title}: {of}. A claim takes {ENOUGH:g}."
        )
    return (
        f"{found.claim.capitalize()} than {rival.title} since {found.since:%d %b %Y}: {of}. The "
        f"claim holds however often you look: at most 1 in {ENOUGH:g} such claims is false."
    )


def rivals_table(study: Study) -> pd.DataFrame:
    """One row per baseline: skill, interval, test, evidence, and the sample size."""
    return pd.DataFrame(
        {
            "Baseline": [rival.title for rival in study.rivals],
            "CRPS skill": [number_text("{:+.1%}", rival.skill.skill) for rival in study.rivals],
            "95% interval": [_range(r.skill.low, r.skill.high) for r in study.rivals],
            "Better?": [
                f"{rival.evidence.claim or 'not shown'}, e = {_e_value(rival)}"
                for rival in study.rivals
            ],
            "Log score gain": [_gain(rival.log_score) for rival in study.rivals],
            "QLIKE gain": [_gain(rival.qlike) for rival in study.rivals],
            "DM statistic": [_number(rival.skill.statistic) for rival in study.rivals],
            "p-value": [_p_value(rival.skill.p) for rival in study.rivals],
            "Forecasts": [f"{rival.skill.n_windows:,}" for rival in study.rivals],
            "Dates": [f"{rival.skill.n_dates:,}" for rival in study.rivals],
        }
    )


def parts_table(study: Study) -> pd.DataFrame:
    """One row per asset class, interval and day type."""
    parts = study.parts
    return pd.DataFrame(
        {
            "Group": parts["kind"],
            "Value": parts["part"],
            "Forecasts": [f"{n:,}" for n in parts["forecasts"]],
            "80% coverage": [
                f"{share:.1%} ± {2 * error:.1%}"
                for share, error in zip(parts["coverage"], parts["error"], strict=True)
            ],
            "CRPS skill": [
                "" if np.isnan(value) else number_text("{:+.1%}", value) for value in parts["skill"]
            ],
            "95% interval": [
                _range(low, high) for low, high in zip(parts["low"], parts["high"], strict=True)
            ],
        }
    )


def record_workbook(study: Study) -> bytes:
    """Skill, settings, groups and calibration as an Excel workbook, as numbers."""
    skill = [
        {
            "baseline": rival.title,
            "claim": rival.evidence.claim or "not shown",
            "e_value": rival.evidence.e_value,
            "e_value_worse": rival.evidence.e_value_worse,
            **{f"crps_{name}": value for name, value in asdict(rival.skill).items()},
            **_gain_cells("log_score", rival.log_score),
            **_gain_cells("qlike", rival.qlike),
        }
        for rival in study.rivals
    ]
    settings = asdict(study.chosen) | {
        "forecasts": study.n_forecasts,
        "steps": study.n_steps,
        "series": study.n_series,
        "first origin": study.first,
        "last origin": study.last,
        "note": DISCLAIMER,
    }
    tables = {
        "Skill": pd.DataFrame(skill),
        "Groups": study.parts,
        "Reliability": study.reliability.reset_index(),
        "Coverage by bar": study.by_step.reset_index(),
        "Coverage over time": study.over_time.reset_index(),
    }
    return workbook(tables, settings)


def _gain_cells(name: str, found: Gain | None) -> dict[str, float]:
    return {} if found is None else {f"{name}_{key}": each for key, each in asdict(found).items()}


def miss_title(miss: pd.Series) -> str:
    """A miss as an option of a list."""
    sigmas = abs(miss["actual_return"]) / miss["scale"]
    origin = bar_time(miss["origin"].tz_convert(miss["zone"]), miss["interval"])
    return (
        f"{miss['instrument']} {miss['interval']}, {origin}: "
        f"{number_text('{:+.1%}', np.expm1(miss['actual_return']))} by bar {miss['step']}, "
        f"{sigmas:.1f} sigmas"
    )


def scored_text(last: Scored | None, *, is_running: bool) -> str:
    """The state of the background scoring."""
    if is_running:
        return "Scoring: fetching new bars."
    if last is None:
        return "The server scores stored forecasts once an hour."
    text = (
        f"Last scored {last.at:%d %b %Y %H:%M} UTC: {counted(last.n_steps, 'new bar')} of "
        f"{last.n_series:,} series."
    )
    if last.problem:
        failed = f"{last.n_failed:,} series failed. First error: " if last.n_failed else ""
        text += f" {failed}{last.problem}"
    return text


def _gain(found: Gain | None) -> str:
    if found is None:
        return "no scores"
    if np.isnan(found.low):
        return number_text("{:+z.3f}", found.mean)  # z: no -0.000
    return number_text("{:+z.3f} ({:+z.3f} to {:+z.3f})", found.mean, found.low, found.high)


def _e_value(rival: Rival) -> str:
    found = rival.evidence
    value = found.e_value_worse if found.claim == "worse" else found.e_value
    if 0.1 <= value < 10:
        return f"{value:.1f}"  # 1.0 beside 1.1
    return f"{value:,.0f}" if 10 <= value < 1e6 else f"{value:.2g}"


def _range(low: float, high: float) -> str:
    return "too few dates" if np.isnan(low) else number_text("{:+.1%} to {:+.1%}", low, high)


def _number(value: float) -> str:
    return "" if np.isnan(value) else number_text("{:.2f}", value)


def _p_value(value: float) -> str:
    if np.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
