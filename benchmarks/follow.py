"""Many lines followed over markets on loopback, on a clock that runs faster than this machine's.

    python -m benchmarks.follow [--lines 50] [--minutes 60] [--speed 6] [--model bundled]

The real clients ask loopback markets, through the bar cache and over HTTP; some requests fail. Four
of five lines have bars of a minute, the others of 3 and 5 minutes; each fifth line follows the bars
of another one with another seed. Prints the bars that closed, those without a forecast, those
forecast twice, the delay from the close of a bar to its forecast, the requests of the source, and
the memory of the process over time. Bars are missed where the machine is too slow for the speed.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.revision import revision
from data_sources.cache.cache import CachedBars
from data_sources.cache.store import BarStore
from data_sources.exchange.source import Exchange
from kronos.calendars.intervals import interval_width
from kronos.follow import Fault, Follower, Line, Made
from kronos.follow.alerts import read_rules
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.service import LocalService
from kronos.system import process_bytes
from tests.loopback_binance import Pair
from tests.loopback_markets import NOW, LoopbackMarkets, redirect

_THREADS = 8
_POLL_SECONDS = 0.02
_WARM = 0.2  # share of the run after which memory should no longer grow
_PARTS = 8
_FAULT = 503
_FAULT_EVERY = 97  # requests, one of which fails


class FastMarkets(LoopbackMarkets):
    """Loopback markets whose clock runs faster than that of this machine.

    Args:
        speed: Seconds of the markets in one of this machine.
    """

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed, self._begun = speed, time.monotonic()

    def clock(self) -> pd.Timestamp:
        """The markets' time."""
        passed = (time.monotonic() - self._begun) * self._speed
        return NOW + pd.Timedelta(milliseconds=int(1000 * passed))


class Tally:
    """What became of the bars of every line."""

    def __init__(self) -> None:
        self.origins: defaultdict[str, list[pd.Timestamp]] = defaultdict(list)
        self.delays: list[float] = []  # seconds of the markets from the close to the forecast
        self.faults: Counter[str] = Counter()
        self.n_alerts = 0

    def note(self, event: Made | Fault, now: pd.Timestamp, width: pd.Timedelta) -> None:
        """Count an event that was reported now."""
        if isinstance(event, Fault):
            self.faults[type(event.error).__name__] += 1
            return
        origin = event.forecast.origin.tz_convert("UTC")
        if self.origins[event.line.name]:
            self.delays.append((now - origin - width).total_seconds())
        self.origins[event.line.name].append(origin)
        self.n_alerts += len(event.alerts)

    def n_doubled(self) -> int:
        """Forecasts of bars that had one."""
        return sum(len(each) - len(set(each)) for each in self.origins.values())

    def closed(self, until: pd.Timestamp, widths: dict[str, pd.Timedelta]) -> tuple[int, int]:
        """Bars that closed after the first forecast of their line, and those without a forecast.

        Args:
            until: Bars that close by then count.
            widths: By line.
        """
        n_closed = n_missed = 0
        for name, origins in self.origins.items():
            width = widths[name]
            bars = pd.date_range(origins[0], until - width, freq=width)
            n_closed += len(bars) - 1
            n_missed += len(bars.difference(pd.DatetimeIndex(origins)))
        return n_closed, n_missed


def follow(
    folder: Path, *, n_lines: int, minutes: float, speed: float, model: str, n_paths: int
) -> dict[str, Any]:
    """Follow lines for a while; returns the figures by name.

    Args:
        folder: Where the bar cache lies.
        n_lines: Lines.
        minutes: Minutes of the markets.
        speed: Seconds of the markets in one of this machine.
        model: Name of the model or baseline.
        n_paths: Paths of each forecast.
    """
    tally, memory = Tally(), []
    with (
        FastMarkets(speed) as markets,
        ThreadPoolExecutor(_THREADS) as executor,
        closing(LocalService()) as service,
    ):
        clock = markets.clock
        exchange = Exchange(
            "binance",
            configure=redirect(markets.url),
            clock=clock,
            sleep=lambda seconds: time.sleep(seconds / speed),
        )
        source = CachedBars(exchange, BarStore(folder / "bars.sqlite"), clock=clock)
        plan = list(_plan(n_lines, markets))
        widths = {name: interval_width(interval) for name, _, interval, _ in plan}
        facts = service.facts(model)

        def line(name: str, symbol: str, interval: str, seed: int) -> Line:
            def request(bars: Any) -> ForecastRequest:
                sampling = SamplingParameters(sample_count=n_paths, seed=seed)
                return ForecastRequest.of_candles(
                    bars.candles, facts, horizon=12, sampling=sampling
                )

            def fetch() -> Any:
                return source.fetch(symbol, interval=interval)

            return Line(name, fetch, request, read_rules(["p_up>0.7", "outside-band"]))

        follower = Follower(service, executor, clock=clock)
        follower.follow(line(*each) for each in plan)
        _run(follower, tally, widths, markets, until=None)  # all lines have a first forecast
        markets.requests.clear()
        begun = clock()
        end = begun + pd.Timedelta(minutes=minutes)
        for k in range(1, _PARTS + 1):
            _run(follower, tally, widths, markets, until=begun + k / _PARTS * (end - begun))
            memory.append(process_bytes() / 1e6)
        # What closed in the last moment may still be under way.
        _run(follower, tally, widths, markets, until=end + pd.Timedelta(seconds=10 * speed))
        n_closed, n_missed = tally.closed(end - pd.Timedelta(seconds=1), widths)
        n_requests = markets.n_requests("/klines")
    warm = memory[int(_WARM * _PARTS) :]
    delays = tally.delays or [np.nan]
    slope = np.polyfit(np.linspace(0.0, 1.0, len(warm)), warm, 1)[0]
    return {
        "lines": n_lines,
        "minutes of the markets": minutes,
        "bars that closed": n_closed,
        "missed": n_missed,
        "forecast twice": tally.n_doubled(),
        "alerts": tally.n_alerts,
        "faults reported": sum(tally.faults.values()),
        "requests for bars": n_requests,
        "delay, median (s of this machine)": statistics.median(delays) / speed,
        "delay, most (s of this machine)": max(delays) / speed,
        "memory after each eighth (MB)": " ".join(f"{each:.0f}" for each in memory),
        "growth after the first fifth (MB)": float(slope),
    }


def _plan(n_lines: int, markets: LoopbackMarkets) -> Iterator[tuple[str, str, str, int]]:
    """Name, symbol, interval and seed of every line; lists the pairs that the markets lack."""
    symbol, interval = "", ""
    for i in range(n_lines):
        if i % 5 != 4 or not symbol:
            symbol = f"C{i}/USDT"
            interval = {3: "3m", 8: "5m"}.get(i % 10, "1m")
            markets.binance.pairs.append(Pair(f"C{i}", "USDT", "0.00010000"))
        yield f"line {i}", symbol, interval, i


def _run(
    follower: Follower,
    tally: Tally,
    widths: dict[str, pd.Timedelta],
    markets: FastMarkets,
    *,
    until: pd.Timestamp | None,
) -> None:
    """Poll until a time of the markets, or until every line has a forecast."""
    n_failed = 0
    while len(tally.origins) < len(widths) if until is None else markets.clock() < until:
        for event in follower.poll():
            tally.note(event, markets.clock(), widths[event.line.name])
        if until is not None and len(markets.requests) // _FAULT_EVERY > n_failed:
            n_failed = len(markets.requests) // _FAULT_EVERY
            markets.faults.statuses.append(_FAULT)
        time.sleep(_POLL_SECONDS)


def main(argv: list[str] | None = None) -> int:
    """Follow, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=60.0, help="of the markets")
    parser.add_argument("--speed", type=float, default=6.0, help="of the markets' clock")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--paths", type=int, default=30)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = follow(
            Path(folder),
            n_lines=args.lines,
            minutes=args.minutes,
            speed=args.speed,
            model=args.model,
            n_paths=args.paths,
        )
    print(f"{args.model}, {args.paths} paths of 12 bars, {platform.processor()}, {revision()}")
    print("| | |\n| --- | ---: |")
    for name, value in found.items():
        print(f"| {name} | {f'{value:.2f}' if isinstance(value, float) else value} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
