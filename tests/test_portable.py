"""The library and the application where modules that only POSIX has cannot be imported.

What runs here is Linux with those modules blocked, in this process's children as well: their own
imports, and what they call, are what another system has.
"""

import ast
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.source_tree import LIBRARIES, ROOT, SHELL, imports, python_files, syntax
from tests.training.conftest import made_up_bars

POSIX_MODULES = {
    "crypt", "fcntl", "grp", "nis", "ossaudiodev", "posix", "pty", "pwd", "readline", "resource",
    "spwd", "syslog", "termios", "tty",
}  # fmt: skip
# Attributes that Python's documentation names as missing on Windows.
POSIX_NAMES = {
    "os": """
        O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK PRIO_PROCESS chown chroot fchdir fchmod fchown
        fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getuid
        getxattr initgroups killpg lchown lockf mkfifo mknod nice openpty pathconf pidfd_open pipe2
        posix_fadvise posix_spawn pread preadv pwrite pwritev readv register_at_fork
        sched_getaffinity sched_setaffinity sendfile setpgid setpriority setsid setuid statvfs sync
        sysconf tcgetpgrp uname wait wait3 wait4 writev
    """,
    "signal": """
        SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2 alarm pause
        pthread_kill pthread_sigmask setitimer sigwait
    """,
    "select": "epoll kqueue poll",
    "socket": "AF_UNIX",
}
# Behind a check that the system has it; Ray has sockets of TCP elsewhere.
CHECKED = {
    ("kronos/system.py", "os.sched_getaffinity"),
    ("kronos/serving/cluster/connection.py", "socket.AF_UNIX"),
}
BLOCKED = f"""
import builtins, os, sys
# What psutil and the standard library import for themselves is their own.
import asyncio, multiprocessing, psutil, shutil, subprocess, tarfile
BLOCKED = {sorted(POSIX_MODULES - {"posix", "termios", "tty"})!r}  # huggingface_hub needs two
for name in BLOCKED:
    sys.modules[name] = None
for name in ("getpriority", "killpg", "pread", "pwrite", "setpriority", "setsid"):
    del vars(os)[name]  # others are called by packages that know this system by its name
"""


def product_files() -> list[Path]:
    return [*python_files(*LIBRARIES), *python_files(*SHELL)]


def test_no_module_is_imported_that_only_posix_has():
    broken = [str(found) for file in product_files() for found in imports(file)
              if found.package in POSIX_MODULES]  # fmt: skip
    assert not broken


def test_nothing_is_called_that_only_posix_has():
    broken = []
    for file in product_files():
        name = str(file.relative_to(ROOT))
        for node in ast.walk(syntax(file)):
            where = f"{name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = f"{node.value.id}.{node.attr}"
                if (
                    node.attr in POSIX_NAMES.get(node.value.id, "").split()
                    and (name, used) not in CHECKED
                ):
                    broken.append(f"{where} uses {used}")
            if isinstance(node, ast.keyword) and node.arg in {"pass_fds", "preexec_fn"}:
                broken.append(f"{where} passes {node.arg}")
    assert not broken, "\n".join(broken)


@pytest.fixture
def elsewhere(tmp_path):
    """Environment of a process, and of its children, without what only POSIX has."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(BLOCKED)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(hook), str(ROOT)]),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


def run_script(script: str, environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_block_holds(elsewhere, tmp_path):
    script = (
        "import importlib\nfor name in ('fcntl', 'resource'):\n    importlib.import_module(name)"
    )
    with pytest.raises(AssertionError, match="fcntl"):
        run_script(script, elsewhere, tmp_path)


def test_every_module_is_imported_and_a_forecast_is_made(elsewhere, tmp_path):
    """Modules of pages as well; a script of a page runs when it is imported."""
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in product_files()
        if file.name not in {"app.py", "__main__.py"} and file.parent.name != "pages"
        and "migrations" not in file.parts and file.name != "sktime.py"  # an extra of its own
    ]  # fmt: skip
    assert len(modules) > 200
    script = f"""
        import importlib, sys
        del sys.modules["fcntl"]
        import mcp.server.stdio  # imports fcntl where the platform is not Windows
        sys.modules["fcntl"] = None
        for name in {modules!r}: importlib.import_module(name)
        import pandas, kronos
        from kronos import system
        bars = pandas.read_csv({str(ROOT / "assets/samples/GOOG_1d.csv")!r})
        from kronos.candles import Candles
        candles = Candles.from_frame(bars, symbol="GOOG")
        days = candles.future(4).tz_convert(candles.zone)
        forecast = kronos.load({str(ROOT / "tests/golden")!r}).forecast(
            candles.frame, x_timestamp=candles.local_index, y_timestamp=days, sample_count=3
        )
        print(forecast.paths.shape, system.peak_bytes() > 0, system.total_bytes() > 0)
    """
    assert run_script(script, elsewhere, tmp_path).strip() == "(3, 4, 6) True True"


def test_the_application_serves_a_page(elsewhere, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "kronos", "app", "--port", str(port)],
        env=elsewhere, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(f"http://localhost:{port}/training", timeout=5) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert server.poll() is None, server.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        server.terminate()
        printed, _ = server.communicate(timeout=60)
    assert "Traceback" not in printed


def write_bars(folder: Path) -> Path:
    made_up_bars(400, seed=1).to_csv(folder / "bars.csv", index=False)
    return folder


def finetune(folder: Path, *more: str) -> list[str]:
    words = "finetune lora --context 32 --horizon 4 --windows 4 --validation-windows 2 --paths 4"
    return [
        sys.executable, "-m", "kronos", *words.split(), "--base", str(ROOT / "tests/golden"),
        "--data", str(folder / "data"), "--out", str(folder / "run"), "--lock",
        str(folder / "lock"), *more,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_model_is_fine_tuned_and_the_run_is_cancelled(elsewhere, tmp_path):
    (tmp_path / "data").mkdir()
    write_bars(tmp_path / "data")
    process = subprocess.Popen(
        finetune(tmp_path, "--steps", "5000"), env=elsewhere, cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    log = tmp_path / "run/model-run/log.jsonl"
    deadline = time.monotonic() + 120
    while not log.is_file():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = subprocess.run(
        finetune(tmp_path, "--steps", "1"), env=elsewhere, cwd=tmp_path, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 2
    assert "Another training is under way" in second.stderr
    (tmp_path / "run/STOP").touch()
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    assert "Saved at step" in printed
