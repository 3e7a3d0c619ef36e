"""A run: one bad line spoils no other, nothing is lost, and it ends when nobody wants it."""

from __future__ import annotations

import itertools
import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

import kronos
from data_sources.samples import load_sample
from kronos.errors import (
    Busy,
    CheckpointInvalid,
    InvalidRequest,
    RateLimited,
    SourceBlocked,
    SourceDown,
)
from kronos.events import event_channels
from kronos.forecasters.base import Pending
from kronos.serving.service import LocalService
from kronos.system import asset_path
from pages.ui.inputs import instruments as watchlist_fetch
from pages.ui.inputs.instruments import Entry
from pages.ui.jobs.registry import RUNS_WAITING, RunRegistry
from pages.ui.watchlist.session import RUNS_AT_ONCE
from pages.ui.watchlist.work import LEVELS, WatchRequest, WatchRun
from tests.pages.watchlist_cases import PATIENCE, Slices, request, wait_for_end
from tests.patience import wait_until
from tests.serving.scripted import Scripted, nothing


class Watchlists(RunRegistry[WatchRun]):
    """A registry of runs that read one source."""

    def __init__(self, service, source, save=None):
        super().__init__("watchlists", n_at_once=RUNS_AT_ONCE)
        self.service, self.source, self.save = service, source, save

    def begin(self, asked, contents, *, owner):
        run = WatchRun(
            asked,
            contents,
            open_source=lambda name: self.source,
            forecasts=self.service,
            save=self.save,
        )
        return self.start(run, owner=owner)


@pytest.fixture(scope="module")
def service():
    with closing(LocalService(device="cpu")) as service:
        yield service


@pytest.fixture
def source():
    return Slices()


@pytest.fixture
def registry(service, source):
    with closing(Watchlists(service, source)) as registry:
        yield registry


@pytest.fixture
def gate(service):
    """Keeps the engine busy until it is opened."""
    entered, opened = threading.Event(), threading.Event()

    def begin(predictor):
        entered.set()
        opened.wait(PATIENCE)
        return Pending([], lambda: None)

    key = f"gate {id(opened)}"
    service.submit(Scripted("bundled", begin, key=key), owner="gate", keep=False)
    assert entered.wait(PATIENCE)
    yield opened
    opened.set()
    service.leave(key, owner="gate")


def states(run):
    return [row.state for row in run.rows]


def run_through(registry, asked, contents=None):
    run = registry.begin(asked, contents or [None] * len(asked.entries), owner="me")
    wait_for_end(run)
    return run


def test_forecasts_of_symbols_are_kept_and_those_of_files_are_not(service, source):
    kept = []
    data = asset_path("samples", "BTCUSD_30m.csv").read_bytes()
    asked = request("S0", "S7")
    asked = replace(asked, entries=(*asked.entries, Entry("mine.csv", digest="ab")))
    with closing(Watchlists(service, source, save=lambda *some: kept.append(some))) as registry:
        run = run_through(registry, asked, [None, None, data])
    assert states(run) == ["done"] * 3
    # A stretch each; the file has all bars of the sample.
    assert [len(candles) for _, candles, _ in kept] == [200, 200]
    assert {name for *_, name in kept} == {asked.source}


def test_every_line_is_what_the_library_forecasts(registry):
    run = run_through(registry, request("S0", "S7"))
    assert states(run) == ["done", "done"]
    candles = load_sample("BTCUSD_30m").slice(-207, -7)
    times = candles.frame.index.append(candles.future(3))
    rows = event_channels(
        times,
        interval=candles.interval,
        calendar=candles.calendar,
        zone=candles.zone,
        n_context=len(candles.frame),
        events=(),
        alignment="ahead",
    )
    direct = kronos.load("bundled").forecast(
        candles.frame, y_timestamp=times[-3:], sample_count=10, seed=1, events=rows
    )
    found = run.rows[1].summary
    assert np.array_equal(found.quantiles, direct.quantile(LEVELS))
    assert found.probability_up == direct.probability_up()[-1]
    assert found.expected_move == direct.expected_move()[-1]
    assert found.context_hash == direct.context_hash
    assert found.last_close == candles.frame["close"].iloc[-1] == found.recent[-1]
    assert found.newest == candles.frame.index[-1]


def test_one_bad_symbol_is_an_error_in_its_own_line(registry):
    run = run_through(registry, request("S0", "NOPE", "S1"))
    assert states(run) == ["done", "failed", "done"]
    assert run.rows[1].problem == "There is no instrument NOPE."
    assert run.error is None


def test_a_model_that_cannot_be_used_is_one_error_of_the_run(registry, monkeypatch):
    def broken(model):
        raise CheckpointInvalid("Its base is gone.")

    monkeypatch.setattr(registry.service, "facts", broken)
    run = run_through(registry, request("S0", "S1", "S2"))
    assert str(run.error) == "Its base is gone."
    assert "failed" not in states(run)


def test_files_are_lines_and_a_bad_one_names_line_and_column(registry):
    good = b"".join(asset_path("samples", "ETHUSD_1h.csv").read_bytes().splitlines(True)[:200])
    bad = good.replace(b"\n", b"\nbroken,", 1)
    files = (Entry("ETHUSD.csv", digest="a"), Entry("bad.csv", digest="b"))
    run = run_through(registry, request("S0", files=files), [None, good, bad])
    assert states(run) == ["done", "done", "failed"]
    assert run.rows[1].summary.interval == "1h"
    assert "ine 2" in run.rows[2].problem


def test_many_lines_go_through_a_small_queue_and_displace_no_kept_result(registry, service, source):
    service.offer("somebody's", "result")
    run = run_through(registry, request(*(f"S{n}" for n in range(16))))
    assert states(run) == ["done"] * 16
    assert sorted(source.asked) == sorted(f"S{n}" for n in range(16))
    assert source.most_at_once == 1, "an unknown source is asked one thing at a time"
    assert service.status("somebody's").result == "result"


def test_lines_with_the_same_bars_are_all_answered(registry):
    good = b"".join(asset_path("samples", "ETHUSD_1h.csv").read_bytes().splitlines(True)[:200])
    files = tuple(Entry(f"{n}.csv", digest="same") for n in range(4))
    run = run_through(registry, request(files=files), [good] * 4)
    assert states(run) == ["done"] * 4


def test_lines_fill_in_while_others_wait(registry, gate):
    run = registry.begin(request("S0", "NOPE", "S1"), [None] * 3, owner="me")
    wait_until(lambda: states(run) == ["forecasting", "failed", "forecasting"])
    assert not run.is_final
    gate.set()
    wait_for_end(run)
    assert states(run) == ["done", "failed", "done"]


def test_leaving_ends_a_run_and_keeps_what_is_done(registry, gate, service):
    run = registry.begin(request(*(f"S{n}" for n in range(20))), [None] * 20, owner="me")
    wait_until(lambda: "forecasting" in states(run))
    registry.leave(run, owner="me")
    wait_for_end(run)
    gate.set()
    assert registry.status(run, owner="me").state == "cancelled"
    assert "done" not in states(run)
    assert service.run(nothing("bundled")) is None
    again = run_through(registry, run.request)
    assert again is not run
    assert states(again) == ["done"] * 20


def test_who_comes_back_finds_the_run(registry, gate):
    asked = request("S0", seed=9)
    run = registry.begin(asked, [None], owner="closed page")
    assert registry.join(asked.key, owner="new page") is run
    registry.leave(run, owner="closed page")
    gate.set()
    wait_for_end(run)
    assert states(run) == ["done"]
    assert registry.join(asked.key, owner="third page") is run
    assert registry.find(run.key) is run
    assert registry.join(request("S0", seed=8).key, owner="other") is None


def test_pressing_again_after_the_end_asks_for_new_bars(registry, source):
    first = run_through(registry, request("S0"))
    second = run_through(registry, request("S0"))
    assert first is not second
    assert source.asked == ["S0", "S0"]


def test_too_many_runs_are_refused(registry, gate):
    runs = []
    for n in range(RUNS_AT_ONCE):
        runs.append(registry.begin(request(f"S{n}"), [None], owner=f"{n}"))
        wait_until(lambda: registry.status(runs[-1], owner=f"{len(runs) - 1}").state == "running")
    for n in range(RUNS_AT_ONCE, RUNS_AT_ONCE + RUNS_WAITING):
        runs.append(registry.begin(request(f"S{n}"), [None], owner=f"{n}"))
    with pytest.raises(Busy):
        registry.begin(request("S99"), [None], owner="one more")
    gate.set()
    for run in runs:
        wait_for_end(run)
        assert states(run) == ["done"]


@pytest.mark.parametrize("fault", [SourceBlocked("Not in your region."), SourceDown("No answer.")])
def test_a_source_that_fails_is_not_asked_two_hundred_times(service, fault):
    source = Slices(faults=itertools.repeat(fault))
    with closing(Watchlists(service, source)) as registry:
        run = run_through(registry, request(*(f"S{n}" for n in range(50))))
    assert states(run) == ["failed"] * 50
    assert len(source.asked) <= watchlist_fetch.TOLERATED
    assert run.rows[0].problem == str(fault)
    assert run.rows[-1].problem == f"Skipped, as the source failed before: {fault}"


def test_failures_between_good_answers_do_not_close_a_source(service):
    source = Slices(faults=itertools.cycle([SourceDown("No answer."), None]))
    with closing(Watchlists(service, source)) as registry:
        run = run_through(registry, request(*(f"S{n}" for n in range(10))))
    assert states(run).count("done") == 5


def test_a_source_that_was_pressed_too_often_is_waited_for(service):
    source = Slices(faults=iter([None, RateLimited("Slow down.", retry_after=0.05)]))
    with closing(Watchlists(service, source)) as registry:
        run = run_through(registry, request("S0", "S1", "S2"))
    assert states(run) == ["done"] * 3
    assert len(source.asked) == 4


def test_a_wait_that_is_too_long_is_told(service):
    fault = RateLimited("Come back tomorrow.", retry_after=86400.0)
    source = Slices(faults=itertools.repeat(fault))
    with closing(Watchlists(service, source)) as registry:
        run = run_through(registry, request("S0", "S1"))
    assert [row.problem for row in run.rows] == [
        "Come back tomorrow.",
        "Skipped, as the source failed before: Come back tomorrow.",
    ]


def test_a_run_that_waits_for_its_source_can_be_left(service):
    source = Slices(faults=itertools.repeat(RateLimited("Slow down.", retry_after=80.0)))
    with closing(Watchlists(service, source)) as registry:
        run = registry.begin(request("S0", "S1"), [None] * 2, owner="me")
        wait_until(lambda: run.seconds_to_wait > 1)
        registry.leave(run, owner="me")
        wait_for_end(run)
    assert "done" not in states(run)


def test_a_model_that_is_not_there_ends_the_run_with_its_error(registry):
    asked = request("S0", "S1")
    other = WatchRequest(asked.entries, "slices", "nonesuch", "", 3, asked.sampling)
    run = run_through(registry, other)
    assert states(run) == ["failed", "failed"]
    assert "nonesuch" in run.rows[0].problem


@pytest.mark.parametrize("n", [0, 201])
def test_a_list_is_bounded(n):
    with pytest.raises(InvalidRequest, match="1 to 200"):
        request(*(f"S{i}" for i in range(n)))


def test_settings_are_bounded_and_part_of_the_key():
    with pytest.raises(InvalidRequest, match="horizon"):
        request("S0", horizon=100_000)
    with pytest.raises(InvalidRequest, match="1,000 paths"):
        request("S0", sample_count=1001)
    assert request("S0").key == request("S0").key
    keys = {request("S0", **change).key for change in ({}, {"seed": 5}, {"horizon": 4})}
    assert len(keys | {request("S1").key, request("S0", files=(Entry("x", digest="d"),)).key}) == 5
