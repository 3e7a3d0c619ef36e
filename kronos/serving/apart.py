"""The engine in a process of its own: it loads a model while this process imports something else.

A call of the interface travels as a number, a name and its arguments, in the bytes of `wire`; its
answer as the same number and a value. The child ends when its standard input does, and so with
its parent, whatever ended that.
"""

from __future__ import annotations

import itertools
import os
import signal
import struct
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from kronos.errors import Busy, ServiceUnreachable
from kronos.serving.interface import ForecastService
from kronos.system import exit_without_collecting

if TYPE_CHECKING:
    from kronos.request import EngineRequest, ModelFacts
    from kronos.serving.jobs import JobStatus
    from kronos.serving.model_cache import LoadedModel

__all__ = ["EngineProcess"]

_SIZE = struct.Struct("<Q")


class EngineProcess(ForecastService):
    """The service of this process, moved into a child; any thread may call.

    Making one imports neither torch nor pandas and returns at once.
    """

    def __init__(self, warm: str = "") -> None:
        """Args:
        warm: A model that the child loads before it is asked; "" for none.
        """
        self._child = subprocess.Popen(
            [sys.executable, "-m", "kronos.serving.apart", warm],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self._is_closed = False
        threading.Thread(target=self._read, name="engine-answers", daemon=True).start()

    def submit(self, request: EngineRequest, *, owner: str, **options: Any) -> JobStatus:
        """See `ForecastService.submit`."""
        found: JobStatus = self._ask("submit", request, owner=owner, **options)
        return found

    def status(self, key: str, *, owner: str | None = None) -> JobStatus | None:
        """See `ForecastService.status`."""
        found: JobStatus | None = self._ask("status", key, owner=owner)
        return found

    def result(self, key: str, *, owner: str, timeout: float | None = None) -> Any:
        """See `ForecastService.result`."""
        return self._ask("result", key, owner=owner, timeout=timeout)

    def leave(self, key: str, *, owner: str) -> None:
        """See `ForecastService.leave`."""
        self._ask("leave", key, owner=owner)

    def leave_all(self, *, owner: str) -> tuple[str, ...]:
        """See `ForecastService.leave_all`."""
        found: tuple[str, ...] = self._ask("leave_all", owner=owner)
        return found

    def offer(self, key: str, answer: Any) -> None:
        """See `ForecastService.offer`."""
        self._ask("offer", key, answer)

    def facts(self, model: str) -> ModelFacts:
        """See `ForecastService.facts`."""
        found: ModelFacts = self._ask("facts", model)
        return found

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """See `ForecastService.models`."""
        found: tuple[LoadedModel, ...] = self._ask("models")
        return found

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called, or the child has ended."""
        return self._is_closed

    def close(self, timeout: float = 5.0) -> bool:
        """End the child; True if it ended by itself within `timeout` seconds."""
        with self._lock:
            self._is_closed = True
            with suppress(OSError):
                _pipe(self._child.stdin).close()
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            return False
        return True

    def _ask(self, name: str, *args: Any, **options: Any) -> Any:
        from kronos.serving.wire import dump

        number, answer = next(self._numbers), Future[Any]()
        message = dump((number, name, args, options))
        with self._lock:
            if self._is_closed:
                raise Busy("The engine's process has ended; open the service again.")
            self._waiting[number] = answer
            with suppress(OSError):  # it has ended: the reader says so to all who wait
                _write(_pipe(self._child.stdin), message)
        return answer.result()

    def _read(self) -> None:
        answers = _pipe(self._child.stdout)
        while (message := _read(answers)) is not None:
            from kronos.serving.wire import load

            number, found = load(message)
            with self._lock:
                answer = self._waiting.pop(number)
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)
        with self._lock:
            self._is_closed = True
            lost = [*self._waiting.values()]
            self._waiting.clear()
        answers.close()
        for answer in lost:
            answer.set_exception(
                ServiceUnreachable(
                    f"The process of the engine has ended (exit status {self._child.wait()}). What "
                    "it wrote on standard error says why; ask again to start another."
                )
            )


def main(warm: str) -> None:
    """Answer what comes by standard input until it ends; runs in the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent, whose end is ours
    output = sys.stdout.fileno()
    answers = os.fdopen(os.dup(output), "wb")
    os.dup2(sys.stderr.fileno(), output)  # what a library prints is no answer

    from kronos.serving.torch_setup import prepare_torch

    threading.Thread(target=prepare_torch, name="torch", daemon=True).start()
    from kronos.serving.requests import WarmUpRequest
    from kronos.serving.service import service
    from kronos.serving.wire import dump, load

    lock = threading.Lock()

    def answer(number: int, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        found: Any
        try:
            found = getattr(service(), name)
            found = found(*args, **options) if callable(found) else found
        except Exception as error:  # noqa: BLE001 (whatever was raised is the caller's answer)
            found = error
        try:
            message = dump((number, found))
        except TypeError as error:
            message = dump((number, error))
        with lock:
            _write(answers, message)

    def load_first() -> None:
        request = WarmUpRequest(warm, service().facts(warm).revision)
        service().submit(request, owner="start", supersede=False)

    if warm:
        threading.Thread(target=load_first, name="warm-up", daemon=True).start()
    while (message := _read(sys.stdin.buffer)) is not None:
        # A thread for each: a question for a result may wait for long.
        threading.Thread(target=answer, args=load(message), daemon=True).start()
    exit_without_collecting()


def _pipe(found: IO[bytes] | None) -> IO[bytes]:
    assert found is not None
    return found


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(_SIZE.pack(len(message)) + message)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None at the end."""
    head = pipe.read(_SIZE.size)
    if len(head) < _SIZE.size:
        return None
    return pipe.read(int(_SIZE.unpack(head)[0]))


if __name__ == "__main__":
    main(sys.argv[1])
