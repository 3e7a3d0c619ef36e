"""What a tokenizer keeps of bars: the candles that its tokens decode to, and the codes in use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kronos.context import CLOSE, PRICES, VOLUME

__all__ = ["CodeUse", "Reconstruction"]


@dataclass(frozen=True, slots=True)
class CodeUse:
    """How much of a codebook some bars use.

    Attributes:
        distinct: Codes that occur.
        size: Codes there are.
        perplexity: Exponential of the entropy of their shares: as many codes, equally frequent,
            would be as varied.
    """

    distinct: int
    size: int
    perplexity: float

    @classmethod
    def of(cls, ids: np.ndarray, size: int) -> CodeUse:
        """Of the codes (T,) of some bars."""
        counts = np.unique(ids, return_counts=True)[1]
        shares = counts / counts.sum()
        return cls(len(counts), size, float(np.exp(-(shares * np.log(shares)).sum())))


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """Bars, and what a model makes of their tokens.

    Attributes:
        bars: (T, 6) candles that the model read.
        coarse: (T, 6) candles decoded from s1 alone.
        full: (T, 6) candles decoded from s1 and s2.
        s1: How the bars use the coarse codes.
        s2: How they use the fine ones.
    """

    bars: np.ndarray
    coarse: np.ndarray
    full: np.ndarray
    s1: CodeUse
    s2: CodeUse

    @property
    def sigma(self) -> float:
        """Root mean square of the log-returns of the closes: the move of a usual bar."""
        return float(np.sqrt(np.mean(np.diff(np.log(self.bars[:, CLOSE])) ** 2)))

    def price_errors(self, made: np.ndarray) -> np.ndarray:
        """Log-distance of candles (T, 6) from the bars in sigmas of a bar: (T, 4).

        NaN where prices never move, and where a decoded price is not above 0.
        """
        prices = np.where(made[:, PRICES] > 0, made[:, PRICES], np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.abs(np.log(prices / self.bars[:, PRICES])) / (self.sigma or np.nan)

    def volume_errors(self, made: np.ndarray) -> np.ndarray:
        """Distance of the volume of candles (T, 6) over the mean volume of the bars: (T,).

        NaN without volume.
        """
        mean = float(self.bars[:, VOLUME].mean())
        return np.abs(made[:, VOLUME] - self.bars[:, VOLUME]) / (mean or np.nan)
