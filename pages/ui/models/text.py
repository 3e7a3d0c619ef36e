"""Models, machine and work in words. Pure: no page in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import pandas as pd

from kronos import system
from kronos.errors import CheckpointCorrupt
from kronos.models import BUNDLED, Checked, Entry
from kronos.self_test import TITLES, SelfTest, Step
from kronos.serving.jobs import JobStatus
from kronos.serving.model_cache import LoadedModel
from pages.ui.fan.readouts import Readout
from pages.ui.frame.text import counted, size_text
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

MEMORY = "Memory"
"""Label of the memory that a model takes, a fact about the machine."""
_NOT_LOADED = {"downloadable": "needs a download first", "broken": "cannot be used"}


def state_of(entry: Entry) -> tuple[str, str, Literal["green", "gray", "red"]]:
    """Words, icon and colour for a model."""
    return ADAPTER if entry.base and entry.state == "cached" else STATES[entry.state]


def time_text(when: datetime) -> str:
    """A moment in UTC, as `when` is."""
    return f"{when:%d %b, %H:%M} UTC"


def model_facts(entry: Entry, check: Checked | None, loaded: LoadedModel | None) -> list[Readout]:
    """The facts about a model, one number each."""
    is_bundled = entry.name == BUNDLED
    return [
        Readout(
            "Size",
            size_text(entry.n_bytes or None),
            "on disk" if entry.is_here else "to download",
        ),
        Readout(
            "Parameters",
            f"{entry.n_parameters / 1e6:,.1f} million" if entry.n_parameters else "Unknown",
            f"context {entry.max_context:,} bars" if entry.max_context else "",
        ),
        Readout("Licence", entry.licence, "of the weights"),
        Readout(
            "Revision",
            entry.revision[:12] or "Unknown",
            "digest of the weights" if is_bundled or entry.base else "commit on the hub",
        ),
        *_origin(entry),
        _checksum(entry, check),
        _memory(entry, loaded),
    ]


def _origin(entry: Entry) -> list[Readout]:
    """The base of an adapter; nothing for other models."""
    if not entry.base:
        return []
    # The name of the folder alone: the path is private.
    base = entry.base.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return [Readout("Adapter of", base, f"trained on bars before {entry.cut_off}")]


def _checksum(entry: Entry, check: Checked | None) -> Readout:
    if check is not None and check.problem:
        return Readout("Checksum", "Damaged", time_text(check.when))
    if entry.state == "broken":
        return Readout("Checksum", "Damaged", "wrong size or missing files")
    if entry.state == "downloadable":
        return Readout("Checksum", "Pinned", "verified on download")
    if check is None:
        return Readout("Checksum", "Not verified", "since server start")
    return Readout("Checksum", "Verified", time_text(check.when))


def _memory(entry: Entry, loaded: LoadedModel | None) -> Readout:
    if loaded is None:
        return Readout(MEMORY, "Not loaded", _NOT_LOADED.get(entry.state, "loads on first use"))
    where = loaded.placement
    remark = f"{where.dtype} on {where.device}" if where else "loaded"
    return Readout(MEMORY, size_text(loaded.n_bytes), remark)


def machine_facts(loaded: Sequence[LoadedModel]) -> list[Readout]:
    """Device, number format and memory, as far as known; loads nothing."""
    total, free = system.total_bytes(), system.free_bytes()
    remark = f"of {size_text(total)}" if total else ""
    if total and free is not None:
        remark += f", {size_text(free)} free"
    weights = sum(model.n_bytes for model in loaded)
    with_weights = [model for model in loaded if model.n_bytes]
    return [
        *_device_facts(loaded),
        Readout("Server memory", size_text(system.process_bytes()), remark),
        Readout(
            "Model memory",
            size_text(weights) if with_weights else "None",
            counted(len(with_weights), "model") if with_weights else "no model loaded",
        ),
    ]


def replicas_table(replicas: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row for each replica of a cluster; see `ForecastService.replicas`."""
    rows = []
    for state in replicas:
        placed = [model.placement for model in state["models"] if model.placement]
        rows.append(
            {
                "Deployment": state["deployment"],
                "Process": str(state["pid"]),
                "Models": ", ".join(model.name for model in state["models"]),
                "Device": ", ".join(sorted({each.device for each in placed})),
                "Running": state["running"],
                "Waiting": state["waiting"],
                "Memory": size_text(state["bytes"]),
            }
        )
    return pd.DataFrame(rows)


def _device_facts(loaded: Sequence[LoadedModel]) -> list[Readout]:
    processors = counted(system.n_processors(), "processor")
    placed = [model for model in loaded if model.placement is not None]
    if not placed:
        return [
            Readout("Device", "Not in use", processors),
            Readout("Number format", "Not in use", "no model loaded"),
        ]
    newest = placed[-1].placement
    assert newest is not None
    threads = f"{counted(newest.n_threads, 'thread')}, {processors}"
    formats = sorted({model.placement.dtype for model in placed if model.placement})
    return [
        Readout("Device", newest.device, newest.hardware or threads),
        Readout("Number format", ", ".join(formats), "of the weights"),
    ]


def actions_of(entry: Entry) -> list[Action]:
    """The actions for a model in its state, the most likely one first."""
    if entry.name == BUNDLED:
        return ["test", "verify"]
    actions: dict[str, list[Action]] = {
        "cached": ["test", "verify", "delete"],
        "downloadable": ["download"],
        "broken": ["delete"],
    }
    return actions.get(entry.state, [])


def action_label(action: Action, entry: Entry) -> str:
    """The label of a button."""
    labels = {"test": "Self-test", "verify": "Verify files", "delete": "Delete"}
    size = f" {size_text(entry.n_bytes)}" if entry.n_bytes else ""
    return labels.get(action, f"Download{size}")


def delete_question(entry: Entry, loaded: LoadedModel | None) -> str:
    """The effects of a deletion."""
    if entry.base:
        return (
            f"Delete the adapter {entry.title} from this machine, for all visitors of this server? "
            "It cannot be downloaded again, only trained again. Its base stays."
        )
    text = (
        f"Delete {entry.title} from this machine, for all visitors of this server? The next "
        f"forecast with it downloads {size_text(entry.n_bytes)} again, except files that other "
        "models share."
    )
    if loaded is not None:
        text += (
            f" It is in memory ({size_text(loaded.n_bytes)}) and stays there until the space is "
            "needed or the server stops. Running forecasts finish."
        )
    return text


def job_text(action: Action, status: JobStatus) -> str:
    """Progress of the work on a model in one line."""
    if status.state == "running" and not status.watchers:
        return "Stopping"
    if status.state == "queued":
        return f"Waiting for other work on models, number {status.position} in the queue"
    if action == "test" and status.total:
        return f"Step {status.done + 1} of {status.total}: {TITLES[status.done]}"
    return progress_text(status)


def problems(
    entry: Entry, check: Checked | None, outcomes: Mapping[Action, JobStatus]
) -> list[Exception]:
    """Damage of a model, and the errors of its last attempts that nothing has settled since."""
    damage = (check.problem if check else "") or entry.problem
    found: list[Exception] = [CheckpointCorrupt(damage)] if damage else []
    settled = {"cached": {"download"}, "downloadable": {"delete", "test"}}.get(entry.state, set())
    for action in ACTIONS:
        error = outcomes[action].error if action in outcomes else None
        if error is not None and action not in settled and str(error) != damage:
            found.append(error)
    return found


def step_line(step: Step) -> str:
    """One step of a self-test as a sentence, without its verdict."""
    text = f"{step.title} ({step.seconds:.2f} s): {step.found}"
    return f"{text} {step.advice}" if step.advice else text


def verdict_text(tested: SelfTest) -> str:
    """The result of a self-test in one line."""
    n_failed = sum(step.outcome == "failed" for step in tested.steps)
    n_passed = sum(step.outcome == "passed" for step in tested.steps)
    ended = f"in {tested.seconds:.1f} s, {time_text(tested.when)}"
    if n_failed:
        return f"Self-test failed: {n_failed} of {len(tested.steps)} steps, {ended}"
    return f"Self-test passed: {n_passed} of {len(tested.steps)} steps, {ended}"
