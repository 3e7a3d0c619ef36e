"""The end of a run in words, from the lines of its log: why it ended, and what it gained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["gain_text", "has_gained", "why_ended"]

Line = Mapping[str, Any]
"""A line of a run's log.jsonl."""


def why_ended(end: Line, n_steps: int | None = None) -> str:
    """Why a run ended at its step.

    Args:
        end: The last line of the log.
        n_steps: Steps requested, for logs that do not have them.
    """
    step = int(end["step"])
    requested = int(end.get("n_steps") or n_steps or step)
    place = f"step {step:,} of {requested:,}"
    if end["reason"] == "stopped":
        return f"Stopped on request at {place}."
    if end["reason"] == "finished":
        return f"All {requested:,} steps are done."
    patience, best = end.get("patience"), int(end["best_step"])
    last = f"the last {patience} validations" if patience else "the last validations"
    better = f"on step {best:,}" if best else "on the base"
    return (
        f"Ended early at {place}: {last} did not improve {better}, so that more steps would only "
        "fit the training bars more closely."
    )


def has_gained(best: Line) -> bool:
    """Whether the interval of the change of CRPS lies below 0."""
    return "change_high" in best and float(best["change_high"]) < 0.0


def gain_text(base: Line, best: Line) -> str:
    """The change of the validation CRPS from the base to the best step, with its interval.

    Args:
        base: Validation before the first step.
        best: Validation of the best step.
    """
    if int(best["step"]) == 0:
        return "No evidence of a gain: no step has a lower validation CRPS than the base."
    change = float(best.get("change", best["crps"] / base["crps"] - 1.0))
    on = f" on {int(best['windows']):,} validation windows" if "windows" in best else ""
    text = f"validation CRPS {_percent(change)} against the base"
    if "change_low" not in best:
        return f"No evidence of a gain: {text}{on}, without an interval."
    low, high = _percent(best["change_low"]), _percent(best["change_high"])
    found = "A gain" if has_gained(best) else "No evidence of a gain"
    return f"{found}: {text} (95% interval {low} to {high}){on}."


def _percent(share: float) -> str:
    rounded = round(100.0 * float(share), 1) + 0.0  # without the sign of a rounded zero
    return f"{rounded:+.1f}%".replace("-", "−")
