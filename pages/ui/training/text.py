"""A run in words. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kronos.finetune.report import gain_text, has_gained, why_ended
from pages.ui.fan.readouts import Readout
from pages.ui.frame.text import counted, size_text
from pages.ui.training.plan import Plan
from pages.ui.training.process import State

Line = dict[str, Any]


def of_split(lines: Sequence[Line], split: str) -> list[Line]:
    """Lines of the log of one kind."""
    return [line for line in lines if line.get("split") == split]


def scores(lines: Sequence[Line]) -> list[Line]:
    """The validations so far."""
    return [line for line in of_split(lines, "validation") if "crps" in line]


def step_of(lines: Sequence[Line]) -> int:
    """The last step in the log."""
    return max((int(line.get("step", 0)) for line in lines), default=0)


def seconds_left(lines: Sequence[Line], n_steps: int) -> float | None:
    """Time that the remaining steps take at the speed so far; None before the first."""
    timed = [line for line in lines if line.get("step") and "seconds" in line]
    if not timed:
        return None
    last = timed[-1]
    return float(last["seconds"]) / int(last["step"]) * (n_steps - int(last["step"]))


def progress_line(state: State, lines: Sequence[Line], n_steps: int) -> str:
    """Progress of a run in one line."""
    if state == "stopping":
        return "Stopping: finishes the current step or validation, then saves"
    if state == "starting":
        return "Starting: reads the bars, loads the model and scores the base"
    step, left = step_of(lines), seconds_left(lines, n_steps)
    if not step:
        return "The base has its score; the first steps are running"
    text = f"Step {step:,} of {n_steps:,}"
    return text if left is None or left < 1 else f"{text}, up to {duration(left)} left"


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def split_text(plan: Plan) -> str:
    """The split in words."""
    size = f"{plan.settings.context} + {plan.settings.horizon} bars"
    n_train, n_validation = map(plan.n_windows, (plan.parts.train, plan.parts.validation))
    return (
        f"Cut-off {plan.cut_off:%d %b %Y %H:%M} UTC. Windows of {size}: {n_train:,} for training, "
        f"{n_validation:,} for validation."
    )


def split_details(plan: Plan) -> str:
    """The rules of the split."""
    n_unused = plan.n_bars - plan.n_training - plan.n_validation
    text = (
        f"Each validation forecasts {counted(plan.n_scored, 'window')}. No window contains bars of "
        "both parts."
    )
    if n_unused:
        text += f" {counted(n_unused, 'bar')} in runs shorter than a window are not used."
    return text


def plan_facts(plan: Plan, n_parameters: int, n_base: int) -> list[Readout]:
    """The size of a run before it starts."""
    settings = plan.settings
    epochs = plan.steps * settings.windows * settings.horizon / plan.n_training
    return [
        Readout("Training bars", f"{plan.n_training:,}", f"of {plan.n_bars:,}"),
        Readout("Validation bars", f"{plan.n_validation:,}", "not in the training"),
        Readout("Steps", f"{plan.steps:,}", f"each bar about {epochs:,.0f} times"),
        Readout(
            "Trained parameters",
            f"{n_parameters:,}",
            f"{n_parameters / n_base:.1%} of the base" if n_base else "",
        ),
    ]


def result_facts(lines: Sequence[Line]) -> list[Readout]:
    """The result, one number each."""
    end, found = of_split(lines, "end")[-1], scores(lines)
    best_step = int(end["best_step"])
    base = found[0]
    best = next(line for line in found if line["step"] == best_step)
    return [
        Readout("Best step", f"{best_step:,}", _steps_text(end)),
        Readout("CRPS", f"{best['crps']:.4f}", _against("base", best["crps"], base["crps"])),
        Readout("CRPS of the base", f"{base['crps']:.4f}", "before training"),
        Readout(
            "CRPS of the cone",
            f"{best['cone_crps']:.4f}",
            _against("cone", best["crps"], best["cone_crps"]),
        ),
        Readout("80% coverage", f"{best['coverage']:.0%}", f"base: {base['coverage']:.0%}"),
        Readout("Duration", duration(end["seconds"]), f"{size_text(end['peak_bytes'])} of memory"),
    ]


def _steps_text(end: Line) -> str:
    done, requested = int(end["step"]), int(end.get("n_steps") or end["step"])
    return f"of {done:,}" if done == requested else f"of {done:,}; requested {requested:,}"


def _against(what: str, score: float, other: float) -> str:
    change = score / other - 1.0
    if abs(change) < 0.0005:
        return f"same as the {what}"
    return f"{abs(change):.1%} {'below' if change < 0 else 'above'} the {what}"


def verdict(lines: Sequence[Line], n_steps: int | None = None) -> tuple[bool, str]:
    """Whether there is evidence that training helped, and what is known of it in sentences.

    Args:
        lines: The log of a run that has ended.
        n_steps: Steps requested, for logs that do not have them.
    """
    end, found = of_split(lines, "end")[-1], scores(lines)
    best = next(line for line in reversed(found) if line["step"] == end["best_step"])
    text = gain_text(found[0], best)
    if int(end["best_step"]) == 0:
        text += " The adapter changes nothing; more bars or another learning rate may help."
    else:
        level = "below" if best["crps"] < best["cone_crps"] else "not below"
        text += (
            f" The CRPS is {level} that of the volatility cone. These windows also selected the "
            "step, which flatters it: test the model on newer bars."
        )
    return has_gained(best), f"{text} {why_ended(end, n_steps)}"


def ended_text(state: State, code: int | None) -> str:
    """Why a run has ended without a result, and what to do."""
    if state == "stopped":
        return "Stopped and saved. Resume continues from the last step."
    if state == "interrupted" and code == -9:
        return (
            "The process was killed, possibly because memory ran out. Resume continues from the "
            "last validation. Fewer windows per step or a shorter context need less memory."
        )
    if state == "interrupted":
        return (
            "The process ended without a message, for example at a restart of the machine. "
            "Resume continues from the last validation."
        )
    return (
        "Training failed. Its last output is below. If it names a setting or the data, change that "
        "in a new training. Otherwise, Resume tries again from the last validation."
    )


def curves_description(lines: Sequence[Line]) -> str:
    """The curves in words, for screen readers."""
    trained, found = of_split(lines, "train"), scores(lines)
    parts = []
    if trained:
        parts.append(
            f"Training loss: {trained[0]['loss']:.4f} at step {trained[0]['step']}, "
            f"{trained[-1]['loss']:.4f} at step {trained[-1]['step']}."
        )
    if found:
        best = min(found, key=lambda line: float(line["crps"]))
        parts.append(
            f"Validation CRPS: {found[0]['crps']:.4f} before the first step, lowest "
            f"{best['crps']:.4f} at step {best['step']}, last {found[-1]['crps']:.4f}; volatility "
            f"cone {found[-1]['cone_crps']:.4f}."
        )
    return " ".join(parts) or "No scores yet."
