"""Work on the models of this machine: download, delete, verify, test.

Models belong to the machine and not to a session: all visitors see the same work and may cancel it.
"""

from __future__ import annotations

from typing import Literal, get_args

from kronos.serving.jobs import JobStatus, Work
from kronos.serving.queue import JobQueue
from kronos.serving.service import service
from pages.ui.frame.access import require_administrator
from pages.ui.jobs import caches, queues
from pages.ui.jobs.work import delete_work, download_work, self_test_work, verify_work, work_key

Action = Literal["download", "delete", "verify", "test"]
ACTIONS: tuple[Action, ...] = get_args(Action)
OWNER = "models page"
OFFERS = "Downloads, deletions and tests of models"


def start(action: Action, name: str) -> None:
    """Start work on a model, or join the same work under way.

    Raises:
        NotOffered: This session may not administer a public server.
        Busy: Too much waits; nothing was started.
    """
    require_administrator(OFFERS)
    for other in ACTIONS:
        status = _queue(other).status(work_key(other, name), owner=OWNER)
        # An attempt at something else settles a failure, and a stored result is no attempt.
        if status is not None and (status.state in {"failed", "cancelled"} or other == action):
            _forget(other, name)
    if action == "delete":
        _forget("download", name)
        _forget("test", name)
    _queue(action).submit(work_key(action, name), _work(action, name), owner=OWNER, supersede=False)
    caches.models.clear()


def cancel(action: Action, name: str) -> bool:
    """Cancel work; False where it goes on, because a forecast waits for it.

    Raises:
        NotOffered: This session may not administer a public server.
    """
    require_administrator(OFFERS)
    queue, key = _queue(action), work_key(action, name)
    queue.leave(key, owner=OWNER)
    status = queue.status(key)
    return status is None or status.watchers == 0


def active(name: str) -> tuple[Action, JobStatus] | None:
    """The work on a model that waits or runs."""
    return next((found for found in _all(name) if not found[1].is_final), None)


def outcomes(name: str) -> dict[Action, JobStatus]:
    """How the last attempts for a model ended."""
    return {action: status for action, status in _all(name) if status.is_final}


def _all(name: str) -> list[tuple[Action, JobStatus]]:
    found = [
        (action, _queue(action).status(work_key(action, name), owner=OWNER)) for action in ACTIONS
    ]
    return [(action, status) for action, status in found if status is not None]


def _queue(action: Action) -> JobQueue:
    return queues.downloads() if action in {"download", "delete"} else queues.checks()


def _forget(action: Action, name: str) -> None:
    _queue(action).forget(work_key(action, name))


def _work(action: Action, name: str) -> Work:
    if action == "test":
        return self_test_work(name, service)
    make = {"download": download_work, "delete": delete_work, "verify": verify_work}[action]
    return make(name)
