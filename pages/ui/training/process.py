"""The process that trains: started, stopped, resumed, and found again.

It is `kronos finetune lora` with a low priority. A server that ends asks its process to save and
end. A server that is killed cannot: then the process goes on, and the lock finds it again.

A machine runs one training at a time. The lock is that of the operating system, on a file, and
belongs to the process that trains: it is free as soon as that process has ended in any way.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal

import kronos
from kronos.errors import Busy
from kronos.system import n_processors
from pages.ui.frame.access import require_administrator
from pages.ui.training.folder import TrainingRun, delete_old_runs, runs_folder

State = Literal["starting", "running", "stopping", "stopped", "interrupted", "failed", "done"]
ALIVE: frozenset[State] = frozenset({"starting", "running", "stopping"})

OFFERS = "Training runs"
NICENESS = 10
BUSY = (
    "Another training is under way on this machine, and the limit is one at a time. Your settings "
    "are still here: press the button again after it ends."
)
_TRIES, _PAUSE = 5, 0.02
_STOPPED = 130
_guard = threading.Lock()
_children: dict[str, subprocess.Popen[bytes]] = {}


def start(run: TrainingRun) -> None:
    """Start a run, or resume it.

    Raises:
        NotOffered: This session may not administer a public server.
        Busy: Another training is under way on this machine.
    """
    require_administrator(OFFERS)
    with _guard:
        held = take_lock(_lock_path(), run.id)
        try:
            for name in ("exit", "stop-asked", "STOP"):
                (run.folder / name).unlink(missing_ok=True)
            delete_old_runs(but=run.id)
            with run.output.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "kronos", *run.arguments],
                    cwd=Path(kronos.__file__).parents[1],
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(held,),
                    # Ctrl+C in the server's terminal is the server's; it asks its process itself.
                    start_new_session=True,
                )
        finally:
            os.close(held)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        if not _children:
            atexit.unregister(end_all)
            atexit.register(end_all)
        _children[run.id] = process
    threading.Thread(target=_see_the_end, args=(run, process), daemon=True).start()


def ask_to_stop(run: TrainingRun) -> None:
    """Request that a run saves and ends; to be repeated while it does not.

    A process that is still starting forgets an earlier request when it begins.

    Raises:
        NotOffered: This session may not administer a public server.
    """
    require_administrator(OFFERS)
    (run.folder / "stop-asked").touch()
    (run.folder / "STOP").touch()


def state_of(run: TrainingRun) -> State:
    """State of a run, by its folder, its lock and its process."""
    if run.id in _children or running() == run.id:
        if run.is_stop_asked:
            return "stopping"
        return "running" if run.lines() else "starting"
    lines, code = run.lines(), run.exit_code
    reason = lines[-1].get("reason") if lines else None
    if run.adapter.is_file() and reason in {"finished", "early"}:
        return "done"
    if code == _STOPPED or (code is None and reason == "stopped"):
        return "stopped"
    # Killed, or without a record of its end.
    return "interrupted" if code is None or code < 0 else "failed"


def require_free() -> None:
    """Check that no training is under way.

    Raises:
        Busy: A training is under way.
    """
    if running():
        raise Busy(BUSY)


def running() -> str:
    """Id of the run that is under way on this machine; "" where there is none."""
    with _guard:
        return _lock_holder(_lock_path())


def end_all() -> None:
    """Request that the processes of this server save and end."""
    for process in list(_children.values()):
        with contextlib.suppress(ProcessLookupError):
            process.terminate()


def _lock_path() -> Path:
    return runs_folder() / "lock"


def _environment() -> dict[str, str]:
    # A processor stays for the pages, where there are several.
    n_threads = max(1, n_processors() - 1)
    return {"OMP_NUM_THREADS": str(n_threads), **os.environ, "PYTHONUNBUFFERED": "1"}


def _see_the_end(run: TrainingRun, process: subprocess.Popen[bytes]) -> None:
    code = process.wait()
    with contextlib.suppress(OSError):  # the run may have been deleted
        (run.folder / "exit").write_text(str(code), encoding="utf-8")
    _children.pop(run.id, None)


def take_lock(path: Path, run_id: str) -> int:
    """Take the lock for a run.

    Returns:
        A file descriptor: whoever holds a copy of it holds the lock.

    Raises:
        Busy: Another training is under way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if not _lock(descriptor):
        os.close(descriptor)
        raise Busy(BUSY)
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, run_id.encode(), 0)
    return descriptor


def _lock_holder(path: Path) -> str:
    """The run that holds the lock; "" where it is free."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return ""
    try:
        return "" if _lock(descriptor) else os.pread(descriptor, 64, 0).decode()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the lock is taken now. A look takes it for a moment, so this tries a few times."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False
