"""A PostgreSQL server of the tests' own, in a folder of its own, that may be killed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

_START_SECONDS = 60.0


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs: POSTGRES_BIN, Debian's, or that on the path."""
    named = os.environ.get("POSTGRES_BIN")
    on_path = shutil.which("initdb")
    places = [Path(named)] if named else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not named and on_path:
        places.append(Path(on_path).parent)
    return next((place for place in reversed(places) if (place / "initdb").is_file()), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _account() -> str | None:
    """Whom to start it as: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class PostgresServer:
    """One server; `start` again after `kill`. Its settings are PostgreSQL's own."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not pytest's folder, which is closed to other accounts.
        self._folder = Path(tempfile.mkdtemp(prefix="kronos-postgres-"))
        self._user = _account()
        if self._user:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        options = ["-D", self._data, "-U", "kronos", "-A", "trust", "-E", "UTF8", "--no-sync"]
        self._run(["initdb", *options])
        self.start()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    @property
    def url(self) -> str:
        return f"postgresql://kronos@127.0.0.1:{self._port}/postgres"

    def _surroundings(self) -> dict[str, object]:
        return {
            "user": self._user,
            "cwd": self._folder,
            "env": {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(self._folder)},
        }

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            [str(self._programs / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            **self._surroundings(),  # type: ignore[call-overload]
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr}")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        settings = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}")
        command = [str(self._programs / "postgres"), "-D", self._data, "-p", str(self._port)]
        for setting in settings:
            command += ["-c", setting]
        log = self._folder / "log"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                # It refuses while a process of the killed one still holds the shared memory.
                with log.open("ab") as output:
                    self._process = subprocess.Popen(
                        command,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                        **self._surroundings(),  # type: ignore[call-overload]
                    )
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")

    def empty(self) -> str:
        """The URL of its one database, with nothing left in it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url

    def kill(self) -> None:
        """Ends every process of it at once with SIGKILL."""
        assert self._process is not None
        top = self._process.pid
        with psycopg.connect(self.url) as connection:
            rows = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
        for pid in (top, *(row[0] for row in rows)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """Ends it and removes its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed again
            self._process.wait()
        shutil.rmtree(self._folder)
