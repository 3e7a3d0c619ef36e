"""A realism report as text."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from kronos.forecast import Forecast
from kronos.synthetic.realism import Measure, Realism

__all__ = ["report_json", "report_text"]


def report_json(report: Realism, forecast: Forecast) -> str:
    """Every measure with its band, and everything that made the series, as JSON."""
    measures = (*report.measures.values(), *report.memory)
    told = {
        **forecast.metadata(),
        "n_source": report.n_source,
        "n_synthetic": report.n_synthetic,
        "n_series": report.n_series,
        "n_inside": report.n_inside,
        "measures": [_finite(asdict(each)) | {"is_inside": each.is_inside} for each in measures],
    }
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def report_text(report: Realism) -> str:
    """A table for a terminal."""
    lines = [
        f"{report.n_series} series of {report.n_synthetic} returns against {report.n_source} of "
        f"the source: {report.n_inside} of {report.n_measures} measures lie within the 95% band "
        "of its block bootstrap",
        "",
        f"{'':22}{'source':>10}{'synthetic':>11}{'band':>20}",
    ]
    lines += map(_line, (*report.measures.values(), *report.memory))
    return "\n".join(lines) + "\n"


def _line(each: Measure) -> str:
    band = f"{each.low:.3f} to {each.high:.3f}"
    mark = "" if each.is_inside else "  outside"
    return f"{each.name:22}{each.source:>10.3f}{each.synthetic:>11.3f}{band:>20}{mark}"


def _finite(facts: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN: null stands for it."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in facts.items()
    }
