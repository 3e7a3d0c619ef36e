"""What the page says of a run. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pages.ui.fan.readouts import Readout
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
    """The last step the log knows of."""
    return max((int(line.get("step", 0)) for line in lines), default=0)


def seconds_left(lines: Sequence[Line], n_steps: int) -> float | None:
    """Time that the remaining steps take at the speed so far; None before the first."""
    timed = [line for line in lines if line.get("step") and "seconds" in line]
    if not timed:
        return None
    last = timed[-1]
    return float(last["seconds"]) / int(last["step"]) * (n_steps - int(last["step"]))


def progress_line(state: State, lines: Sequence[Line], n_steps: int) -> str:
    """What is going on, in one line."""
    if state == "stopping":
        return "Stopping: the step or validation that is under way is finished, then all is saved"
    if state == "starting":
        return "Starting: reading the bars, loading the model and scoring it before the first step"
    step, left = step_of(lines), seconds_left(lines, n_steps)
    if not step:
        return "The base is scored; the first steps are under way"
    text = f"Step {step:,} of {n_steps:,}"
    return text if left is None or left < 1 else f"{text}, at most about {duration(left)} left"


def duration(seconds: float) -> str:
    """A time in the unit that says it best."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def split_text(plan: Plan) -> str:
    """The split in words."""
    told = plan.settings
    n_dropped = plan.n_bars - plan.n_teaching - plan.n_choosing
    text = (
        f"{plan.n_teaching:,} bars before the cut-off, {plan.cut_off:%d %b %Y %H:%M} UTC, teach: "
        f"{plan.n_windows(plan.parts.train):,} different windows of {told.context} + "
        f"{told.horizon} bars. {plan.n_choosing:,} bars behind it choose among the steps: "
        f"{plan.n_windows(plan.parts.validation):,} windows, of which every validation forecasts "
        f"{plan.n_scored:,}. No window of one part touches a bar of the other."
    )
    if n_dropped:
        text += f" {n_dropped:,} bars are in neither: their stretch is shorter than a window."
    return text


def plan_facts(plan: Plan, n_parameters: int, n_base: int) -> list[Readout]:
    """The size of a run before it starts."""
    told = plan.settings
    rounds = plan.steps * told.windows * told.horizon / plan.n_teaching
    return [
        Readout("Bars that teach", f"{plan.n_teaching:,}", f"of {plan.n_bars:,}"),
        Readout("Bars that choose", f"{plan.n_choosing:,}", "never learned from"),
        Readout("Steps", f"{plan.steps:,}", f"every bar forecast about {rounds:,.0f} times"),
        Readout(
            "Trained",
            f"{n_parameters:,}",
            f"parameters, {n_parameters / n_base:.1%} of the base" if n_base else "parameters",
        ),
    ]


def result_facts(lines: Sequence[Line]) -> list[Readout]:
    """What came out, one number each."""
    end, found = of_split(lines, "end")[-1], scores(lines)
    best_step = int(end["best_step"])
    base = found[0]
    best = next(line for line in found if line["step"] == best_step)
    return [
        Readout("Best step", f"{best_step:,}", f"of {end['step']:,} done"),
        Readout("CRPS", f"{best['crps']:.4f}", _against("the base", best["crps"], base["crps"])),
        Readout("CRPS of the base", f"{base['crps']:.4f}", "before the first step"),
        Readout(
            "CRPS of the cone",
            f"{best['cone_crps']:.4f}",
            _against("it", best["crps"], best["cone_crps"]),
        ),
        Readout("80% band holds", f"{best['coverage']:.0%}", f"the base's {base['coverage']:.0%}"),
        Readout("Took", duration(end["seconds"]), f"{end['peak_bytes'] / 1e6:,.0f} MB of memory"),
    ]


def _against(what: str, score: float, other: float) -> str:
    change = score / other - 1.0
    if abs(change) < 0.0005:
        return f"the same as {what}"
    return f"{abs(change):.1%} {'below' if change < 0 else 'above'} {what}"


def verdict(lines: Sequence[Line]) -> tuple[bool, str]:
    """Whether training helped, and how sure that is, as a sentence."""
    end, found = of_split(lines, "end")[-1], scores(lines)
    if int(end["best_step"]) == 0:
        return False, (
            "No step was better than the base on the bars that choose, so the adapter changes "
            "nothing. More bars, more steps or another learning rate may help; often there is "
            "nothing to be learned."
        )
    best = next(line for line in found if line["step"] == end["best_step"])
    text = f"Step {end['best_step']:,} was best on the bars that choose"
    text += " and beats" if best["crps"] < best["cone_crps"] else ", but does not beat"
    return True, (
        f"{text} the volatility cone. This score is a little too good, because it chose the step: "
        "only bars that are newer than all of these can tell how good the model is."
    )


def ended_text(state: State, code: int | None) -> str:
    """Why a run is not under way, and what to do."""
    if state == "stopped":
        return "Stopped and saved. Resume goes on from there."
    if state == "interrupted" and code == -9:
        return (
            "The process was ended from outside, perhaps because memory ran short. Resume goes on "
            "from the last validation; fewer windows in a step or a shorter context need less."
        )
    if state == "interrupted":
        return (
            "The process ended without a word, as when the machine or the server is switched off. "
            "Resume goes on from the last validation."
        )
    return (
        "Training failed. Its last words are below. If they name a setting or the data, start a "
        "new training with another choice; else Resume tries again from the last validation."
    )


def curves_description(lines: Sequence[Line]) -> str:
    """The curves in words, for those who do not see them."""
    taught, found = of_split(lines, "train"), scores(lines)
    parts = []
    if taught:
        parts.append(
            f"Training loss: {taught[0]['loss']:.4f} at step {taught[0]['step']}, "
            f"{taught[-1]['loss']:.4f} at step {taught[-1]['step']}."
        )
    if found:
        best = min(found, key=lambda line: float(line["crps"]))
        parts.append(
            f"Validation CRPS: {found[0]['crps']:.4f} before the first step, lowest "
            f"{best['crps']:.4f} at step {best['step']}, last {found[-1]['crps']:.4f}; volatility "
            f"cone {found[-1]['cone_crps']:.4f}."
        )
    return " ".join(parts) or "No figures yet."
