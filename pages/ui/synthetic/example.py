"""The finished series that the page opens with, and their comparison with the source.

They come with the application; `python -m benchmarks.examples` makes them with the bundled weights.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict
from functools import cache
from typing import Any

from data_sources.samples import SAMPLES, load_sample
from kronos.candles import Candles
from kronos.errors import KronosError
from kronos.export import load_forecast
from kronos.serving.service import service
from kronos.synthetic.generate import SyntheticPlan, synthetic_series
from kronos.synthetic.realism import Measure, Realism
from kronos.system import asset_path
from pages.ui.jobs.examples import MODEL, SERIES, read_examples
from pages.ui.jobs.settings import data_id
from pages.ui.synthetic.work import Outcome

__all__ = ["PLAN", "example_source", "packed", "synthetic_example"]

logger = logging.getLogger(__name__)
PLAN = SyntheticPlan(model=MODEL, n_bars=300)


def example_source() -> Candles:
    """The context."""
    return load_sample(next(iter(SAMPLES)))


def packed(report: Realism) -> dict[str, Any]:
    """The part of the file of examples that has the comparison; null for NaN."""
    return {
        "data": data_id(example_source()),
        "measures": [_packed(each) for each in report.measures.values()],
        "memory": [_packed(each) for each in report.memory],
        **{name: getattr(report, name) for name in ("n_source", "n_synthetic", "n_series")},
    }


def synthetic_example() -> Outcome | None:
    """The example; None where the files are not there, or about other weights or bars."""
    return _example(service().facts(MODEL).revision)


@cache
def _example(revision: str) -> Outcome | None:
    stored = (read_examples(revision) or {}).get("synthetic")
    source = example_source()
    if stored is None or stored["data"] != data_id(source):
        return None
    try:
        forecast = load_forecast(asset_path("bundled", SERIES))
    except KronosError as error:
        logger.warning("The finished series are left out: %s", error)
        return None
    if forecast.model_revision != revision:
        return None
    measures, memory = (
        [_unpacked(each) for each in stored[name]] for name in ("measures", "memory")
    )
    report = Realism(
        {each.name: each for each in measures},
        tuple(memory),
        stored["n_source"],
        stored["n_synthetic"],
        stored["n_series"],
    )
    return Outcome(source, synthetic_series(source, forecast), forecast, PLAN, report)


def _packed(measure: Measure) -> dict[str, Any]:
    facts = asdict(measure).items()
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in facts}


def _unpacked(facts: dict[str, Any]) -> Measure:
    numbers = ("source", "synthetic", "low", "high")
    known = (math.nan if facts[name] is None else float(facts[name]) for name in numbers)
    return Measure(str(facts["name"]), *known)
