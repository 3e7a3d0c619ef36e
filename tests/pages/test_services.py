"""Services belong to the process: nothing that a visitor sends makes them anew."""

from __future__ import annotations

import threading
import time

import psutil
import pytest
import streamlit as st

from benchmarks.gates.session import Session, run_apart
from pages.ui.backtest.work import backtests
from pages.ui.jobs import queues, saving, scoring, services
from pages.ui.jobs.services import Service
from pages.ui.synthetic.work import synthetics
from pages.ui.track_record.record import record
from pages.ui.track_record.walks import walks
from pages.ui.watchlist.session import watchlists
from tests.browser.conftest import start_server, stop_server
from tests.source_tree import ROOT

ALL = (
    queues.forecasts, queues.downloads, queues.checks, queues.fetches, saving.save_queue,
    scoring.scorer, watchlists, backtests, synthetics, record, walks,
)  # fmt: skip
LIST = "list_horizon=3&list_paths=10"


def test_an_emptied_cache_makes_no_service_anew():
    before = [service() for service in ALL]
    n_threads = threading.active_count()
    st.cache_resource.clear()
    st.cache_data.clear()
    assert [service() for service in ALL] == before
    assert threading.active_count() == n_threads


def test_streamlits_caches_hold_values_alone():
    holders = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "pages").rglob("*.py")
        if "cache_resource(" in path.read_text()
    }
    assert holders == {"pages/ui/jobs/caches.py"}


def test_threads_that_come_at_once_get_one_service():
    made = []

    def make() -> object:
        time.sleep(0.02)
        made.append(object())
        return made[-1]

    service, found = Service(make), []
    threads = [threading.Thread(target=lambda: found.append(service())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == found[:1]
    assert found == made * 8
    services._services.remove(service)


def test_a_reset_closes_the_service_and_the_next_call_makes_another():
    before = synthetics()
    synthetics.reset()
    assert before._worker.queue.is_closed
    assert synthetics() is not before


@pytest.mark.timeout(120)
def test_messages_of_a_visitor_change_no_thread_count_and_lose_no_run(tmp_path):
    server, process = start_server(tmp_path)

    async def attack() -> tuple[int, int]:
        async with Session(server.url) as watcher, Session(server.url) as attacker:
            for page in ("watchlist", "track_record", "models"):
                await attacker.open(page)
                await attacker.wait_for("n_runs")
            await watcher.open("watchlist", LIST)
            await watcher.wait_for(lambda seen: "Table (CSV)" in seen.buttons)
            before = psutil.Process(process.pid).num_threads()
            for page in ("watchlist", "track_record", "models", "", "compare") * 3:
                await attacker.clear_cache()
                await attacker.open(page)
                await attacker.wait_for("n_runs")
            await watcher.open("watchlist", LIST)
            await watcher.wait_for("n_runs")
            assert "Table (CSV)" in watcher.seen.buttons
            assert not any("Press Run" in text for text in watcher.seen.texts)
            assert not watcher.seen.errors
            assert not attacker.seen.errors
            return before, psutil.Process(process.pid).num_threads()

    try:
        before, after = run_apart(attack())
    finally:
        stop_server(process)
    # Those that serve a script come and go; every worker that was made anew would add its own.
    assert after <= before + 4
