"""The models in memory: loaded when asked for, unloaded when others need the room."""

from __future__ import annotations

import gc
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kronos.forecast import Progress

if TYPE_CHECKING:
    from kronos.inference.generate import Decoder

logger = logging.getLogger(__name__)


class Predictor(Protocol):
    """What the engine needs of a loaded model.

    Attributes:
        decoder: Takes the steps of its series; None where it draws nothing step by step.
    """

    decoder: Decoder | None

    @property
    def n_bytes(self) -> int:
        """Memory of the weights."""
        ...


Load = Callable[[str, Progress], Any]
"""Loads a model by its name, as `kronos.zoo.load` does, and returns a `Predictor`."""


class ModelShelf:
    """Loaded models within a budget of memory, the least recently used given up first.

    Used by one thread.
    """

    def __init__(self, load: Load, budget: int | None = None) -> None:
        """Args:
        load: Loads a model.
        budget: Bytes of weights kept; None for half of the machine's memory. One model is kept
            whatever its size.
        """
        self._load = load
        self._budget = budget if budget is not None else _half_of_memory()
        self._loaded: OrderedDict[tuple[str, str], Predictor] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """Names of the loaded models, the least recently used first."""
        return [name for name, _ in self._loaded]

    @property
    def n_bytes(self) -> int:
        return sum(predictor.n_bytes for predictor in self._loaded.values())

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._loaded

    def get(
        self, key: tuple[str, str], progress: Progress, in_use: Sequence[Predictor] = ()
    ) -> Predictor:
        """The model of a name and revision, loaded if it is not.

        Args:
            key: Name and revision; another revision under a known name is loaded anew.
            progress: Called while downloading.
            in_use: Models that must stay.
        """
        if key not in self._loaded:
            self._loaded[key] = self._load_with_room(key[0], progress, in_use)
            while self.n_bytes > self._budget and self._unload_one([*in_use, self._loaded[key]]):
                pass
        self._loaded.move_to_end(key)
        return self._loaded[key]

    def clear(self) -> None:
        """Unloads everything."""
        self._loaded.clear()
        gc.collect()

    def _load_with_room(
        self, name: str, progress: Progress, in_use: Sequence[Predictor]
    ) -> Predictor:
        while True:
            try:
                return self._load(name, progress)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or not self._unload_one(in_use):
                    raise

    def _unload_one(self, in_use: Sequence[Predictor]) -> bool:
        for key, predictor in self._loaded.items():
            if not any(predictor is other for other in in_use):
                del self._loaded[key]
                logger.info("Unloaded the model %s.", key[0])
                gc.collect()
                return True
        return False


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, on whatever device."""
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError on a GPU; on the CPU a plain RuntimeError that says so.
    text = str(error).casefold()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't alloc" in text)


def _half_of_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):  # where the system does not tell
        return 4 << 30
