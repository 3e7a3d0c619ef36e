"""What the page of models says. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from kronos import system
from kronos.errors import CheckpointCorrupt
from kronos.models import BUNDLED, Checked, Entry
from kronos.self_test import TITLES, SelfTest, Step
from kronos.serving.jobs import JobStatus
from kronos.serving.model_cache import LoadedModel
from pages.ui.fan.readouts import Readout
from pages.ui.jobs.progress import progress_text
from pages.ui.models.jobs import ACTIONS, Action

STATES: dict[str, tuple[str, str, Literal["green", "gray", "red"]]] = {
    "bundled": ("Bundled", ":material/inventory_2:", "green"),
    "cached": ("Downloaded", ":material/check_circle:", "green"),
    "downloadable": ("Not on this machine", ":material/cloud_download:", "gray"),
    "broken": ("Damaged", ":material/error:", "red"),
}
"""Words, icon and colour of a model's state."""
ADAPTER: tuple[str, str, Literal["green", "gray", "red"]] = ("Adapter", ":material/tune:", "green")
"""The same of an adapter whose base is here."""


def state_of(entry: Entry) -> tuple[str, str, Literal["green", "gray", "red"]]:
    """Words, icon and colour for a model."""
    return ADAPTER if entry.base and entry.state == "cached" else STATES[entry.state]


def size_text(n_bytes: int | None) -> str:
    """Bytes in the unit that says it best."""
    if n_bytes is None:
        return "not known"
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"


def time_text(when: datetime) -> str:
    """A moment in UTC, as `when` is."""
    return f"{when:%d %b, %H:%M} UTC"


def model_facts(entry: Entry, check: Checked | None, loaded: LoadedModel | None) -> list[Readout]:
    """What there is to know about a model, one number each."""
    is_bundled = entry.name == BUNDLED
    return [
        Readout(
            "Size",
            size_text(entry.n_bytes) if entry.n_bytes else "not known",
            "on this disk" if entry.is_here else "to download",
        ),
        Readout(
            "Parameters",
            f"{entry.n_parameters / 1e6:,.1f} million" if entry.n_parameters else "not known",
            f"reads {entry.max_context:,} bars" if entry.max_context else "",
        ),
        Readout("Licence", entry.licence, "of the weights"),
        Readout(
            "Revision",
            entry.revision[:12] or "not known",
            "digest of the weights" if is_bundled or entry.base else "commit on the hub",
        ),
        *_origin(entry),
        _checksum(entry, check),
        _memory(loaded),
    ]


def _origin(entry: Entry) -> list[Readout]:
    """What an adapter belongs to; nothing for other models."""
    if not entry.base:
        return []
    # A folder's name says enough, and a path is nobody's business.
    base = entry.base.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return [Readout("Adapter of", base, f"learned from bars before {entry.cut_off}")]


def _checksum(entry: Entry, check: Checked | None) -> Readout:
    if check is not None and check.problem:
        return Readout("Checksum", "Damaged", time_text(check.when))
    if entry.state == "broken":
        return Readout("Checksum", "Damaged", "wrong size or files")
    if entry.state == "downloadable":
        return Readout("Checksum", "Pinned", "checked when downloaded")
    if check is None:
        return Readout("Checksum", "Not checked", "since the server started")
    return Readout("Checksum", "Verified", time_text(check.when))


def _memory(loaded: LoadedModel | None) -> Readout:
    if loaded is None:
        return Readout("Memory", "Not loaded", "loaded when first used")
    where = loaded.placement
    remark = f"{where.dtype} on {where.device}" if where else "loaded"
    return Readout("Memory", size_text(loaded.n_bytes), remark)


def machine_facts(loaded: Sequence[LoadedModel]) -> list[Readout]:
    """Device, number format and memory, as far as they are known without loading anything."""
    total, free = system.total_bytes(), system.free_bytes()
    remark = f"of {size_text(total)}" if total else ""
    if total and free is not None:
        remark += f", {size_text(free)} free"
    weights = sum(model.n_bytes for model in loaded)
    count = f"{len(loaded)} model{'' if len(loaded) == 1 else 's'}"
    return [
        *_device_facts(loaded),
        Readout("Server memory", size_text(system.process_bytes()), remark),
        Readout(
            "Model memory",
            size_text(weights) if loaded else "None",
            count if loaded else "no model is loaded",
        ),
    ]


def _device_facts(loaded: Sequence[LoadedModel]) -> list[Readout]:
    n_processors = system.n_processors()
    processors = f"{n_processors} processor{'' if n_processors == 1 else 's'}"
    placed = [model for model in loaded if model.placement is not None]
    if not placed:
        unknown = "known once a model is loaded"
        return [
            Readout("Device", "Not known yet", f"{unknown}; {processors}"),
            Readout("Number format", "Not known yet", unknown),
        ]
    newest = placed[-1].placement
    assert newest is not None
    threads = f"{newest.n_threads} thread{'' if newest.n_threads == 1 else 's'} on {processors}"
    formats = sorted({model.placement.dtype for model in placed if model.placement})
    return [
        Readout("Device", newest.device, newest.hardware or threads),
        Readout("Number format", ", ".join(formats), "of loaded weights"),
    ]


def actions_of(entry: Entry) -> list[Action]:
    """What can be done with a model in its state, the likeliest first."""
    if entry.name == BUNDLED:
        return ["test", "verify"]
    actions: dict[str, list[Action]] = {
        "cached": ["test", "verify", "delete"],
        "downloadable": ["download"],
        "broken": ["delete"],
    }
    return actions.get(entry.state, [])


def action_label(action: Action, entry: Entry) -> str:
    """What stands on a button."""
    labels = {"test": "Self-test", "verify": "Verify files", "delete": "Delete"}
    size = f" {size_text(entry.n_bytes)}" if entry.n_bytes else ""
    return labels.get(action, f"Download{size}")


def delete_question(entry: Entry, loaded: LoadedModel | None) -> str:
    """What happens when a model is deleted."""
    if entry.base:
        return (
            f"Delete the adapter {entry.title} from this machine, for everybody who uses this "
            "server? It cannot be downloaded again, only trained anew. Its base stays."
        )
    text = (
        f"Delete {entry.title} from this machine, for everybody who uses this server? The next "
        f"forecast with it has to download {size_text(entry.n_bytes)} again, less what other "
        "models share with it."
    )
    if loaded is not None:
        text += (
            f" It is in memory ({size_text(loaded.n_bytes)}) and stays there until the room is "
            "needed or the server stops: forecasts that run now are finished."
        )
    return text


def job_text(action: Action, status: JobStatus) -> str:
    """What is going on, in one line."""
    if status.state == "running" and not status.watchers:
        return "Stopping"
    if status.state == "queued":
        return f"Waiting for other work on models: number {status.position} in the queue"
    if action == "test" and status.total:
        return f"Step {status.done + 1} of {status.total}: {TITLES[status.done]}"
    return progress_text(status)


def problems(
    entry: Entry, check: Checked | None, outcomes: Mapping[Action, JobStatus]
) -> list[Exception]:
    """What is wrong with a model, and what went wrong and has not been put right since."""
    damage = (check.problem if check else "") or entry.problem
    found: list[Exception] = [CheckpointCorrupt(damage)] if damage else []
    settled = {"cached": {"download"}, "downloadable": {"delete", "test"}}.get(entry.state, set())
    for action in ACTIONS:
        error = outcomes[action].error if action in outcomes else None
        if error is not None and action not in settled and str(error) != damage:
            found.append(error)
    return found


def step_line(step: Step) -> str:
    """One step of a self-test as a sentence, after its verdict."""
    text = f"{step.title} ({step.seconds:.2f} s): {step.found}"
    return f"{text} {step.advice}" if step.advice else text


def verdict_text(tested: SelfTest) -> str:
    """How a self-test ended, in one line."""
    n_failed = sum(step.outcome == "failed" for step in tested.steps)
    n_passed = sum(step.outcome == "passed" for step in tested.steps)
    ended = f"in {tested.seconds:.1f} s, {time_text(tested.when)}"
    if n_failed:
        return f"Self-test failed: {n_failed} of {len(tested.steps)} steps, {ended}"
    return f"Self-test passed: {n_passed} of {len(tested.steps)} steps, {ended}"
