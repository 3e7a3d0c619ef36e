"""The models in memory: loaded on demand, unloaded when others need the room."""

from __future__ import annotations

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kronos.errors import RevisionMismatch
from kronos.forecast import Progress
from kronos.forecasters.base import Forecaster, Placement
from kronos.system import is_out_of_memory, total_bytes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        name: Name it was loaded by.
        revision: Revision of its weights that was requested; may be empty.
        n_bytes: Memory of the weights.
        placement: Where it computes; None where unknown.
    """

    name: str
    revision: str
    n_bytes: int
    placement: Placement | None


Load = Callable[[str, Progress], Forecaster]
"""Loads a forecaster by the name of its model."""


class ModelCache:
    """Loaded models within a budget of memory, the least recently used unloaded first.

    Used by one thread; others may read `contents`.

    Attributes:
        contents: What is loaded, the least recently used first.
    """

    def __init__(self, load: Load, budget: int | None = None) -> None:
        """Args:
        load: Loads a model.
        budget: Bytes of weights in memory; None for half of the machine's memory. One model
            stays whatever its size.
        """
        self._load = load
        self._budget = budget if budget is not None else (total_bytes() or 8 << 30) // 2
        self._loaded: OrderedDict[tuple[str, str], Forecaster] = OrderedDict()
        self.contents: tuple[LoadedModel, ...] = ()

    @property
    def n_bytes(self) -> int:
        return sum(forecaster.n_bytes for forecaster in self._loaded.values())

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._loaded

    def get(
        self, key: tuple[str, str], progress: Progress, in_use: Sequence[Forecaster] = ()
    ) -> Forecaster:
        """The model of a name and revision, loaded if it is not.

        Args:
            key: Name and revision; another revision under a known name is loaded anew.
            progress: Called while downloading.
            in_use: Models that must stay.

        Raises:
            RevisionMismatch: The weights that can be loaded are of another revision.
            KronosError: The model cannot be loaded.
        """
        if key not in self._loaded:
            forecaster = self._load_with_room(key[0], progress, in_use)
            name, wanted = key
            if wanted and forecaster.revision != wanted:
                raise RevisionMismatch(
                    f"The forecast was requested of {name} with weights of revision "
                    f"{wanted[:16]}; this machine has revision {forecaster.revision[:16]}. Press "
                    "Run again to use the weights that are here, or put the others back."
                )
            self._loaded[key] = forecaster
            while self.n_bytes > self._budget and self._unload_one([*in_use, self._loaded[key]]):
                pass
        if next(reversed(self._loaded)) != key or len(self.contents) != len(self._loaded):
            self._loaded.move_to_end(key)
            self._publish()
        return self._loaded[key]

    def clear(self) -> None:
        """Unload everything."""
        self._loaded.clear()
        self._publish()
        gc.collect()

    def _publish(self) -> None:
        # One assignment: other threads see the old contents or the new ones.
        self.contents = tuple(
            LoadedModel(name, revision, forecaster.n_bytes, forecaster.placement)
            for (name, revision), forecaster in self._loaded.items()
        )

    def _load_with_room(
        self, name: str, progress: Progress, in_use: Sequence[Forecaster]
    ) -> Forecaster:
        while True:
            try:
                return self._load(name, progress)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or not self._unload_one(in_use):
                    raise

    def _unload_one(self, in_use: Sequence[Forecaster]) -> bool:
        for key, forecaster in self._loaded.items():
            if not any(forecaster is other for other in in_use):
                del self._loaded[key]
                self._publish()
                logger.info("Unloaded the model %s.", key[0])
                gc.collect()
                return True
        return False
