"""The file of results: a line of JSON for each, written as it is found.

A run that is cut off loses nothing, and one that is started again with the same folder continues.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Outcome = Literal["passed", "failed", "measured", "skipped", "cut off"]
FINAL: tuple[Outcome, ...] = ("passed", "measured")
"""Outcomes that a second run does not look for again."""
_OWN = ("kronos", "data_sources", "benchmarks", "tests")


@dataclass(frozen=True, slots=True)
class Result:
    """What was found of one unit of a part.

    Attributes:
        part: Name of the part.
        unit: What was checked or measured; "" for the part as a whole.
        outcome: "failed" is a wrong or impossible result, "skipped" one that was not looked for.
        found: In words; after a failure, what differed.
        figures: Numbers by name.
        seconds: How long it took.
    """

    part: str
    unit: str
    outcome: Outcome
    found: str
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class ResultFile:
    """OUT/results.jsonl: the environment in its first line, then results."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "results.jsonl"

    def begin(self, environment: dict[str, Any]) -> None:
        """Begins the file, or continues one of the same environment.

        Raises:
            ValueError: The file holds results of another environment.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self._lines()
        if not lines:
            self._append({"environment": environment})
            return
        earlier = lines[0].get("environment", {})
        names = sorted(earlier.keys() | environment.keys())
        if changed := [n for n in names if earlier.get(n) != environment.get(n)]:
            told = "; ".join(f"{n}: {earlier.get(n)}, now {environment.get(n)}" for n in changed)
            raise ValueError(
                f"{self.path} holds results of another environment ({told}). Give another --out."
            )

    def add(self, result: Result) -> None:
        """Appends a result."""
        self._append(asdict(result))

    def read(self) -> list[Result]:
        """The last result of every unit, in the order in which they were first found."""
        latest: dict[tuple[str, str], Result] = {}
        for line in self._lines()[1:]:
            result = Result(**line)
            latest[result.part, result.unit] = result
        return list(latest.values())

    def done(self, part: str) -> set[str]:
        """The units of a part that need no second look."""
        return {r.unit for r in self.read() if r.part == part and r.outcome in FINAL}

    def _append(self, line: dict[str, Any]) -> None:
        text = self.path.read_bytes() if self.path.is_file() else b""
        with self.path.open("ab") as file:
            if text and not text.endswith(b"\n"):
                file.write(b"\n")  # a kill left half a line
            file.write(json.dumps(line).encode() + b"\n")

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        found = []
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(text))
            except ValueError:
                continue
        return found


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a unit.

    Attributes:
        is_right: False for a wrong result; None for a measurement, which is neither.
        text: In words.
        figures: Numbers by name.
    """

    is_right: bool | None
    text: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What a part needs to look for its units.

    Attributes:
        part: Its name.
        device: "cuda" or "cpu".
        is_dry: Whether sizes are small: a trial of the command, not of the machine.
        file: Where results go.
        scratch: A folder for random weights.
        until: Moment (time.time) at which the part's share of the minutes ends.
        corpus: Candles to train on, or None.
        run: Folder of the training, or None.
        train_options: Further options of `kronos train`.
    """

    part: str
    device: str
    is_dry: bool
    file: ResultFile
    scratch: Path
    until: float
    corpus: Path | None = None
    run: Path | None = None
    train_options: tuple[str, ...] = ()

    @property
    def left(self) -> float:
        """Seconds of the part's share that are left."""
        return self.until - time.time()

    def look(
        self, unit: str, find: Callable[[], Found], expected: float = 0.0, *, again: bool = False
    ) -> Found | None:
        """Looks for a unit and records it, unless that was done or does not fit.

        Args:
            unit: Its name.
            find: Finds it. What it raises is a failure.
            expected: Seconds it is expected to take.
            again: Whether to look for it although that was done.

        Returns:
            The answer, if it was looked for now.
        """
        if not again and unit in self.file.done(self.part):
            return None
        if self.left <= expected:
            words = f"It takes about {expected:.0f} s, and {max(0.0, self.left):.0f} s were left."
            self.file.add(Result(self.part, unit, "skipped", words))
            return None
        started, answer = time.perf_counter(), None
        try:
            answer = find()
            outcome: Outcome = (
                "measured" if answer.is_right is None else "passed" if answer.is_right else "failed"
            )
            words, figures = answer.text, answer.figures
        except Exception as error:  # noqa: BLE001  a fault of one unit is a result
            words, figures, outcome = f"{type(error).__name__}: {error}", {}, "failed"
            package = (getattr(error, "name", None) or "").partition(".")[0]
            if isinstance(error, ModuleNotFoundError) and package not in _OWN:
                words, outcome = f"The package {package} is missing here.", "skipped"
        seconds = round(time.perf_counter() - started, 2)
        self.file.add(Result(self.part, unit, outcome, words, figures, seconds))
        return answer
