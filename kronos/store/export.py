"""The store as tables and text: one row a step as CSV, one prediction a line as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any, TextIO

import numpy as np
import pandas as pd

from kronos.export import cell_text
from kronos.store.prediction import Prediction
from kronos.store.schema import signal_evaluations
from kronos.store.store import Store

__all__ = ["export_csv", "export_json_lines"]

_CHUNK = 200
_FACTS = (
    *("id", "instrument", "source", "interval", "origin", "last_close", "volatility"),
    *("model_name", "model_version", "seed", "created_at"),
)
_SCORES = [
    name
    for name in signal_evaluations.columns.keys()  # noqa: SIM118
    if name not in {"prediction_id", "step", "timestamp", "source"}
]


def export_csv(store: Store, out: TextIO, **chosen: str | None) -> int:
    """Writes one row for every step of every prediction: facts, quantiles and newest scores.

    Args:
        store: What to write.
        out: Opened with newline="".
        chosen: As for `Store.predictions`.

    Returns:
        The number of predictions.
    """
    writer: csv.DictWriter[str] | None = None
    n_predictions = 0
    for prediction, steps, _ in _all(store, chosen):
        for row in _csv_rows(prediction, steps):
            if writer is None:
                writer = csv.DictWriter(out, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow({name: _cell(value) for name, value in row.items()})
        n_predictions += 1
    return n_predictions


def export_json_lines(store: Store, out: TextIO, **chosen: str | None) -> int:
    """Writes one JSON object a line for every prediction, with its newest evaluations.

    Args:
        store: What to write.
        out: A text file.
        chosen: As for `Store.predictions`.

    Returns:
        The number of predictions.
    """
    n_predictions = 0
    for prediction, steps, energy in _all(store, chosen):
        facts = asdict(prediction) | {
            "timestamps": list(prediction.timestamps),
            "energy_score": energy,
            "evaluations": [steps[step] for step in sorted(steps)],
        }
        json.dump(_plain(facts), out, allow_nan=False)
        out.write("\n")
        n_predictions += 1
    return n_predictions


Steps = dict[int, dict[str, Any]]


def _all(
    store: Store, chosen: dict[str, str | None]
) -> Iterator[tuple[Prediction, Steps, float | None]]:
    """Every prediction with its evaluated steps and the energy score of its paths."""
    each: Iterable[Prediction] = iter(store.predictions(**chosen))
    while chunk := list(islice(each, _CHUNK)):
        ids = [prediction.id for prediction in chunk]
        steps: dict[str, Steps] = {}
        for row in store.evaluations(ids).to_dict("records"):
            steps.setdefault(row["prediction_id"], {})[row["step"]] = {
                str(name): value for name, value in row.items() if name != "prediction_id"
            }
        energy = store.path_evaluations(ids).set_index("prediction_id")["energy_score"].to_dict()
        for prediction in chunk:
            yield prediction, steps.get(prediction.id, {}), energy.get(prediction.id)


def _csv_rows(prediction: Prediction, steps: Steps) -> Iterator[dict[str, Any]]:
    facts = {name: getattr(prediction, name) for name in _FACTS}
    names = [f"p{100 * level:g}" for level in prediction.levels]
    for i, stamp in enumerate(prediction.timestamps):
        scores = steps.get(i + 1, {})
        yield (
            facts
            | {"step": i + 1, "timestamp": stamp}
            | dict(zip(names, prediction.quantiles[i].tolist(), strict=True))
            | {"probability_up": prediction.probability_up[i]}
            | {name: scores.get(name) for name in _SCORES}
        )


def _cell(value: Any) -> Any:
    plain = _plain(value)
    if isinstance(plain, str):
        return cell_text(plain)
    return "" if plain is None else plain


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601, None for what is not known."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value
