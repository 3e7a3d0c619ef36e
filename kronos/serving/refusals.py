"""The errors a queue raises of its own accord, in words for whoever asked."""

from __future__ import annotations

from kronos.errors import Busy, DeadlineExceeded, ForecastCancelled, InvalidRequest, NotFinished
from kronos.serving.jobs import Job


def full(position: int) -> Busy:
    return Busy(
        f"The forecast queue is full: yours would be number {position} in line. Nothing was "
        "started; try again in a moment.",
        position=position,
    )


def closed() -> Busy:
    return Busy("The forecast engine is shutting down; reload the page in a moment.")


def too_late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "The forecast was not ready by its deadline and was given up; allow more time next time."
    )


def cancelled() -> ForecastCancelled:
    return ForecastCancelled("The forecast was cancelled; nothing of it is kept.")


def unknown(key: str) -> InvalidRequest:
    return InvalidRequest(
        f"There is no job {key[:16]!r} and no result of it is kept: submit it first."
    )


def not_finished(job: Job) -> NotFinished:
    return NotFinished(
        f"The job {job.key[:16]!r} is still {job.state} after the time allowed for waiting; it "
        "goes on, so ask for its result again."
    )
