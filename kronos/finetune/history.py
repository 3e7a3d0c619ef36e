"""The history of challengers: one JSON line for each decision, append-only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from kronos.errors import InvalidRequest
from kronos.system import parse_json

__all__ = ["Decision", "append", "champions", "exclusive", "read"]

_NAME = "history.jsonl"


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the history.

    Attributes:
        what: "promoted" and "rolled back" change the champion; "kept" and "failed" do not.
        adapter: Digest of the new champion; of the rejected challenger if `what` is "kept"; "" for
            a failed run.
        why: The reason, in words.
        scores: Figures of challenger, champion and base on the same windows, by name.
        when: ISO 8601, UTC.
    """

    what: Literal["promoted", "kept", "failed", "rolled back"]
    adapter: str
    why: str
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def append(folder: Path, decision: Decision) -> None:
    """Append a line and flush it to disk."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAME
    is_torn = path.is_file() and path.read_bytes()[-1:] not in {b"", b"\n"}
    with path.open("a", encoding="utf-8") as file:
        # The line before may be torn by a crash.
        file.write("\n" * is_torn + json.dumps(asdict(decision)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> list[Decision]:
    """All decisions, the oldest first; a line torn by a crash is left out."""
    path = folder / _NAME
    lines = (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    )
    return [found for line in lines if (found := _parsed(line)) is not None]


def champions(decisions: list[Decision]) -> list[str]:
    """Digests of the stack of champions, the present one last; a roll-back removes it."""
    stack: list[str] = []
    for decision in decisions:
        if decision.what == "promoted":
            stack.append(decision.adapter)
        elif decision.what == "rolled back" and len(stack) > 1:
            stack.pop()
    return stack


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, so that one process decides at a time; freed when it dies.

    Raises:
        InvalidRequest: Another process holds it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InvalidRequest(
            f"Another run is at work in {folder}. Wait until it has ended."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _parsed(line: str) -> Decision | None:
    try:
        return Decision(**parse_json(line))
    except (ValueError, TypeError):
        return None
