"""Rolling fine-tuning, for a scheduler: a challenger against the champion.

Every run trains a new adapter on the base, never on the champion: on the last two years before the
cut-off, with a share of older bars replayed. Challenger, champion and base then forecast the same
windows, later than all training and validation bars; without a champion, the base takes its place.
The challenger is promoted if it is no worse in any of three respects:

    CRPS             not above the champion's
    coverage         of the central 80% no further from 80% than the champion's, within .02
    quiet-day error  the median's error on windows without an event not above 1.02 times the
                     base's: learning events must not cost the days without

Promoting installs the adapter under its name. All promoted adapters stay on disk, so that a
roll-back can restore the one before. A run that fails changes nothing.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from kronos import models
from kronos.errors import CheckpointUnavailable, InvalidRequest
from kronos.events import Event, Leaders
from kronos.finetune.history import Decision, append, champions, exclusive, read
from kronos.finetune.job import Hooks, Material, finetune_lora
from kronos.finetune.lora import LoraSettings
from kronos.finetune.settings import FinetuneSettings
from kronos.finetune.split import Parts, choose_split, split_corpus
from kronos.models.adapters import adapter_path, read_facts, rolling_folder
from kronos.system import atomic_write
from kronos.training.corpus import Corpus
from kronos.training.held_out import score

__all__ = ["RollingSettings", "roll", "roll_back", "verdict"]

COVERAGE = 0.8
COVERAGE_TOLERANCE = 0.02
QUIET_TOLERANCE = 1.02


@dataclass(frozen=True, slots=True)
class RollingSettings:
    """The settings of a rolling run.

    Attributes:
        name: Name of the installed champion.
        years: Years of training bars before the cut-off; older bars are replayed.
        test_windows: Most windows on which challenger and champion are compared.
        test_paths: Paths sampled for each.
        learn_events: Whether the adapter learns to read event channels.
        asset_class: Asset class of the bars.
    """

    name: str
    years: float = 2.0
    test_windows: int = 200
    test_paths: int = 100
    learn_events: bool = False
    asset_class: str = ""

    def __post_init__(self) -> None:
        models.require_free(self.name)
        if self.years <= 0:
            raise InvalidRequest(f"years must be above 0, found {self.years}.")


def roll(
    base: models.Located,
    corpus: Corpus,
    rolling: RollingSettings,
    settings: FinetuneSettings,
    *,
    events: list[Event] | None = None,
    leaders: Leaders | None = None,
    lora: LoraSettings | None = None,
    hooks: Hooks | None = None,
) -> Decision | None:
    """Train a challenger, compare it, decide, and record the decision.

    The next call on the same bars resumes a run that was stopped or killed.

    Args:
        base: Model that every challenger starts from.
        corpus: All bars of the asset class, loaded on calendars.
        rolling: The comparison, and the name.
        settings: How the challenger is trained.
        events: Scheduled events, which decide which days are quiet.
        leaders: Leading markets, where events are learned.
        lora: Size of the adapter.
        hooks: Watching and stopping.

    Returns:
        The decision; None for a run stopped on request.

    Raises:
        KronosError: The run failed; that is recorded, and the champion is as it was.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InvalidRequest(
            "A rolling run decides in one process. Run it without torchrun; one GPU is enough for "
            "an adapter."
        )
    folder = rolling_folder(rolling.name)
    with exclusive(folder):
        _note_present(folder, rolling.name)
        try:
            return _challenge(
                base, corpus, rolling, settings, events, leaders, lora, hooks or Hooks(), folder
            )
        except Exception as error:
            append(folder, Decision("failed", "", f"{type(error).__name__}: {error}"))
            raise


def roll_back(name: str) -> Decision:
    """Restore the champion before the present one.

    Raises:
        InvalidRequest: There is none.
        CheckpointError: Its file is gone or cannot be read.
    """
    folder = rolling_folder(name)
    with exclusive(folder):
        _note_present(folder, name)
        stack = champions(read(folder))
        if len(stack) < 2:
            raise InvalidRequest(
                f"There is no champion of {name} before the present one. To go back to the base "
                f"itself, delete the adapter: kronos models delete {name}."
            )
        before = _stored(folder, stack[-2])
        models.install(before, name)
        decision = Decision("rolled back", stack[-2], f"by request, from {stack[-1]}")
        append(folder, decision)
    return decision


def verdict(scores: dict[str, dict[str, float]]) -> tuple[bool, str]:
    """Whether the challenger is promoted, and why, from the figures of all three."""
    challenger, champion, base = (scores[name] for name in ("challenger", "champion", "base"))
    off, allowed = (abs(found["coverage"] - COVERAGE) for found in (challenger, champion))
    limit = QUIET_TOLERANCE * base["quiet_error"]
    faults = []
    # Written so that a figure that is no number fails.
    if not challenger["crps"] <= champion["crps"]:
        faults.append(f"CRPS {challenger['crps']:.4f} is above {champion['crps']:.4f}")
    if not off <= allowed + COVERAGE_TOLERANCE:
        faults.append(
            f"coverage {challenger['coverage']:.3f} is further from {COVERAGE} than "
            f"{champion['coverage']:.3f}"
        )
    if not challenger["quiet_error"] <= limit:
        faults.append(f"quiet-day error {challenger['quiet_error']:.4f} is above {limit:.4f}")
    if faults:
        return False, "; ".join(faults)
    return True, f"CRPS {challenger['crps']:.4f} against {champion['crps']:.4f}"


def _challenge(
    base: models.Located,
    corpus: Corpus,
    rolling: RollingSettings,
    settings: FinetuneSettings,
    events: list[Event] | None,
    leaders: Leaders | None,
    lora: LoraSettings | None,
    hooks: Hooks,
    folder: Path,
) -> Decision | None:
    parts = rolling_parts(corpus, rolling, settings)
    material = Material(
        base,
        parts,
        events,
        leaders,
        learn_events=rolling.learn_events,
        asset_class=rolling.asset_class,
    )
    out = folder / "runs" / f"{parts.seen_until:%Y%m%dT%H%M%S}"
    result = finetune_lora(material, settings, out, lora=lora, hooks=hooks)
    if result.outcome.reason == "stopped":
        return None
    scores = _compare(material, result.path, rolling, settings, hooks)
    is_better, why = verdict(scores)
    digest = _digest(result.path)
    if digest in champions(read(folder))[-1:]:
        is_better, why = False, "it is the champion once more: the bars are the same"
    if is_better:
        models.install(_store(folder, result.path), rolling.name)
    decision = Decision("promoted" if is_better else "kept", digest, why, scores)
    append(folder, decision)
    for state in (out / "model-run").glob("*.safetensors"):
        state.unlink()  # the log stays
    return decision


def _note_present(folder: Path, name: str) -> None:
    """Record a champion that is missing in the history: installed by hand, or by a run that was
    killed before it recorded its decision."""
    path, stack = adapter_path(name), champions(read(folder))
    if path is not None and _digest(path) not in stack[-1:]:
        _store(folder, path)
        append(folder, Decision("promoted", _digest(path), "found in place"))


def _store(folder: Path, adapter: Path) -> Path:
    """Copy an adapter to those that a roll-back can restore."""
    stored = folder / "adapters" / f"{_digest(adapter)}.safetensors"
    stored.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(stored, is_only_writer=True) as partial:
        shutil.copyfile(adapter, partial)
    return stored


def _digest(adapter: Path) -> str:
    return read_facts(adapter).tensors_sha256[:16]


def rolling_parts(corpus: Corpus, rolling: RollingSettings, settings: FinetuneSettings) -> Parts:
    """Training, validation and test, with training bars older than the years marked as replay.

    Raises:
        InvalidRequest: The series are too short.
    """
    n_bars = settings.n_bars
    split = choose_split(corpus, n_bars=n_bars, with_test=True)
    parts = split_corpus(corpus, split, n_bars=n_bars)
    recent = split.cut_off - pd.Timedelta(days=365.25 * rolling.years)
    return replace(parts, train=parts.train.with_replay_before(recent, min_bars=n_bars))


def _compare(
    material: Material,
    challenger: Path,
    rolling: RollingSettings,
    settings: FinetuneSettings,
    hooks: Hooks,
) -> dict[str, dict[str, float]]:
    """Figures of challenger, champion and base on the same windows of the test."""
    test = material.parts.test
    assert test is not None
    events = material.on(test)
    plan = replace(
        settings,
        validation_windows=rolling.test_windows,
        paths=rolling.test_paths,
        seed=settings.seed + 1,
    ).evaluation()
    champion = adapter_path(rolling.name)
    scores: dict[str, dict[str, float]] = {}
    for role, model in (
        ("base", material.base.reference),
        ("challenger", challenger),
        ("champion", champion),
    ):
        if model is None:
            scores[role] = scores["base"]
            continue
        scores[role] = score(models.load_kronos(model, device=hooks.device), test, plan, events)
    return scores


def _stored(folder: Path, digest: str) -> Path:
    path = folder / "adapters" / f"{digest}.safetensors"
    if not path.is_file():
        raise CheckpointUnavailable(
            f"The adapter {digest} is no longer in {path.parent}; train a new one with "
            "`kronos finetune rolling`."
        )
    return path
