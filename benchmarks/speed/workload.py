"""What is forecast: a checkpoint, bars of the bundled sample, and the counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from kronos import models
from kronos.forecast import SamplingParameters
from kronos.models.checkpoints import Card
from kronos.nn.checkpoint import save_checkpoint
from kronos.nn.config import SIZES, WEIGHTS_NAME, published_tokenizer
from kronos.nn.model import Kronos
from kronos.nn.tokenizer import KronosTokenizer
from kronos.system import asset_path

SAMPLE = "ETHUSD_1h.csv"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights on this disk.

    Attributes:
        name: Name shown in the tables.
        origin: Where the weights come from, in words.
        model: Folder of the model.
        tokenizer: Folder of its tokenizer.
        max_context: Most bars the model reads at once.
    """

    name: str
    origin: str
    model: Path
    tokenizer: Path
    max_context: int


@dataclass(frozen=True, slots=True)
class Workload:
    """One forecast to time.

    Attributes:
        checkpoint: The weights.
        context: Bars read of every series.
        paths: Paths drawn of every series.
        horizon: Steps.
        device: Where to compute, "cpu" or "cuda".
        dtype: Type of the model's weights, "float32" or "bfloat16".
        n_series: Series forecast in one call.
    """

    checkpoint: Checkpoint
    context: int
    paths: int
    horizon: int
    device: str = "cpu"
    dtype: str = "float32"
    n_series: int = 1

    @property
    def sampling(self) -> SamplingParameters:
        """How the paths are drawn: the defaults of the published `predict`."""
        return SamplingParameters(T=1.0, top_p=0.9, top_k=0, sample_count=self.paths, seed=0)

    def series(self) -> list[pd.DataFrame]:
        """`n_series` stretches of `context` bars, indexed by time.

        Raises:
            ValueError: The sample is shorter than one context.
        """
        # Without the amount, which is empty: every engine derives it from the volume.
        columns = ["timestamp", "open", "high", "low", "close", "volume"]
        bars = pd.read_csv(
            asset_path("samples", SAMPLE),
            usecols=columns,
            index_col="timestamp",
            parse_dates=["timestamp"],
        )
        room = len(bars) - self.context + 1
        if room < 1:
            raise ValueError(
                f"The sample has {len(bars)} bars, the context needs {self.context}. Choose a "
                "shorter --context."
            )
        starts = [13 * i % room for i in range(self.n_series)]
        return [bars.iloc[start : start + self.context] for start in starts]

    def future(self, bars: pd.DataFrame, n_steps: int | None = None) -> pd.DatetimeIndex:
        """Times of the next `n_steps` hours after `bars`; of the whole horizon when None."""
        n_steps = self.horizon if n_steps is None else n_steps
        return pd.date_range(bars.index[-1], periods=n_steps + 1, freq="h")[1:]


def prepare(size: str, scratch: Path) -> Checkpoint:
    """Finds the weights of a published size or of a checkpoint folder.

    A published checkpoint that is not on this machine is replaced by random weights of its
    configuration: the time of a step does not depend on the values.

    Args:
        size: A name such as "small", or the path of a folder with model/ and tokenizer/.
        scratch: Where random weights are written; those of an earlier call are taken again.

    Raises:
        CheckpointError: The folder cannot be used.
        InvalidRequest: There is no such size.
    """
    if size not in SIZES:
        model, tokenizer = models.checkpoint_pair(size)
        card = Card.read(Path(size)) or Card()
        return Checkpoint(Path(size).name, "checkpoint folder", model, tokenizer, card.max_context)
    known = {entry.name: entry for entry in models.available()}.get(size)
    max_context = known.max_context if known else 512
    if known and known.state == "cached":
        pair = models.checkpoint_pair(size)
        return Checkpoint(size, f"published weights {known.revision[:8]}", *pair, max_context)
    folder = scratch / size
    if not (folder / "tokenizer" / WEIGHTS_NAME).is_file():
        torch.manual_seed(0)
        save_checkpoint(Kronos(**SIZES[size].to_dict()), folder / "model")
        bits_per_group = 5 if size == "mini" else 4
        tokenizer_config = published_tokenizer(bits_per_group).to_dict()
        save_checkpoint(KronosTokenizer(**tokenizer_config), folder / "tokenizer")
    origin = "random weights of the published configuration (time does not depend on the values)"
    return Checkpoint(size, origin, folder / "model", folder / "tokenizer", max_context)
