"""Candles to the numbers that a tokenizer reads, and back.

"window" is the published way: every column minus its mean over the context, divided by its standard
deviation there. "returns" reads every bar in units of the volatility before it, so that a number
means the same in any window, at any price and interval, and no bar depends on a later one:

- close: log-return from the previous close over sigma,
- open: log-return from the previous close over sigma,
- high, low: log-distance above and below the body (open to close) over sigma,
- volume: log of its ratio to the running mean of volumes,
- amount: log of amount / (volume * mean price) over the running mean of that ratio.

The first four are compressed by asinh, which keeps small moves as they are and makes room for a gap
of tens of sigmas. sigma**2 is the mean of a fast and a slow exponential average of squared returns,
each return cut off at `OUTLIER` sigmas. A path continues the averages with its own bars, so that a
large bar widens the next ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from kronos.context import AMOUNT, CLOSE, PRICES, VOLUME, Context, require_positive_prices
from kronos.nn.config import Normalisation

FAST, SLOW = 0.94, 0.985
"""Weights of the past in the two averages of squared returns."""
OUTLIER = 5.0
FLOOR = 1e-7
"""Least sigma: smaller returns are rounding of the prices."""
VOLUME_DECAY = 0.95
VOLUME_OFFSET = 0.05
"""Added to the ratio of volumes, so that a bar without trades has a logarithm."""
N_FIRST = 32
"""Bars at the beginning of a window whose means begin the averages."""
_OPEN, _HIGH, _LOW = 0, 1, 2


class WindowScale:
    """A context normalised as a whole."""

    def __init__(self, context: Context, clip: float) -> None:
        self._context, self._mean, self._scale = context, context.mean, context.scale
        self.z = np.clip((context.values - self._mean) / self._scale, -clip, clip)
        """(T, 6) what the tokenizer reads."""

    def candles(self, z: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Paths (N, H, 6) and the last bar (6,) as the tokenizer decodes them, as candles."""
        return z * self._scale + self._mean, last * self._scale + self._mean

    def decoded(self, z: np.ndarray) -> np.ndarray:
        """The bars of the context as the tokenizer decodes them (T, 6), as candles."""
        return np.asarray(z * self._scale + self._mean)


class ReturnScale:
    """A context of which every bar is in units of the volatility before it."""

    def __init__(self, context: Context, clip: float) -> None:
        """Raises:
        InvalidCandles: A price is not above 0.
        """
        require_positive_prices(context.values)
        self._values, self._clip = context.values, clip
        z, self._scales = return_features(context.values[None], clip)
        self.z = z[0]
        """(T, 6) what the tokenizer reads."""

    def candles(self, z: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Paths (N, H, 6) as candles, and the last bar itself: paths begin at its close."""
        scales, paths = self._scales.repeated(len(z)), np.empty(z.shape)
        moves = np.clip(z, -self._clip, self._clip)
        moves[..., PRICES] = np.sinh(moves[..., PRICES])
        for step in range(z.shape[1]):
            paths[:, step] = scales.advance_by(moves[:, step])
        return paths, self._values[-1].copy()

    def decoded(self, z: np.ndarray) -> np.ndarray:
        """The bars of the context as the tokenizer decodes them (T, 6), as candles.

        Each begins at the true close before it.
        """
        steps = _Steps.of(self._values[None])
        scales, before = steps.scales(), steps.before[0]
        sigma, volume, ratio = _running(scales, steps.returns[0], steps.volume[0], steps.ratio[0]).T
        moves = np.clip(z, -self._clip, self._clip)
        moves[:, PRICES] = np.sinh(moves[:, PRICES])
        return _Scales(sigma**2, sigma**2, volume, ratio, before).advance_by(moves)


def normalised(context: Context, kind: Normalisation, clip: float) -> WindowScale | ReturnScale:
    """A context as a tokenizer reads it.

    Args:
        context: The bars.
        kind: That of the tokenizer's configuration.
        clip: Values are clipped to +-clip.

    Raises:
        InvalidCandles: A price is not above 0, and the tokenizer reads returns.
    """
    return (ReturnScale if kind == "returns" else WindowScale)(context, clip)


def return_features(values: np.ndarray, clip: float) -> tuple[np.ndarray, _Scales]:
    """What a tokenizer of "returns" reads.

    Args:
        values: (B, T, 6) candles, prices above 0.
        clip: The result is clipped to +-clip.

    Returns:
        (B, T, 6), and the scales after the last bar.
    """
    steps = _Steps.of(values)
    prices, before, close = steps.prices, steps.before, steps.prices[..., CLOSE]
    volume, ratio = steps.volume, steps.ratio
    scales = steps.scales()
    T = values.shape[1]
    sigma, mean_volume, mean_ratio = (np.empty((T, len(values))) for _ in range(3))
    returns, volumes, ratios = (np.ascontiguousarray(x.T) for x in (steps.returns, volume, ratio))
    if len(values) == 1:
        before_each = _running(scales, returns[:, 0], volumes[:, 0], ratios[:, 0])
        sigma[:, 0], mean_volume[:, 0], mean_ratio[:, 0] = before_each.T
    else:
        for t in range(T):
            sigma[t], mean_volume[t], mean_ratio[t] = scales.sigma, scales.volume, scales.ratio
            scales.update(returns[t], volumes[t], ratios[t])
    scales.close = close[:, -1]
    z = np.empty(values.shape)
    body_high = np.maximum(prices[..., _OPEN], close)
    body_low = np.minimum(prices[..., _OPEN], close)
    z[..., _OPEN] = prices[..., _OPEN] - before
    z[..., _HIGH] = prices[..., _HIGH] - body_high
    z[..., _LOW] = body_low - prices[..., _LOW]
    z[..., CLOSE] = steps.returns
    z[..., PRICES] = np.arcsinh(z[..., PRICES] / sigma.T[..., None])
    z[..., VOLUME] = _log_ratio(volume, mean_volume.T, VOLUME_OFFSET)
    z[..., AMOUNT] = np.where(ratio > 0, _log_ratio(ratio, mean_ratio.T, 0.0), 0.0)
    return np.clip(z, -clip, clip), scales


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """From bar to bar of windows: prices (B, T, 4) in logs, all else (B, T).

    Attributes:
        prices: Logs of the prices.
        before: Log of the close before each bar; of the first its open.
        returns: Log-returns of the close.
        volume: Volumes.
        ratio: Amount over volume times mean price; 0 without either.
    """

    prices: np.ndarray
    before: np.ndarray
    returns: np.ndarray
    volume: np.ndarray
    ratio: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> _Steps:
        prices = np.log(values[..., PRICES])
        close = prices[..., CLOSE]
        before = np.concatenate([prices[:, :1, _OPEN], close[:, :-1]], axis=1)
        volume, amount = values[..., VOLUME], values[..., AMOUNT]
        worth = volume * values[..., PRICES].mean(axis=-1)
        ratio = np.divide(amount, worth, out=np.zeros_like(worth), where=(worth > 0) & (amount > 0))
        return cls(prices, before, close - before, volume, ratio)

    def scales(self) -> _Scales:
        """The scales before the first bar."""
        return _Scales.at_start(self.returns, self.volume, self.ratio, self.prices[:, 0, CLOSE])


@dataclass(slots=True)
class _Scales:
    """The running scales of B series; every field is (B,)."""

    fast: np.ndarray
    slow: np.ndarray
    volume: np.ndarray
    ratio: np.ndarray
    close: np.ndarray

    @classmethod
    def at_start(
        cls, returns: np.ndarray, volume: np.ndarray, ratio: np.ndarray, close: np.ndarray
    ) -> _Scales:
        # The mean of absolute returns: one gap among so few bars would double a mean of squares.
        sigma = np.abs(returns[:, :N_FIRST]).mean(axis=1) * np.sqrt(np.pi / 2)
        variance = np.maximum(sigma, FLOOR) ** 2
        first = ratio[:, :N_FIRST]
        n_known = np.maximum((first > 0).sum(axis=1), 1)
        return cls(
            variance,
            variance.copy(),
            volume[:, :N_FIRST].mean(axis=1),
            first.sum(axis=1) / n_known,
            close,
        )

    def repeated(self, n: int) -> _Scales:
        """The scales of one series, for n paths."""
        parts = (self.fast, self.slow, self.volume, self.ratio, self.close)
        return _Scales(*(np.repeat(part, n) for part in parts))

    @property
    def sigma(self) -> np.ndarray:
        return np.maximum(np.sqrt((self.fast + self.slow) / 2), FLOOR)

    def update(self, returns: np.ndarray, volume: np.ndarray, ratio: np.ndarray) -> None:
        """Continues the averages with a bar."""
        limit = OUTLIER * self.sigma
        squared = np.clip(returns, -limit, limit) ** 2
        self.fast = FAST * self.fast + (1 - FAST) * squared
        self.slow = SLOW * self.slow + (1 - SLOW) * squared
        self.volume = VOLUME_DECAY * self.volume + (1 - VOLUME_DECAY) * volume
        # A series begins its averages with the first bar that has any.
        self.ratio = np.where(
            (ratio > 0) & (self.ratio > 0),
            VOLUME_DECAY * self.ratio + (1 - VOLUME_DECAY) * ratio,
            np.maximum(self.ratio, ratio),
        )

    def advance_by(self, moves: np.ndarray) -> np.ndarray:
        """The next candles (B, 6), of moves in sigmas and logs (B, 6)."""
        sigma, candles = self.sigma, np.empty(moves.shape)
        returns = moves[:, CLOSE] * sigma
        close = self.close + returns
        opening = self.close + moves[:, _OPEN] * sigma
        candles[:, _OPEN], candles[:, CLOSE] = opening, close
        candles[:, _HIGH] = np.maximum(opening, close) + np.maximum(moves[:, _HIGH], 0) * sigma
        candles[:, _LOW] = np.minimum(opening, close) - np.maximum(moves[:, _LOW], 0) * sigma
        candles[:, PRICES] = np.exp(candles[:, PRICES])
        volume = self.volume * np.maximum(np.exp(moves[:, VOLUME]) - VOLUME_OFFSET, 0.0)
        ratio = self.ratio * np.exp(moves[:, AMOUNT])
        candles[:, VOLUME] = volume
        candles[:, AMOUNT] = volume * candles[:, PRICES].mean(axis=-1) * ratio
        self.update(returns, volume, np.where(volume > 0, ratio, 0.0))
        self.close = close
        return candles


def _running(
    scales: _Scales, returns: np.ndarray, volumes: np.ndarray, ratios: np.ndarray
) -> np.ndarray:
    """Continues the scales of one series with its bars (T,), as `_Scales.update` does.

    The same operations on Python's numbers: arrays of one element take ten times as long.

    Returns:
        (T, 3) sigma, volume and ratio before each bar.
    """
    fast, slow, volume, ratio = (
        float(part[0]) for part in (scales.fast, scales.slow, scales.volume, scales.ratio)
    )
    rows = []
    for r, v, x in zip(returns.tolist(), volumes.tolist(), ratios.tolist(), strict=True):
        sigma = max(sqrt((fast + slow) / 2), FLOOR)
        rows.append((sigma, volume, ratio))
        limit = OUTLIER * sigma
        clipped = min(max(r, -limit), limit)
        squared = clipped * clipped
        fast = FAST * fast + (1 - FAST) * squared
        slow = SLOW * slow + (1 - SLOW) * squared
        volume = VOLUME_DECAY * volume + (1 - VOLUME_DECAY) * v
        if x > 0 and ratio > 0:
            ratio = VOLUME_DECAY * ratio + (1 - VOLUME_DECAY) * x
        else:
            ratio = max(ratio, x)
    scales.fast, scales.slow = np.array([fast]), np.array([slow])
    scales.volume, scales.ratio = np.array([volume]), np.array([ratio])
    return np.array(rows)


def _log_ratio(values: np.ndarray, means: np.ndarray, offset: float) -> np.ndarray:
    """Log of values over their means, plus an offset; 0 where there is no mean."""
    known = means > 0
    ratio = np.divide(values, means, out=np.ones_like(values), where=known) + offset
    return np.where(known, np.log(np.maximum(ratio, 1e-300)), 0.0)
