"""The queues that all sessions share, each with the threads that serve it."""

from __future__ import annotations

import atexit

from data_sources.csv.process import ReaderProcesses
from kronos.serving.jobs import Limits
from kronos.serving.queue import JobQueue
from kronos.serving.service import ForecastService, service
from kronos.serving.worker import Worker
from pages.ui.jobs.services import Service
from pages.ui.jobs.startup_cache import offer_cached

Queue = ForecastService | JobQueue
"""Where the status of a job is found."""
N_FETCHERS = 8
"""Bars fetched at a time: a source that hangs holds a few of these threads, for seconds."""
DOWNLOAD_PATIENCE = 3600.0
"""Seconds after which a download that no page shows is given up."""


@Service
def forecasts() -> ForecastService:
    """The service that forecasts for all sessions."""
    local = service()
    offer_cached(local)
    return local


@Service
def downloads() -> JobQueue:
    """Downloads and deletions of models, one after another.

    A slow network never delays a forecast, and no file is deleted while another download needs it.
    """
    # A download goes on while no page shows it.
    return _queue(Worker("downloads", Limits(abandon_after=DOWNLOAD_PATIENCE)))


@Service
def checks() -> JobQueue:
    """Verifications and tests of models, apart from downloads, which may take long."""
    return _queue(Worker("checks"))


@Service
def fetches() -> JobQueue:
    """Requests for bars of live markets, apart from forecasts and pages."""
    return _queue(Worker("fetches", n_threads=N_FETCHERS))


@Service
def readings() -> ReaderProcesses:
    """The processes that read uploaded files, outside of the server's interpreter."""
    processes = ReaderProcesses()
    atexit.register(processes.close)
    return processes


def _queue(worker: Worker) -> JobQueue:
    atexit.register(worker.close)
    return worker.queue
