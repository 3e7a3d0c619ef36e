"""The process that trains: started, stopped, resumed, and found again.

It is `kronos finetune lora` with a low priority. A server that ends asks its process to save and
end. A server that is killed cannot: then the process goes on, and is found again by the lock.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

import kronos
from kronos.errors import Busy
from kronos.system import n_processors
from pages.ui.training import lock
from pages.ui.training.folder import TrainingRun, delete_old_runs, runs_folder

State = Literal["starting", "running", "stopping", "stopped", "interrupted", "failed", "done"]
ALIVE: frozenset[State] = frozenset({"starting", "running", "stopping"})

NICENESS = 10
_STOPPED = 130
_guard = threading.Lock()
_children: dict[str, subprocess.Popen[bytes]] = {}


def start(run: TrainingRun) -> None:
    """Start a run, or resume it.

    Raises:
        Busy: Another training is under way on this machine.
    """
    with _guard:
        held = lock.take(_lock_path(), run.id)
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
    """
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
    # Ended from outside, or nobody saw the end.
    return "interrupted" if code is None or code < 0 else "failed"


def require_free() -> None:
    """Check that no training is under way.

    Raises:
        Busy: A training is under way.
    """
    if running():
        raise Busy(lock.BUSY)


def running() -> str:
    """Id of the run that is under way on this machine; "" where there is none."""
    with _guard:
        return lock.holder(_lock_path())


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
