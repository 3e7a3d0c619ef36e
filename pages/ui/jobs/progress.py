"""Progress of a job, as a share and in words."""

from __future__ import annotations

from collections.abc import Iterable

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx

from kronos.serving.engine import SAMPLING
from kronos.serving.jobs import JobStatus
from pages.ui.frame.text import size_text

POLL_SECONDS = 0.5
SLOWEST_POLL_SECONDS = 4.0


def progress_share(status: JobStatus) -> float:
    """Finished part of the stage, 0 to 1."""
    return min(status.done / status.total, 1.0) if status.total > 0 else 0.0


def progress_text(status: JobStatus) -> str:
    """The stage, its steps and the time left, in one line."""
    if status.state == "queued":
        return f"Place {status.position} in line"
    if not status.total:
        return status.stage or "Starting"
    if status.stage == SAMPLING:
        text = f"Sampling: step {status.done} of {status.total}"
    else:
        text = f"{status.stage}: {size_text(status.done)} of {size_text(status.total)}"
    if status.seconds_left is None or status.seconds_left < 1:
        return text
    return f"{text}, about {_duration(status.seconds_left)} left"


def poll_seconds(statuses: Iterable[JobStatus | None]) -> float:
    """Seconds until a page looks again: the longer, the further away the end of all its jobs is.

    Hundreds of pages that look twice a second would take the processor from what they wait for.
    """
    waits = [_wait(each) for each in statuses if each is not None and not each.is_final]
    seconds = POLL_SECONDS
    # Few different values: each change makes the browser start its clock anew.
    while waits and seconds < min(SLOWEST_POLL_SECONDS, min(waits)):
        seconds *= 2
    return seconds


def _wait(status: JobStatus) -> float:
    """Seconds in which little happens to a job that has not ended."""
    if status.state == "queued":
        return POLL_SECONDS * status.position / 2
    return (status.seconds_left or 0.0) / 4


def look_again_in(seconds: float) -> None:
    """Let the fragment that runs now run again every so often, instead of as its call said."""
    context = get_script_run_ctx(suppress_warning=True)
    fragments = () if context is None else context.fragment_ids_this_run or ()
    # In a run of the whole page the call of the fragment says how often.
    if context is not None and len(fragments) == 1:
        message = ForwardMsg()
        message.auto_rerun.interval = seconds
        message.auto_rerun.fragment_id = fragments[0]
        context.enqueue(message)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
