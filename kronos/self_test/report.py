"""The report of a self-test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

__all__ = ["Outcome", "SelfTest", "Step"]

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the test.

    Attributes:
        title: Its title.
        outcome: "skipped" where it could not run, or there is nothing to compare with.
        seconds: Its duration.
        found: The result in words.
        advice: What to do after a failure.
    """

    title: str
    outcome: Outcome
    seconds: float
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A finished test.

    Attributes:
        model: Name of the model.
        revision: Revision of its weights.
        steps: In the order of `TITLES`.
        when: When it ended.
    """

    model: str
    revision: str
    steps: tuple[Step, ...]
    when: datetime

    @property
    def is_passed(self) -> bool:
        return all(step.outcome != "failed" for step in self.steps)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)
