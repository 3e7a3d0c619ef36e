"""The process that trains: started, stopped, resumed, and found again.

It is `kronos finetune lora` with a low priority. A server that ends asks its process to save and
end. A server that is killed cannot: then the process goes on, and the lock finds it again.

A machine runs one training at a time. The lock is that of the operating system, on a file, and
belongs to the process that trains: it is free as soon as that process has ended in any way. Until
that process holds it, the server that starts it holds a second one.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Literal

import psutil
from filelock import FileLock, Timeout

import kronos
from kronos.errors import Busy
from kronos.system import atomic_write, n_processors
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
# A look takes a lock for a moment, so it is tried for this long.
_PATIENCE, _PAUSE = 0.1, 0.01
_STOPPED = 130
_LOCK, _STARTING, _HOLDER = "lock", "starting", "holder"
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
        starting = take_lock(runs_folder(), run.id)
        try:
            for name in ("exit", "stop-asked", "STOP"):
                (run.folder / name).unlink(missing_ok=True)
            delete_old_runs(but=run.id)
            with run.output.open("wb") as output:
                process = subprocess.Popen(
                    [
                        sys.executable, "-m", "kronos", *run.arguments,
                        "--lock", str(runs_folder() / _LOCK),
                    ],
                    cwd=Path(kronos.__file__).parents[1],
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl+C in the server's terminal is the server's; it asks its process itself.
                    start_new_session=True,
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )  # fmt: skip
        except BaseException:
            starting.release()
            raise
        with contextlib.suppress(OSError, psutil.Error):
            psutil.Process(process.pid).nice(
                getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", NICENESS)
            )
        if not _children:
            atexit.unregister(end_all)
            atexit.register(end_all)
        _children[run.id] = process
    threading.Thread(target=_see_the_end, args=(run, process, starting), daemon=True).start()


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
        return _lock_holder(runs_folder())


def end_all() -> None:
    """Request that the processes of this server save and end."""
    for run_id, process in list(_children.items()):
        if sys.platform == "win32":  # to terminate is to kill there
            (runs_folder() / run_id / "STOP").touch()
            continue
        with contextlib.suppress(ProcessLookupError):
            process.terminate()


def _environment() -> dict[str, str]:
    # A processor stays for the pages, where there are several.
    n_threads = max(1, n_processors() - 1)
    return {"OMP_NUM_THREADS": str(n_threads), **os.environ, "PYTHONUNBUFFERED": "1"}


def _see_the_end(run: TrainingRun, process: subprocess.Popen[bytes], starting: FileLock) -> None:
    training = runs_folder() / _LOCK
    while process.poll() is None and not _is_held(training):
        time.sleep(_PAUSE)
    starting.release()
    code = process.wait()
    with contextlib.suppress(OSError):  # the run may have been deleted
        (run.folder / "exit").write_text(str(code), encoding="utf-8")
    _children.pop(run.id, None)


def take_lock(folder: Path, run_id: str) -> FileLock:
    """Take the lock of the server that starts a run, until the run's process has its own.

    Args:
        folder: The folder of all runs.
        run_id: The run.

    Raises:
        Busy: Another training is under way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Another thread gives it back.
    starting = FileLock(folder / _STARTING, timeout=_PATIENCE, thread_local=False, mode=0o600)
    try:
        starting.acquire(poll_interval=_PAUSE)
    except Timeout:
        raise Busy(BUSY) from None
    if _is_held(folder / _LOCK):
        starting.release()
        raise Busy(BUSY)
    with atomic_write(folder / _HOLDER, is_only_writer=True) as partial:
        partial.write_text(run_id, encoding="utf-8")
    return starting


def _lock_holder(folder: Path) -> str:
    """The run that holds a lock; "" where both are free."""
    # In this order: the process has its lock before the server gives back the other.
    if not (_is_held(folder / _STARTING) or _is_held(folder / _LOCK)):
        return ""
    return (folder / _HOLDER).read_text(encoding="utf-8")


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=_PATIENCE).acquire(poll_interval=_PAUSE):
            return False
    except Timeout:
        return True
