"""When the files of a model were last hashed in this process, and what came out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Checked", "checked", "forget", "note"]


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check.

    Attributes:
        when: When it ended.
        problem: What was wrong and what to do; empty where every file has the right bytes.
    """

    when: datetime
    problem: str = ""


_outcomes: dict[str, Checked] = {}


def checked(name: str) -> Checked | None:
    """The last check of a model since this process began; None where there was none."""
    return _outcomes.get(name)


def note(name: str, problem: str = "") -> None:
    """Remembers that a model was checked just now."""
    _outcomes[name] = Checked(datetime.now(UTC), problem)


def forget(name: str) -> None:
    """Forgets the check of files that are gone."""
    _outcomes.pop(name, None)
