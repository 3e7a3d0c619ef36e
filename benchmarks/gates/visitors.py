"""Many visitors at once: real sessions over WebSockets against the real server.

    python -m benchmarks.gates.visitors [--sessions 200] [--minutes 30] [--quick]

Every visitor opens a link with a seed of its own and waits: it must see no exception and no
refusal, and a finished forecast or a true place in line (which never moves back). It looks at the
forecast for a while and leaves; another one comes. One in ten leaves without waiting. Prints the
steps of paths that the engine draws a second with visitors, and before, in a process by itself, of
the same requests; memory after 5 minutes and at the end; threads.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path

import psutil

from benchmarks.gates import own_home
from benchmarks.gates.session import Session, serve
from benchmarks.revision import revision

ROOT = Path(__file__).parents[2]
FIRST_SIGN = 30.0
"""Seconds within which a visitor sees an answer or a place in line."""
LONGEST = 300.0
"""Seconds after which a visitor gives up a place in line."""
SETTLED_AFTER = 300.0
"""Seconds after which memory may grow by `MAX_GROWTH` at most."""
MAX_GROWTH = 0.10
MIN_SHARE = 0.60
SHARE_SESSIONS = 50
"""Sessions up to which the engine must draw `MIN_SHARE` of what it draws without visitors."""
BASELINE_SECONDS = 30.0


@dataclass
class Tally:
    """What happened to all visitors."""

    visits: int = 0
    answers: int = 0
    answer_times: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    lost: int = 0  # visits without an answer or a place
    unfinished: int = 0  # visits that gave up their place in line after LONGEST
    moved_back: int = 0  # visits whose place in line grew
    seconds_to_sign: list[float] = field(default_factory=list)
    seconds_to_answer: list[float] = field(default_factory=list)
    furthest: int = 0


@dataclass
class Sample:
    """The server at one time: seconds since its first visitor, bytes and threads."""

    at: float
    n_bytes: int
    n_threads: int


def main(argv: list[str] | None = None) -> int:
    """Run the gate; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200, help="visitors at a time")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--stay", type=float, default=10.0, help="seconds of looking, on average")
    parser.add_argument("--quick", action="store_true", help="20 sessions, 1 minute")
    parser.add_argument("--baseline", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.baseline:
        print(drawn_without_visitors())
        return 0
    if args.quick:
        args.sessions, args.minutes = min(args.sessions, 20), min(args.minutes, 1.0)
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, **own_home(home)}
        command = [sys.executable, "-m", "benchmarks.gates.visitors", "--baseline"]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        alone = float(done.stdout.split()[-1])
        log = Path(home, "server.log")
        with serve(environment, log) as (url, process):
            time.sleep(5.0)  # the opening forecast
            tally, samples = asyncio.run(_visit(url, psutil.Process(process.pid), args))
            text = log.read_text(encoding="utf-8")
    return _report(args, alone, tally, samples, text)


def drawn_without_visitors(seconds: float = BASELINE_SECONDS) -> float:
    """Steps of paths a second that an engine in a process by itself draws, sixteen at a time."""
    from dataclasses import replace

    from kronos.serving.service import LocalService
    from pages.ui.jobs.opening import opening_settings

    candles, settings = opening_settings()
    with closing(LocalService()) as service:
        facts = service.facts(settings.model)
        numbers = count(1)

        def submit() -> str:
            sampling = replace(settings.sampling, seed=next(numbers))
            request = replace(settings, sampling=sampling).request(candles, facts)
            service.submit(request, owner=request.digest)
            return request.digest

        def take(waiting: list[str]) -> None:
            key = waiting.pop(0)
            service.result(key, owner=key)
            service.leave(key, owner=key)
            waiting.append(submit())

        waiting = [submit() for _ in range(8)]
        for _ in range(8):
            take(waiting)
        begun, n = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            take(waiting)
            n += 1
        return n * _steps() / (time.perf_counter() - begun)


def _steps() -> int:
    """Steps of all paths of the forecast that a visitor gets who chooses nothing."""
    from pages.ui.jobs.opening import opening_settings

    _, settings = opening_settings()
    return settings.horizon * settings.sampling.sample_count


async def _visit(
    url: str, process: psutil.Process, args: argparse.Namespace
) -> tuple[Tally, list[Sample]]:
    tally, samples = Tally(), list[Sample]()
    seeds, begun = count(1000), time.monotonic()
    end = begun + 60 * args.minutes

    async def come_and_go(number: int) -> None:
        draw = random.Random(number)
        # Nobody's thousand visitors click in the same second.
        await asyncio.sleep(min(5.0, 60 * args.minutes / 4) * number / args.sessions)
        while time.monotonic() < end:
            try:
                await _one_visit(url, next(seeds), tally, draw, end, args.stay)
            except Exception as error:  # noqa: BLE001 (every failure counts)
                tally.errors[f"{type(error).__name__}: {error}"[:200]] += 1
                await asyncio.sleep(1.0)

    async def measure() -> None:
        while True:
            samples.append(_sample(process, time.monotonic() - begun))
            await asyncio.sleep(2.0 if args.minutes < 5 else 10.0)

    measuring = asyncio.create_task(measure())
    await asyncio.gather(*(come_and_go(number) for number in range(args.sessions)))
    measuring.cancel()
    samples.append(_sample(process, time.monotonic() - begun))
    return tally, samples


async def _one_visit(
    url: str, seed: int, tally: Tally, draw: random.Random, end: float, stay: float
) -> None:
    async with Session(url) as session:
        begun = time.monotonic()
        tally.visits += 1
        await session.open("", f"seed={seed}")
        try:
            await session.wait_for(lambda seen: seen.has_answer_or_place or seen.errors, FIRST_SIGN)
            tally.seconds_to_sign.append(time.monotonic() - begun)
        except TimeoutError:
            tally.lost += 1
        if draw.random() < 0.1:
            return
        try:
            left = min(LONGEST, end - time.monotonic())
            await session.wait_for(lambda seen: seen.is_finished or seen.errors, max(left, 0.0))
        except TimeoutError:
            tally.unfinished += time.monotonic() - begun >= LONGEST
        seen = session.seen
        if seen.is_finished:
            tally.answers += 1
            tally.answer_times.append(time.monotonic())
            tally.seconds_to_answer.append(time.monotonic() - begun)
            left = min(draw.uniform(0, 2 * stay), end - time.monotonic())
            await asyncio.sleep(max(left, 0.0))
        tally.errors.update(text[:200] for text in session.seen.errors)
        places = session.seen.places
        tally.furthest = max(tally.furthest, *places, 0)
        tally.moved_back += any(b > a for a, b in pairwise(places))


def _sample(process: psutil.Process, at: float) -> Sample:
    family = [process, *process.children(recursive=True)]
    return Sample(
        at,
        sum(each.memory_info().rss for each in family),
        sum(each.num_threads() for each in family),
    )


def _report(
    args: argparse.Namespace, alone: float, tally: Tally, samples: list[Sample], log: str
) -> int:
    # The first seconds, in which nobody has an answer yet, and the last count for neither.
    times = sorted(tally.answer_times)
    inner = times[len(times) // 10 :]
    drawn = (len(inner) - 1) * _steps() / (inner[-1] - inner[0]) if len(inner) > 2 else 0.0
    settled = next((s for s in samples if s.at >= SETTLED_AFTER), None)
    last = samples[-1]
    growth = 0.0 if settled is None else last.n_bytes / settled.n_bytes - 1
    threads = max(sample.n_threads for sample in samples)
    tracebacks = log.count("Traceback")
    own = time.process_time() / max(last.at, 1.0)
    print(f"sessions {args.sessions}, {last.at / 60:.1f} minutes, {os.cpu_count()} cores")
    print(f"visits {tally.visits:,}; answers {tally.answers:,}; errors {tally.errors.total()}")
    for text, number in tally.errors.most_common(5):
        print(f"  {number} times: {text}")
    print(f"tracebacks in the server's log: {tracebacks}")
    print(f"visits without an answer or a place: {tally.lost}; unfinished: {tally.unfinished}")
    print(f"places that moved back: {tally.moved_back}; furthest place {tally.furthest}")
    for title, seconds in (
        ("first sign", tally.seconds_to_sign),
        ("answer", tally.seconds_to_answer),
    ):
        if seconds:
            middle, worst = statistics.median(seconds), max(seconds)
            print(f"seconds to the {title}: median {middle:.2f}, most {worst:.2f}")
    print(f"steps of paths a second: {drawn:,.0f} with visitors, {alone:,.0f} without", end="")
    print(f", ratio {drawn / alone:.2f}; client {own:.2f} of a core")
    if settled is not None:
        print(f"memory after 5 minutes {settled.n_bytes / 1e6:,.0f} MB", end=", ")
    most = max(sample.n_bytes for sample in samples)
    print(f"at the end {last.n_bytes / 1e6:,.0f} MB ({growth:+.1%}), most {most / 1e6:,.0f} MB")
    print(f"threads at the end {last.n_threads}, most {threads}; revision {revision()}")
    bad = tally.errors.total() + tally.lost + tally.moved_back + tracebacks
    too_slow = args.sessions <= SHARE_SESSIONS and not args.quick and drawn < MIN_SHARE * alone
    return 1 if bad or too_slow or growth >= MAX_GROWTH or not tally.answers else 0


if __name__ == "__main__":
    sys.exit(main())
