"""What passes between a command and its workers on a cluster.

Lines of the log come, the wish to stop goes, by an actor on the command's own node. Workers first
check that their node is as the command's is.
"""

from __future__ import annotations

import asyncio
import math
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from kronos import models
from kronos.errors import InvalidRequest, KronosError, RevisionMismatch
from kronos.finetune.job import Hooks, Result
from kronos.serving.cluster.connection import code_digest, load_ray

__all__ = ["LOOK_EVERY", "OWN", "Site", "Watch", "at_work", "on_this_node"]

LOOK_EVERY = 0.25
"""Seconds between two looks at the workers."""
_ROOM_SECONDS = 30.0
"""Seconds without a worker after which the command says what it waits for."""
_SIGHT_SECONDS = 10.0
"""A file that one node writes may be seen by another some seconds later."""
OWN = ".ray"
"""Folder beside the runs, for the marker and for Ray Train's own files; removed at the end."""


def on_this_node(what: Any, **options: Any) -> Any:
    """An actor or a task that is lost only with the command's own node, without a processor."""
    ray = load_ray()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here, **options)(what)


@contextmanager
def at_work(folder: Path, base: models.Located, room: dict[str, float]) -> Iterator[Site]:
    """A board on this node and a marker in a folder, for as long as workers need them."""
    board = on_this_node(_Board).remote()
    own, marker = folder / OWN, uuid4().hex
    own.mkdir(parents=True, exist_ok=True)
    (own / marker).touch()
    try:
        yield Site(
            board, marker, code_digest(), base.reference,
            models.weights_sha256(base.model)[:16], "cuda" if "GPU" in room else "cpu",
        )  # fmt: skip
    finally:
        board.stop.remote()  # of runs that go on where this command does not
        (own / marker).unlink(missing_ok=True)
        shutil.rmtree(own / "train", ignore_errors=True)
        with suppress(OSError):  # another command is at work there
            own.rmdir()


@dataclass(frozen=True, slots=True)
class Site:
    """What a worker must know of the command that it works for."""

    board: Any
    marker: str
    code: str
    base: str
    base_sha256: str
    device: str

    def enter(self, folder: Path) -> models.Located:
        """Check that this node is as the command's is; the base as it lies here.

        Raises:
            InvalidRequest: The folder is another one here.
            RevisionMismatch: Code or base are other ones here.
            CheckpointUnavailable: The base is not here.
        """
        node, end = platform.node(), time.monotonic() + _SIGHT_SECONDS
        while not (folder / OWN / self.marker).is_file():
            if time.monotonic() > end:
                raise InvalidRequest(
                    f"{folder} on {node} is not the folder that this command sees. It must be on "
                    "storage that all nodes of the cluster share, under the same path."
                )
            time.sleep(LOOK_EVERY)
        base = models.locate(self.base)
        for what, own, theirs in (
            ("code", code_digest(), self.code),
            ("weights of the base", models.weights_sha256(base.model)[:16], self.base_sha256),
        ):
            if own != theirs:
                raise RevisionMismatch(
                    f"{node} has other {what} ({own}) than this command ({theirs}), and would "
                    "train another model. Install the same on all nodes."
                )
        return base

    def hooks(self, run: str) -> Hooks:
        """Hooks that tell the command, and end the run when it asks."""
        ray, board = load_ray(), self.board
        asked = board.stopped.remote()
        return Hooks(
            lambda line: board.tell.remote(run, line),
            lambda: bool(ray.wait([asked], timeout=0)[0]),  # a look at this node alone
            self.device,
        )


class _Board:
    """An actor of the command's node, on which workers leave lines and find the wish to stop."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, dict[str, Any] | None]] = []
        self._stop = asyncio.Event()
        self._end: Result | KronosError | None = None

    async def tell(self, run: str, line: dict[str, Any] | None) -> None:
        """A line of a run's log; None where the run starts, again or for the first time."""
        self._lines.append((run, line))

    async def finish(self, end: Result | KronosError) -> None:
        """The end of the only run; the first word counts."""
        self._end = self._end or end

    async def look(self) -> tuple[list[tuple[str, dict[str, Any] | None]], Any]:
        """Lines since the last look, and the end."""
        lines, self._lines = self._lines, []
        return lines, self._end

    async def is_refused(self) -> bool:
        return isinstance(self._end, KronosError)

    async def stop(self) -> None:
        self._stop.set()

    async def stopped(self) -> None:
        """Returns once the command wants the runs to stop."""
        await self._stop.wait()


class Watch:
    """Shows what stands on the board, and brings there the wish to stop.

    Attributes:
        starts: How often each run has started.
        end: The end of the only run.
        is_stopped: Whether runs were asked to stop.
    """

    def __init__(
        self,
        board: Any,
        hooks: Hooks,
        say: Callable[[str], None],
        room: str,
        show: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self.starts: Counter[str] = Counter()
        self.end: Any = None
        self.is_stopped = False
        self._board, self._hooks, self._say, self._show = board, hooks, say, show
        self._room, self._late = room, time.monotonic() + _ROOM_SECONDS

    def look(self) -> None:
        ray = load_ray()
        if not self.is_stopped and self._hooks.stop is not None and self._hooks.stop():
            self.is_stopped = True
            ray.get(self._board.stop.remote())
        lines, self.end = ray.get(self._board.look.remote())
        for run, line in lines:
            if line is None:
                self._start(run)
            elif self._show is not None:
                self._show(run, line)
            elif self._hooks.watch is not None:
                self._hooks.watch(line)
        if not self.starts and time.monotonic() > self._late:
            self._late = math.inf
            free = ray.available_resources()
            self._say(
                f"No worker has started for {_ROOM_SECONDS:.0f} s. Asked for: {self._room}; free: "
                f"{free.get('CPU', 0):g} CPU, {free.get('GPU', 0):g} GPU. A run starts once there "
                "is room."
            )

    def _start(self, run: str) -> None:
        self.starts[run] += 1
        if self.starts[run] > 1:
            of = f"{run}: its" if run else "A"
            self._say(f"{of} worker was lost. The run goes on from its last checkpoint.")
