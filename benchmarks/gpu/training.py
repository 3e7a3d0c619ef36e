"""Memory of LoRA, and the training of the bundled model for the minutes that are left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.results import Found, Work
from benchmarks.gpu.speed import free
from benchmarks.speed.workload import prepare
from kronos.system import asset_path
from tests.golden_vectors import GOLDEN

MOST_GB = 4.5
"""Peak memory that LoRA of base may take at 32 windows in a step."""
LORA_UNITS = ("float32", "bfloat16", "float32, activations recomputed")
STOPPING = 20.0
"""Seconds that a training has to save its state and end."""


def measure_lora(work: Work) -> None:
    """Looks for the units of `LORA_UNITS`."""
    for unit in LORA_UNITS:
        work.look(unit, lambda unit=unit: _lora(unit, work))  # type: ignore[misc]


def _lora(unit: str, work: Work) -> Found:
    import peft  # noqa: F401  what is missing is said before anything is loaded

    from kronos.finetune.job import Hooks, Material, finetune_lora
    from kronos.finetune.settings import FinetuneSettings
    from kronos.finetune.split import choose_split, split_corpus
    from kronos.models import Located
    from kronos.training.corpus import load_corpus

    settings = FinetuneSettings(
        context=24 if work.is_dry else 128,
        horizon=6 if work.is_dry else 24,
        windows=4 if work.is_dry else 32,
        steps=4 if work.is_dry else 20,
        validate_every=4 if work.is_dry else 20,
        validation_windows=2 if work.is_dry else 8,
        paths=2 if work.is_dry else 32,
        precision="bf16" if unit.startswith("bfloat16") else "fp32",
        save_memory="recomputed" in unit,
    )
    checkpoint = prepare(str(GOLDEN) if work.is_dry else "base", work.scratch)
    base = Located(
        name=checkpoint.name,
        reference=checkpoint.name,
        revision="",
        model=checkpoint.model,
        tokenizer=checkpoint.tokenizer,
        max_context=checkpoint.max_context,
    )
    corpus = load_corpus(asset_path("samples"), min_bars=3 * settings.n_bars)
    split = choose_split(corpus, n_bars=settings.n_bars)
    parts = split_corpus(corpus, split, n_bars=settings.n_bars)
    moments: list[tuple[int, float]] = []

    def watch(line: dict[str, Any]) -> None:
        if line.get("split") == "train":
            moments.append((line["step"], time.perf_counter()))

    out = work.scratch / f"lora-{LORA_UNITS.index(unit)}-{time.time():.0f}"
    free(work.device)
    result = finetune_lora(
        Material(base, parts), settings, out, hooks=Hooks(watch=watch, device=work.device)
    )
    (first, began), (last, ended) = moments[0], moments[-1]
    peak = result.outcome.peak_bytes
    figures = {
        "peak": peak,
        "step": (ended - began) / max(1, last - first),
        "windows": settings.windows,
        "bars": settings.n_bars,
        "trained": result.n_trained,
    }
    text = (
        f"peak {peak / 1e9:.2f} GB, the validation included; {figures['step'] * 1e3:,.0f} ms a "
        f"step of {settings.windows} windows of {settings.n_bars} bars; {result.n_trained:,} "
        "trained parameters"
    )
    return Found(None, text, figures)


def train(work: Work) -> None:
    """Trains with `kronos train` until the minutes are over; a later call resumes."""
    for stage in ("tokenizer", "model"):
        if stage == "tokenizer" and _is_finished(work, stage):
            continue
        work.look(stage, lambda stage=stage: _stage(stage, work), again=True)  # type: ignore[misc]
        if not _is_finished(work, stage):
            break


def _is_finished(work: Work, stage: str) -> bool:
    """Whether a stage needs no more steps: it came to its end, or its result was put there."""
    assert work.run is not None
    if not (work.run / stage).is_dir():
        return False
    ends = [line for line in _log(work.run, stage) if line.get("split") == "end"]
    return not ends or ends[-1]["reason"] != "stopped"


def _log(run: Path, stage: str) -> list[dict[str, Any]]:
    path = run / f"{stage}-run" / "log.jsonl"
    if not path.is_file():
        return []
    found = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(text))
        except ValueError:
            continue
    return found


def _stage(stage: str, work: Work) -> Found:
    assert work.corpus is not None
    assert work.run is not None
    work.run.mkdir(parents=True, exist_ok=True)
    stop = work.run / "STOP"
    before = max((line.get("step", 0) for line in _log(work.run, stage)), default=0)
    stop.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "kronos", "train", stage, "--data", str(work.corpus),
        "--out", str(work.run), "--device", work.device, *work.train_options,
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        margin = min(STOPPING, work.left / 4)
        try:
            _, errors = process.communicate(timeout=max(0.1, work.left - margin))
        except subprocess.TimeoutExpired:
            errors = _stopped(process, stop, margin)
    stop.unlink(missing_ok=True)
    lines = _log(work.run, stage)
    trained = [line for line in lines if line.get("split") == "train"]
    if process.returncode != 0:
        said = (errors or "").strip().splitlines()[-1:] or ["it was killed while it saved"]
        return Found(False, f"kronos train ended with {process.returncode}: {said[0]}")
    end = lines[-1]
    figures = {"from": before, "step": end["step"], "of": end["n_steps"], "reason": end["reason"]}
    checked = [line for line in lines if line.get("split") == "validation"]
    losses = ""
    for named, found in (("loss", trained), ("loss on held-out series", checked)):
        if found:
            figures[named] = found[-1]["loss"]
            losses += f"; {named} {found[-1]['loss']:.4f} at step {found[-1]['step']}"
    text = (
        f"step {before} to {end['step']} of {end['n_steps']}, {end['reason']}{losses}; "
        f"{end['seconds'] / max(1, end['step']):.3f} s a step; {end['peak_bytes'] / 1e9:.2f} GB"
    )
    return Found(None, text, figures)


def _stopped(process: subprocess.Popen[str], stop: Path, margin: float) -> str:
    """Asks for the end by a file, as a person would, and waits for the state to be saved."""
    ended = time.time() + margin
    while process.poll() is None and time.time() < ended:
        stop.touch()  # again and again: a run that begins removes an earlier one
        time.sleep(0.2)
    if process.poll() is None:
        process.terminate()
    _, errors = process.communicate()
    return errors
