"""The record of a model card: scores of an evaluation in one small file, without bars or prices.

`python -m benchmarks.card_record` makes the file. It names the revision of the weights that it is
about: of other weights it says nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from kronos.calendars.intervals import interval_width
from kronos.errors import InvalidRequest
from kronos.evaluation.bands import BandCount

__all__ = ["SOURCE", "STEPS", "CardRecord", "card_bands", "pack_card", "unpack_card"]

STEPS = (1, 2, 3, 6, 9, 12, 18, 24)
"""Steps of a window that are kept."""
SOURCE = "model card"
"""Source of its rows."""
_MODELS = ("bundled", "ewma")
_OF_MODEL = ("crps", "log_score", "inside", "width", "pit")
_PAIRED = ("gain", "bound")
_CLASSES = {"etf": "equity", "index": "equity", "commodity": "future", "metal": "fx"}
"""Groups of a corpus to the classes of `kronos.calendars.ASSET_CLASSES`."""

_DAMAGES = (BadZipFile, EOFError, KeyError, IndexError, OSError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, eq=False)
class CardRecord:
    """An unpacked file.

    Attributes:
        facts: What the file says of itself: revision of the weights, n_paths, horizon, made_at
            and others.
        rows: Rows as of `kronos.store.record.read_record` for the model and the cone, with scores
            over the volatility at the origin: `scale` is 1, and numbers that would tell a price
            are NaN.
        pairs: Rows for `kronos.evaluation.evidence.evidence`, with interval and asset_class.
    """

    facts: dict[str, Any]
    rows: pd.DataFrame
    pairs: pd.DataFrame


def pack_card(scores: pd.DataFrame, facts: Mapping[str, Any]) -> bytes:
    """The file of an evaluation.

    Args:
        scores: A row for every window and step: series, interval, group, origin (of the first bar
            scored, nanoseconds UTC), step, time (of the bar, likewise), gain, bound, and for both
            models f"{model}_{name}" with crps, log_score, inside, width, pit and qlike.
        facts: What to say of it, as JSON.
    """
    horizon = int(scores["step"].max())
    n_windows = len(scores) // horizon
    first = scores[scores["step"] == 1]
    classes = first["group"].str.split("/").str[0].replace(_CLASSES)
    asset_names, intervals = sorted(set(classes)), sorted(set(first["interval"]))
    order = {name: i for i, name in enumerate(dict.fromkeys(first["series"]))}
    widths = np.array([interval_width(name).value for name in first["interval"]])
    at = np.array(STEPS) - 1
    times = scores["time"].to_numpy(dtype=np.int64).reshape(n_windows, horizon)
    arrays: dict[str, np.ndarray] = {
        "series": first["series"].map(order).to_numpy(dtype=np.uint16),
        "interval": first["interval"].map(intervals.index).to_numpy(dtype=np.uint8),
        "asset_class": classes.map(asset_names.index).to_numpy(dtype=np.uint8),
        "begin": times[:, 0] // 10**9,
        "after": np.ceil((times[:, at] - times[:, :1]) / widths[:, None]).astype(np.uint32),
    }
    columns = [f"{model}_{name}" for model in _MODELS for name in _OF_MODEL]
    for name in (*columns, *_PAIRED):
        values = scores[name].to_numpy(dtype=float).reshape(n_windows, horizon)[:, at]
        arrays[name] = values.astype(bool if name.endswith("inside") else np.float16)
    for model in _MODELS:
        values = scores[f"{model}_qlike"].to_numpy(dtype=float).reshape(n_windows, horizon)
        arrays[f"{model}_qlike"] = values[:, 0].astype(np.float16)
    about = dict(facts) | {
        "horizon": horizon, "windows": n_windows, "series": len(order), "steps": list(STEPS),
        "intervals": intervals, "asset_classes": asset_names,
    }  # fmt: skip
    arrays["facts"] = np.frombuffer(json.dumps(about, sort_keys=True).encode(), dtype=np.uint8)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # the stub knows no names
    return out.getvalue()


def unpack_card(data: bytes) -> CardRecord:
    """Read a file of `pack_card`.

    Raises:
        InvalidRequest: It is none, or it is damaged.
    """
    try:
        with np.load(io.BytesIO(data)) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(arrays["facts"].tobytes())
        return _unpacked(arrays, facts)
    except _DAMAGES as error:
        raise _damaged(error) from error


def card_bands(data: bytes) -> list[BandCount]:
    """How often the model's 80% band held, by interval and asset class; reads only that.

    Raises:
        InvalidRequest: It is no file of `pack_card`, or it is damaged.
    """
    try:
        with np.load(io.BytesIO(data)) as file:
            facts = json.loads(file["facts"].tobytes())
            inside, intervals = file["bundled_inside"], file["interval"]
            classes = file["asset_class"]
        found = []
        for i, interval in enumerate(facts["intervals"]):
            for j, asset_class in enumerate(facts["asset_classes"]):
                part = inside[(intervals == i) & (classes == j)]
                if len(part):
                    kind = ("bundled", str(facts["revision"]), str(asset_class), str(interval))
                    found.append(BandCount(*kind, len(part), part.size, int(part.sum())))
        return found
    except _DAMAGES as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> InvalidRequest:
    return InvalidRequest(
        f"The record of the model card cannot be read: {error}. Install the application again."
    )


def _unpacked(arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> CardRecord:
    n, n_steps = arrays["after"].shape
    intervals = np.array(facts["intervals"], dtype=object)[arrays["interval"]]
    classes = np.array(facts["asset_classes"], dtype=object)[arrays["asset_class"]]
    widths = np.array([interval_width(name).value for name in intervals], dtype=np.int64)
    begin = arrays["begin"].astype(np.int64) * 10**9
    bars = begin[:, None] + arrays["after"].astype(np.int64) * widths[:, None]

    def spread(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, n_steps)

    shared = {
        "instrument": spread(
            np.array([f"{a} {s}" for a, s in zip(classes, arrays["series"], strict=True)])
        ),
        "interval": spread(intervals),
        "asset_class": spread(classes),
        # The bar before the first that is scored, or the pause before it: known when it begins.
        "origin": pd.to_datetime(spread(begin - widths), utc=True),
        "step": np.tile(facts["steps"], n),
        "timestamp": pd.to_datetime(bars.ravel(), utc=True),
    }
    tables = []
    for model in _MODELS:
        scores = {name: arrays[f"{model}_{name}"].ravel().astype(float) for name in _OF_MODEL}
        qlike = spread(arrays[f"{model}_qlike"].astype(float))
        own = {
            "prediction_id": spread(np.array([f"card {model} {i}" for i in range(n)])),
            "model": model,
            "version": facts["revision"] if model == "bundled" else "",
            "qlike": qlike,
        }
        tables.append(pd.DataFrame(shared | scores | own))
    rows = pd.concat(tables, ignore_index=True).assign(
        source=SOURCE, calendar="", zone="UTC", T=1.0, top_p=1.0, top_k=0,
        n_paths=facts["n_paths"], seed=facts["seed"], horizon=facts["horizon"],
        created_at=pd.Timestamp(facts["made_at"]), actual_return=np.nan, scale=1.0,
        crps_estimator="fair", pinball=np.nan, interval_score=np.nan, absolute_error=np.nan,
        direction=np.nan, ahead=False,
    )  # fmt: skip
    # Of series that were not trained on, whatever their dates.
    rows["out_of_sample"] = pd.array([True] * len(rows), dtype="boolean")
    rows["event_day"] = pd.array([None] * len(rows), dtype="boolean")
    pairs = pd.DataFrame(
        {
            "begin": pd.to_datetime(spread(begin)),
            "end": pd.to_datetime((bars + widths[:, None]).ravel()),
            "gain": arrays["gain"].ravel().astype(float),
            "bound": arrays["bound"].ravel().astype(float),
            "interval": shared["interval"],
            "asset_class": shared["asset_class"],
        }
    )
    return CardRecord(facts, rows, pairs)
