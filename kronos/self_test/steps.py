"""The self-test: its steps, each a request to the service, and its report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kronos import models
from kronos.errors import CheckpointError, ForecastCancelled, InvalidRequest, KronosError
from kronos.forecast import Forecast, SamplingParameters
from kronos.forecasters.base import Forecaster, Pending
from kronos.request import EngineRequest, ForecastRequest
from kronos.self_test.expected import (
    GREEDY,
    HORIZON,
    TOLERANCE,
    Expected,
    known_bars,
    known_request,
)
from kronos.serving.requests import ModelRequest, PlacementRequest
from kronos.serving.service import ForecastService

if TYPE_CHECKING:
    from kronos.decoding.sequence import TokenSequence
    from kronos.serving.jobs import JobStatus

__all__ = ["TITLES", "SelfTest", "Step", "run_self_test"]

TITLES = (
    "Digests of the files",
    "Loading",
    "The same seed, the same paths",
    "Valid candles",
    "Cached decoding equals reading anew",
    "Closes as stored",
)
"""The steps in their order."""
LEAST_AGREEMENT = 0.75
"""Share of first draws that must agree where the number format has fewer bits than float32."""
N_PATHS = 32
SEED = 7
SHORT_BARS, SHORT_HORIZON, SHORT_PATHS = 48, 6, 8
"""Size of the comparison with whole windows, which takes the largest models seconds."""
_ADVICE = (
    "Delete the model, download it again and repeat the test. If it fails again, another version "
    "of PyTorch or a driver may be the cause: report it with this text."
)
_ADVICE_BUNDLED = (
    "Install the application again and repeat the test. If it fails again, another version of "
    "PyTorch or a driver may be the cause: report it with this text."
)


Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the test.

    Attributes:
        title: Its title.
        outcome: "skipped" where it could not run, or there is nothing to compare with.
        seconds: Its duration.
        found: The result in words.
        advice: What to do after a failure.
    """

    title: str
    outcome: Outcome
    seconds: float
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A finished test.

    Attributes:
        model: Name of the model.
        revision: Revision of its weights.
        steps: In the order of `TITLES`.
        when: When it ended.
    """

    model: str
    revision: str
    steps: tuple[Step, ...]
    when: datetime

    @property
    def is_passed(self) -> bool:
        return all(step.outcome != "failed" for step in self.steps)

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)


def run_self_test(
    service: ForecastService, name: str, *, watch: Callable[[int], None] | None = None
) -> SelfTest:
    """Test a model on this machine. Blocks; the service handles other requests meanwhile.

    Args:
        service: Loads the model and forecasts with it.
        name: Name of a model in the list of models.
        watch: Called repeatedly with the number of steps done; raising ends the test.

    Raises:
        InvalidRequest: There is no such model.
    """
    entries, wanted = models.available(), name.strip().casefold()
    entry = next((e for e in entries if wanted in {e.name, e.title.casefold()}), None)
    if entry is None:
        known = ", ".join(e.name for e in entries)
        raise InvalidRequest(f"There is no model {name!r} to test. Choose one of {known}.")
    return _Run(service, entry, watch or (lambda n_done: None)).report()


class _Failed(Exception):
    """A result is not as expected."""


class _Skipped(Exception):
    """There is nothing to compare with."""


class _Run:
    """One run; each `_check_...` returns its result in words, or raises the fault."""

    def __init__(
        self, service: ForecastService, entry: models.Entry, watch: Callable[[int], None]
    ) -> None:
        self._service = service
        self._entry = entry
        self._watch = watch
        self._steps: list[Step] = []
        self._forecast: Forecast | None = None

    def report(self) -> SelfTest:
        checks = (
            self._check_digests,
            self._check_loading,
            self._check_repetition,
            self._check_candles,
            self._check_cache,
            self._check_expectation,
        )
        for title, check in zip(TITLES, checks, strict=True):
            self._watch(len(self._steps))
            # Without files or model no request can be served.
            if any(step.outcome == "failed" for step in self._steps[:2]):
                reason = "Not tried, because an earlier step failed."
                self._steps.append(Step(title, "skipped", 0.0, reason))
            else:
                self._steps.append(self._perform(title, check))
        return SelfTest(
            self._entry.name, self._entry.revision, tuple(self._steps), datetime.now(UTC)
        )

    def _perform(self, title: str, check: Callable[[], str]) -> Step:
        started = time.perf_counter()
        outcome: Outcome = "failed"
        is_bundled = self._entry.name == models.BUNDLED
        advice = _ADVICE_BUNDLED if is_bundled else _ADVICE
        try:
            found, outcome, advice = check(), "passed", ""
        except ForecastCancelled:
            raise
        except _Skipped as reason:
            found, outcome, advice = str(reason), "skipped", ""
        except _Failed as failure:
            found = str(failure)
        except CheckpointError as error:
            found, advice = str(error), ""  # The message says what to do.
        except KronosError as error:
            found, advice = str(error), "Repeat the test when that is settled."
        # A test reports every failure, unforeseen ones as well.
        except Exception as error:  # noqa: BLE001
            found = f"{type(error).__name__}: {error}"
        return Step(title, outcome, time.perf_counter() - started, found, advice)

    def _ask(self, request: EngineRequest) -> Any:
        n_done = len(self._steps)

        def look(status: JobStatus) -> None:
            self._watch(n_done)

        return self._service.run(request, watch=look)

    def _forecast_of(self, sampling: SamplingParameters) -> Forecast:
        request = known_request(self._service.facts(self._entry.name), sampling)
        found: Forecast = self._ask(request)
        return found

    def _check_digests(self) -> str:
        models.verify(self._entry.name)
        return f"{self._entry.n_bytes / 1e6:,.0f} MB: every byte is the pinned one."

    def _check_loading(self) -> str:
        was_loaded = self._entry.name in {model.name for model in self._service.models}
        placement, n_bytes = self._ask(PlacementRequest(self._entry.name, self._entry.revision))
        where = f"{placement.device} {placement.hardware}".strip()
        if placement.device == "cpu":
            n = placement.n_threads
            where += f", {n} thread{'' if n == 1 else 's'}"
        state = "It was in memory" if was_loaded else "Loaded"
        return f"{state}: {n_bytes / 1e6:,.0f} MB of weights, {placement.dtype}, on {where}."

    def _check_repetition(self) -> str:
        sampling = SamplingParameters(sample_count=N_PATHS, seed=SEED)
        first, second = self._forecast_of(sampling), self._forecast_of(sampling)
        self._forecast = first
        if not np.array_equal(first.paths, second.paths):
            n_other = int((first.paths != second.paths).any(axis=(1, 2)).sum())
            raise _Failed(f"{n_other} of {N_PATHS} paths differ between two equal forecasts.")
        return f"{N_PATHS} paths of {HORIZON} bars came out alike twice, to the last bit."

    def _check_candles(self) -> str:
        if self._forecast is None:
            raise _Skipped("Not tried, because there is no forecast.")
        paths = self._forecast.paths
        opened, high, low, close = (paths[..., i] for i in range(4))
        faults = {
            "are no finite numbers": ~np.isfinite(paths).all(axis=-1),
            "have a price of zero or less": (paths[..., :4] <= 0).any(axis=-1),
            "have a high below open or close": high < np.maximum(opened, close),
            "have a low above open or close": low > np.minimum(opened, close),
            "have a negative volume": (paths[..., 4:] < 0).any(axis=-1),
        }
        for fault, where in faults.items():
            if where.any():
                raise _Failed(f"{int(where.sum())} of {where.size} candles {fault}.")
        if float(np.ptp(close[:, -1])) == 0.0:
            raise _Failed(f"All {N_PATHS} paths end at one price: nothing was sampled.")
        return f"{paths.shape[0] * paths.shape[1]} candles, all valid."

    def _check_cache(self) -> str:
        if models.kind_of(self._entry.name) == "chronos":
            raise _Skipped("Chronos-2 decodes nothing step by step.")
        cached, anew, dtype = self._ask(DecodingCheck(self._entry.name, self._entry.revision))
        same = (cached == anew).all(axis=0)  # (N, H): both tokens of a pair
        if dtype != "float32":
            share = float(same[:, 0].mean())
            if share < LEAST_AGREEMENT:
                raise _Failed(f"Only {share:.0%} of the first draws agree, in {dtype}.")
            return f"{share:.0%} of the first draws agree; {dtype} rounds away the rest."
        if not same.all():
            raise _Failed(f"{int((~same).sum())} of {same.size} drawn pairs of tokens differ.")
        return f"{same.size} drawn pairs of tokens are the same."

    def _check_expectation(self) -> str:
        if self._entry.name != models.BUNDLED:
            raise _Skipped("None are stored for downloaded models.")
        expected = Expected.read()
        if expected.revision != self._entry.revision:
            raise _Failed(
                f"The closes are stored for revision {expected.revision[:12]}, the weights are "
                f"of revision {self._entry.revision[:12]}."
            )
        found = self._forecast_of(GREEDY).column("close")[0]
        closes = expected.closes
        if closes.shape != found.shape:
            raise _Failed(f"{len(closes)} closes are stored, {len(found)} were forecast.")
        worst = float(np.abs(found / closes - 1.0).max())
        if not worst <= TOLERANCE:
            raise _Failed(f"A close is off by {worst:.1e}; {TOLERANCE:.0e} is allowed.")
        return f"{len(closes)} closes are right; the largest difference is {worst:.1e}."


@dataclass(frozen=True)
class DecodingCheck(ModelRequest):
    """Draw one context with the cache and with whole windows, from the same noise.

    The answer: tokens (2, N, H) with the cache, those with whole windows, and the number format.
    """

    model: str
    revision: str = ""

    def prepare(self, forecaster: Forecaster) -> Pending[tuple[np.ndarray, np.ndarray, str]]:
        from kronos.decoding.sequence import TokenSequence  # torch is loaded by now

        facts = forecaster.facts
        sampling = SamplingParameters(sample_count=SHORT_PATHS, seed=SEED)
        bars, future = known_bars()
        request = ForecastRequest.of_frame(
            bars.iloc[-min(SHORT_BARS, facts.most - SHORT_HORIZON) :],
            facts,
            y_timestamp=future[:SHORT_HORIZON],
            sampling=sampling,
        )
        (cached,) = forecaster.prepare(request).sequences
        anew = TokenSequence(cached.context, sampling, max_context=facts.most, use_cache=False)

        def tokens(sequence: TokenSequence) -> np.ndarray:
            return np.stack([sequence.s1.cpu().numpy(), sequence.s2.cpu().numpy()])

        def result() -> tuple[np.ndarray, np.ndarray, str]:
            placement = forecaster.placement
            return tokens(cached), tokens(anew), "" if placement is None else placement.dtype

        return Pending([cached, anew], result)
