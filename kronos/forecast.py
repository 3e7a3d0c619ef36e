"""Forecast: every sampled path, and the figures of their distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kronos import plot, risk
from kronos.errors import InvalidCandles, InvalidRequest
from kronos.risk import Estimate, FirstTouch, ImpliedView, RiskRow, Side

if TYPE_CHECKING:
    from kronos.plot import Axes, Bars

COLUMNS = ("open", "high", "low", "close", "volume", "amount")
DEFAULT_LEVELS = (0.10, 0.25, 0.50, 0.75, 0.90)

_RESAMPLES = 100
_MOST = 1e100  # largest value of a path: sums and squares of such values are finite

Progress = Callable[[int, int], None]
"""Called as progress(done, total) after every sampled step. Raising stops the forecast."""


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How futures are drawn.

    Attributes:
        T: Temperature; 1 is the model's own distribution, 0 the most likely token (greedy).
        top_p: Nucleus mass kept, in (0, 1]; 1 keeps all.
        top_k: Number of most likely tokens kept; 0 keeps all.
        sample_count: Number of paths N.
        seed: Seed of the draws; path i depends on (seed, i) alone.
    """

    T: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    sample_count: int = 100
    seed: int = 0

    @property
    def narrows(self) -> bool:
        """Whether some tokens cannot be drawn: greedy, or filtered by top-k or top-p."""
        return self.T == 0.0 or self.top_k > 0 or self.top_p < 1.0

    def require_plain(self, model: str, why: str) -> None:
        """Refuse T, top-p and top-k for a model without tokens.

        Args:
            model: Its name.
            why: Why they have no effect, as half a sentence.

        Raises:
            InvalidRequest: One of them differs from its neutral value.
        """
        for name, plain in (("T", 1.0), ("top_p", 1.0), ("top_k", 0)):
            found = getattr(self, name)
            if found != plain:
                raise InvalidRequest(
                    f"{name} must be {plain:g} for {model}, found {found:g}: {why}, so that "
                    "temperature, top-p and top-k have nothing to act on."
                )

    def __post_init__(self) -> None:
        for name in ("T", "top_p"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise InvalidRequest(f"{name} must be a number, found {value!r}.")
        if not 0.0 <= self.T <= 10.0:
            raise InvalidRequest(f"T must be between 0 (greedy) and 10, found {self.T}.")
        if not 0.0 < self.top_p <= 1.0:
            raise InvalidRequest(
                f"top_p must be above 0 and at most 1, found {self.top_p}; 1 keeps every token."
            )
        for name, low, high, hint in (
            ("top_k", 0, 2**20, "; 0 keeps all"),
            ("sample_count", 1, 10_000, ""),
            ("seed", 0, 2**63 - 1, ""),
        ):
            value = whole_number(getattr(self, name), name)
            if not low <= value <= high:
                raise InvalidRequest(f"{name} must be from {low} to {high:,}, found {value}{hint}.")
            object.__setattr__(self, name, value)


@lru_cache(maxsize=4)
def path_uniforms(seed: int, n_paths: int, horizon: int) -> np.ndarray:
    """The noise of every path: (n_paths, horizon, 2) float64 in [0, 1), two numbers a step.

    Path i draws from its own counter-based stream keyed by (seed, i), so a path does not depend on
    the number of paths, the horizon, or the rest of the batch. The array is kept for the next
    window of a walk, and cannot be written to.
    """
    streams = (
        np.random.Generator(np.random.Philox(key=np.array([seed, i], dtype=np.uint64)))
        for i in range(n_paths)
    )
    noise = np.stack([stream.random((horizon, 2)) for stream in streams])
    noise.flags.writeable = False
    return noise


def whole_number(value: Any, name: str) -> int:
    """A whole number of any numeric type as int; 3.0 counts, True and 2.5 do not.

    Raises:
        InvalidRequest: It is not a whole number; the message calls it `name`.
    """
    try:
        if isinstance(value, bool | str) or int(value) != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(f"{name} must be a whole number, found {value!r}.") from None
    return int(value)


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Sampled futures of one instrument from one origin.

    Attributes:
        paths: (N, H, 6) float64 candles in the units of the data, columns as in `COLUMNS`.
        timestamps: (H,) open times of the forecast bars.
        origin: Timestamp of the last context bar.
        last_close: Close of the last context bar; returns are measured from it.
        parameters: How the paths were drawn.
        model_name: Name of the model.
        model_revision: Hub commit, or SHA-256 of the weights for local folders.
        context_hash: SHA-256 of the context bytes that the model read.
        n_context: Number of bars that the model read.
        anchor_factor: Factor of the prices that makes the decoded last close the true one; 1 when
            not anchored.
        seconds: Wall time of the forecast.
        events_hash: SHA-256 of the event rows that the model read; None where it read none.
        leaders: Leading market -> time of the last known bar whose event row holds it, or None
            where no row does; None without event rows. See `kronos.events.LEADERS`.
        calibration_hash: SHA-256 of the calibration of the paths; None for a raw fan.
        drift_shares: Of a calibrated fan: share of the raw fan's mean log-return that it keeps, at
            every step (H,); None for a raw fan, and of a calibration from before drift was learned.
        weights: Of an ensemble: member -> its weight at every step (H,); None for a single model.
        members: Of an ensemble: the members' forecasts, where they are still available.
        request_hash: Digest of the request; None for a forecast read from an earlier file.
    """

    paths: np.ndarray
    timestamps: pd.DatetimeIndex
    origin: pd.Timestamp
    last_close: float
    parameters: SamplingParameters
    model_name: str
    model_revision: str
    context_hash: str
    n_context: int
    anchor_factor: float = 1.0
    seconds: float = field(default=0.0)
    events_hash: str | None = None
    leaders: dict[str, str | None] | None = None
    calibration_hash: str | None = None
    weights: dict[str, tuple[float, ...]] | None = None
    members: tuple[Forecast, ...] = ()
    request_hash: str | None = None
    drift_shares: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.paths.ndim != 3 or self.paths.shape[2] != len(COLUMNS):
            raise InvalidRequest(f"paths must be (N, H, 6), found {self.paths.shape}.")
        if self.paths.shape[1] != len(self.timestamps):
            raise InvalidRequest(
                f"{self.paths.shape[1]} forecast bars but {len(self.timestamps)} timestamps."
            )
        if not (self.paths.max(initial=0.0) <= _MOST and self.paths.min(initial=0.0) >= -_MOST):
            raise InvalidCandles(
                f"The paths of {self.model_name} leave what numbers hold: a value is none or "
                f"beyond {_MOST:g}, from a last close of {self.last_close:g}. Look for bars in "
                "other units, or a price that is wrong by many digits."
            )

    @property
    def anchored(self) -> bool:
        return self.anchor_factor != 1.0

    @property
    def n_paths(self) -> int:
        return int(self.paths.shape[0])

    @property
    def horizon(self) -> int:
        return int(self.paths.shape[1])

    def column(self, name: str) -> np.ndarray:
        """Every path of one column: (N, H)."""
        if name not in COLUMNS:
            raise InvalidRequest(f"Unknown column {name!r}; the columns are {', '.join(COLUMNS)}.")
        return self.paths[:, :, COLUMNS.index(name)]

    def quantile(
        self, levels: Sequence[float] = DEFAULT_LEVELS, column: str = "close"
    ) -> np.ndarray:
        """Quantiles over paths at every step: (len(levels), H), in the units of the data."""
        wanted = np.asarray(levels, dtype=float)
        if wanted.ndim != 1 or not ((wanted >= 0) & (wanted <= 1)).all():
            raise InvalidRequest(f"Quantile levels lie between 0 and 1, found {wanted.tolist()}.")
        return np.quantile(self.column(column), wanted, axis=0)

    def mean(self) -> pd.DataFrame:
        """Mean over paths: (H, 6), the candle series that upstream returns."""
        return pd.DataFrame(self.paths.mean(axis=0), index=self.timestamps, columns=list(COLUMNS))

    def to_frame(
        self, levels: Sequence[float] = DEFAULT_LEVELS, column: str = "close"
    ) -> pd.DataFrame:
        """Quantiles as a table: one row a step, columns p10, p25, ... and the mean."""
        table = pd.DataFrame(
            self.quantile(levels, column).T,
            index=self.timestamps,
            columns=[f"p{level * 100:g}" for level in levels],
        )
        table["mean"] = self.column(column).mean(axis=0)
        table.index.name = "timestamp"
        return table

    def paths_frame(self) -> pd.DataFrame:
        """Every path as a long table: path, timestamp, open .. amount."""
        index = pd.MultiIndex.from_product(
            [range(self.n_paths), self.timestamps], names=["path", "timestamp"]
        )
        return pd.DataFrame(
            self.paths.reshape(-1, len(COLUMNS)), index=index, columns=list(COLUMNS)
        )

    def log_returns(self) -> np.ndarray:
        """Log-return of the close from the origin: (N, H)."""
        return np.log(self.column("close") / self.last_close)

    def probability_up(self) -> np.ndarray:
        """Share of paths whose close lies above the last close, at every step: (H,)."""
        return (self.column("close") > self.last_close).mean(axis=0)

    def probability_touch(self, level: float) -> float:
        """Share of paths whose high-low range reaches `level` at any step."""
        if not np.isfinite(level):
            raise InvalidRequest(f"The level to touch must be a number, found {level}.")
        if level >= self.last_close:
            touched = (self.column("high") >= level).any(axis=1)
        else:
            touched = (self.column("low") <= level).any(axis=1)
        return float(touched.mean())

    def returns(self) -> np.ndarray:
        """Return of the close from the origin, 0.02 for 2% up: (N, H)."""
        return self.column("close") / self.last_close - 1.0

    def value_at_risk(self, level: float = 0.95, side: Side = "long") -> Estimate:
        """Loss over the horizon that is exceeded with probability 1 - level, with its error."""
        return risk.value_at_risk(self.returns()[:, -1], level, side)

    def expected_shortfall(self, level: float = 0.95, side: Side = "long") -> Estimate:
        """Mean of the losses over the horizon beyond the value at risk, with its error."""
        return risk.expected_shortfall(self.returns()[:, -1], level, side)

    def drawdowns(self, side: Side = "long") -> np.ndarray:
        """The largest fall of every path from an earlier peak: (N,); see `kronos.risk.drawdowns`.

        For a short position the largest rise from an earlier trough.
        """
        opens, highs, lows = (self.column(name) for name in ("open", "high", "low"))
        return risk.drawdowns(opens, highs, lows, self.last_close, side)

    def probability_between(self, low: float, high: float) -> Estimate:
        """Share of paths that end between two prices, both included, with its error."""
        if not low < high:
            raise InvalidRequest(
                f"The lower price must be below the upper one, found {low:g} and {high:g}."
            )
        closes = self.column("close")[:, -1]
        return risk.share_of((closes >= low) & (closes <= high))

    def first_touch(self, stop: float, target: float) -> FirstTouch:
        """Whether a stop or a target is reached first; see `kronos.risk.first_touch`."""
        highs, lows = self.column("high"), self.column("low")
        return risk.first_touch(highs, lows, self.last_close, stop, target)

    def risk_rows(
        self,
        stop: float | None = None,
        target: float | None = None,
        *,
        budget: float | None = None,
        between: tuple[float, float] | None = None,
        implied: tuple[float, float] | None = None,
    ) -> list[RiskRow]:
        """Losses and drawdowns of both sides, and what concerns a position where it is given.

        Args:
            stop: Price at which it is closed with a loss.
            target: Price at which it is closed with a gain; see `first_touch`.
            budget: Share of the capital that may be lost at the stop.
            between: Two prices between which the close may end.
            implied: An annual volatility and the years of a bar; see `implied_view`.

        Raises:
            InvalidRequest: A figure makes no sense, or a target or a budget has no stop.
        """
        rows = []
        sides: tuple[Side, Side] = ("long", "short")
        for level in risk.CONFIDENCE:
            for name, measure in (
                ("Value at risk", self.value_at_risk),
                ("Expected shortfall", self.expected_shortfall),
            ):
                rows += [RiskRow(f"{name} {level:.0%}", s, measure(level, s)) for s in sides]
        falls = {side: self.drawdowns(side) for side in sides}
        for name, level in (("Drawdown, median", 0.5), ("Drawdown, 1 in 20", 0.95)):
            rows += [RiskRow(name, s, risk.quantile_of(falls[s], level)) for s in sides]
        if between is not None:
            rows.append(RiskRow("Close between", "", self.probability_between(*between)))
        if implied is not None:
            seen = self.implied_view(*implied)
            rows += [
                RiskRow("Beyond the implied 80% range", "", seen.beyond_implied),
                RiskRow("Implied beyond the fan's 80% range", "", seen.beyond_fan),
            ]
        if stop is None:
            if target is not None or budget is not None:
                raise InvalidRequest("A target and a risk budget need a stop.")
            return rows
        side: Side = "long" if stop < self.last_close else "short"
        if target is not None:
            touch = self.first_touch(stop, target)
            rows += [
                RiskRow("Stop first", side, touch.stop),
                RiskRow("Target first", side, touch.target),
                RiskRow("Neither", side, touch.neither),
                RiskRow("Both in one bar", side, touch.both),
                RiskRow("Bars to stop", side, touch.bars_to_stop),
                RiskRow("Bars to target", side, touch.bars_to_target),
            ]
        if budget is not None:
            size = risk.position_size(self.last_close, stop, budget)
            rows.append(RiskRow("Position", side, Estimate(size, 0.0)))
        return rows

    def corridor(self, share: float = 0.8) -> np.ndarray:
        """A band of the close that holds whole paths: (2, H); see `kronos.risk.corridor`."""
        return risk.corridor(self.column("close"), share)

    def implied_cone(
        self, volatility: float, bar_years: float, levels: Sequence[float] = (0.1, 0.5, 0.9)
    ) -> np.ndarray:
        """Quantiles of the close at an implied volatility: (len(levels), H).

        Args:
            volatility: Annual, .62 for 62%.
            bar_years: Length of a bar in years of trading; see `kronos.risk.years_of`.
            levels: Between 0 and 1.

        Raises:
            InvalidRequest: The volatility or a level is out of range.
        """
        years = bar_years * np.arange(1, self.horizon + 1)
        return risk.implied_cone(self.last_close, volatility, years, levels)

    def implied_view(self, volatility: float, bar_years: float) -> ImpliedView:
        """The fan at the horizon beside an implied volatility; arguments as of `implied_cone`."""
        closes = self.column("close")[:, -1]
        return risk.implied_view(closes, self.last_close, volatility, bar_years * self.horizon)

    def expected_move(self) -> np.ndarray:
        """Mean absolute return of the close from the origin, at every step: (H,)."""
        return np.abs(self.column("close") / self.last_close - 1.0).mean(axis=0)

    def bar_widths(self, usual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far every bar moves by itself, over the move of a usual bar.

        The move of a bar is the log-return from the close before it, and its width the distance
        from p10 to p90 over the paths.

        Args:
            usual: (H,) bool, the bars whose median width is that of a usual bar.

        Returns:
            The ratios (H,), and their standard errors (H,) from resampled paths. Both are NaN
            without a usual bar that moves.
        """
        moves = np.diff(self.log_returns(), axis=1, prepend=0.0)
        rng = np.random.default_rng(0)
        rows = rng.integers(self.n_paths, size=(_RESAMPLES, self.n_paths))
        with np.errstate(divide="ignore", invalid="ignore"):
            found, resampled = (_relative_widths(each, usual) for each in (moves, moves[rows]))
        return found, resampled.std(axis=0)

    def plot(
        self,
        candles: Bars | None = None,
        *,
        ax: Axes | None = None,
        n_bars: int | None = None,
        n_paths: int = 24,
    ) -> Axes:
        """Draw the fan with Matplotlib; see `kronos.plot.draw`."""
        return plot.draw(self, candles, ax=ax, n_bars=n_bars, n_paths=n_paths)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return plot.html_text(self)

    def metadata(self) -> dict[str, Any]:
        """All facts that identify and reproduce the forecast; JSON-ready.

        `events_sha256` and `leaders` are there only where the model read event rows,
        `calibration_sha256` and `drift_shares` only for a calibrated fan, `weights` only for an
        ensemble.
        """
        facts = {
            "events_sha256": self.events_hash,
            "leaders": self.leaders,
            "calibration_sha256": self.calibration_hash,
            "drift_shares": self.drift_shares,
            "weights": self.weights,
        }
        return {
            "model": self.model_name,
            "model_revision": self.model_revision,
            "context_sha256": self.context_hash,
            **{name: fact for name, fact in facts.items() if fact is not None},
            "n_context": self.n_context,
            "origin": self.origin.isoformat(),
            "last_close": self.last_close,
            "horizon": self.horizon,
            "anchor_factor": self.anchor_factor,
            "parameters": asdict(self.parameters),
        }

    def to_json(self, levels: Sequence[float] = DEFAULT_LEVELS) -> dict[str, Any]:
        """Metadata, timestamps and close quantiles as one JSON-ready object."""
        quantiles = self.quantile(levels)
        return {
            **self.metadata(),
            "timestamps": [stamp.isoformat() for stamp in self.timestamps],
            "close_quantiles": {
                f"p{level * 100:g}": row.tolist()
                for level, row in zip(levels, quantiles, strict=True)
            },
        }


def _relative_widths(moves: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Width of each bar over the median of the usual ones: moves (..., N, H) -> (..., H)."""
    low, high = np.quantile(moves, (0.1, 0.9), axis=-2)
    widths = high - low
    if not usual.any():
        return np.full(widths.shape, np.nan)
    typical = np.median(widths[..., usual], axis=-1, keepdims=True)
    return np.where(typical > 0, widths / typical, np.nan)
