"""Progress of a job, as a share and in words."""

from __future__ import annotations

from kronos.serving.engine import SAMPLING
from kronos.serving.jobs import JobStatus
from pages.ui.frame.text import size_text

POLL_SECONDS = 0.5


def progress_share(status: JobStatus) -> float:
    """Finished part of the stage, 0 to 1."""
    return min(status.done / status.total, 1.0) if status.total > 0 else 0.0


def progress_text(status: JobStatus) -> str:
    """The stage, its steps and the time left, in one line."""
    if status.state == "queued":
        return f"In the queue: position {status.position}"
    if not status.total:
        return status.stage or "Starting"
    if status.stage == SAMPLING:
        text = f"Sampling: step {status.done} of {status.total}"
    else:
        text = f"{status.stage}: {size_text(status.done)} of {size_text(status.total)}"
    if status.seconds_left is None or status.seconds_left < 1:
        return text
    return f"{text}, about {_duration(status.seconds_left)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
