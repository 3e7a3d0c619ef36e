"""The models in memory: loaded when asked for, unloaded when others need the room."""

from __future__ import annotations

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kronos.forecast import Progress
from kronos.forecasters.base import Placement
from kronos.system import total_bytes

if TYPE_CHECKING:
    from kronos.decoding.decoder import Decoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        name: Name it was asked for by.
        revision: Revision of its weights, as far as it was asked for.
        n_bytes: Memory of the weights.
        placement: Where it computes; None where that is not known.
    """

    name: str
    revision: str
    n_bytes: int
    placement: Placement | None


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
"""Loads a model by its name, as `kronos.models.load` does, and returns a `Predictor`."""


class ModelCache:
    """Loaded models within a budget of memory, the least recently used given up first.

    Used by one thread; others may read `contents`.

    Attributes:
        contents: What is loaded, the least recently used first.
    """

    def __init__(self, load: Load, budget: int | None = None) -> None:
        """Args:
        load: Loads a model.
        budget: Bytes of weights kept; None for half of the machine's memory. One model is kept
            whatever its size.
        """
        self._load = load
        self._budget = budget if budget is not None else (total_bytes() or 8 << 30) // 2
        self._loaded: OrderedDict[tuple[str, str], Predictor] = OrderedDict()
        self.contents: tuple[LoadedModel, ...] = ()

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
        if next(reversed(self._loaded)) != key or len(self.contents) != len(self._loaded):
            self._loaded.move_to_end(key)
            self._publish()
        return self._loaded[key]

    def clear(self) -> None:
        """Unloads everything."""
        self._loaded.clear()
        self._publish()
        gc.collect()

    def _publish(self) -> None:
        # One assignment: other threads see the old contents or the new ones.
        self.contents = tuple(
            LoadedModel(name, revision, predictor.n_bytes, getattr(predictor, "placement", None))
            for (name, revision), predictor in self._loaded.items()
        )

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
                self._publish()
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
