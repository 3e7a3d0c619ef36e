"""What all sessions share. The only place that caches."""

from __future__ import annotations

import atexit
import hashlib
import json
from typing import TYPE_CHECKING

import streamlit as st

from data_sources.csv.reader import CsvChoices, CsvReading, read_csv
from data_sources.registry import open_source
from kronos import models as zoo
from kronos.calibration import CalibrationState, load_state
from kronos.candles import Candles
from kronos.ensemble.weights import EnsembleWeights, load_weights
from kronos.forecast import Forecast
from kronos.serving.jobs import Limits
from kronos.serving.queue import JobQueue
from kronos.serving.service import engine
from kronos.serving.worker import Worker
from kronos.store.switch import is_off
from pages.ui.inputs.event_readers import is_at_hand, reads_events
from pages.ui.jobs.registry import RunsDesk
from pages.ui.jobs.save_queue import Keeper, Kept, save_kept
from pages.ui.jobs.scoring import Scorer
from pages.ui.jobs.startup_cache import offer_kept
from pages.ui.track_record.desk import RecordDesk
from pages.ui.watchlist.desk import WatchDesk

if TYPE_CHECKING:
    from pages.ui.backtest.request import BacktestRequest
    from pages.ui.backtest.work import Outcome
    from pages.ui.synthetic.work import Outcome as SyntheticOutcome
    from pages.ui.synthetic.work import SyntheticRequest

N_FETCHERS = 8
"""Bars fetched at a time: a source that hangs keeps a few of these busy, for seconds."""
DOWNLOAD_PATIENCE = 3600.0
"""Seconds after which a download that nobody looks at is given up."""


@st.cache_resource(show_spinner=False)
def forecasts() -> JobQueue:
    """Where forecasts are asked of the engine that samples them for everybody."""
    queue = engine().queue
    offer_kept(queue)
    return queue


@st.cache_resource(show_spinner=False)
def downloads() -> JobQueue:
    """Where models are fetched and deleted, one after another, by a second worker.

    A slow network never delays a forecast, and no file goes while another download counts on it.
    """
    # A download goes on while its page is not looked at.
    worker = Worker("downloads", Limits(abandon_after=DOWNLOAD_PATIENCE))
    atexit.register(worker.close)
    return worker.queue


@st.cache_resource(show_spinner=False)
def checks() -> JobQueue:
    """Where models are verified and tested by a third worker, however long a download takes."""
    worker = Worker("checks")
    atexit.register(worker.close)
    return worker.queue


@st.cache_resource(show_spinner=False)
def fetches() -> JobQueue:
    """Where bars of live markets are asked for, apart from forecasts and from the page."""
    worker = Worker("fetches", n_threads=N_FETCHERS)
    atexit.register(worker.close)
    return worker.queue


@st.cache_resource(show_spinner=False)
def watchlists() -> WatchDesk:
    """Where runs of watchlists are started and found again."""
    desk = WatchDesk(forecasts(), open_source, keep=keep_forecast)
    atexit.register(desk.close)
    return desk


@st.cache_resource(show_spinner=False)
def keeper() -> Keeper:
    """Where forecasts are stored, apart from the page."""
    return Keeper(save_kept)


def keep_forecast(forecast: Forecast, candles: Candles, source: str) -> None:
    """Has a forecast stored, unless the user switched the store off; returns at once."""
    if not is_off():
        keeper().put(Kept(forecast, candles, source))


@st.cache_resource(show_spinner=False)
def scorer() -> Scorer:
    """Where stored forecasts are scored as their bars come, once an hour."""
    return Scorer()


@st.cache_resource(show_spinner=False)
def records() -> RecordDesk:
    """Where the record is read and studied, and walks are done."""
    desk = RecordDesk(engine)
    atexit.register(desk.close)
    return desk


@st.cache_resource(show_spinner=False)
def backtests() -> RunsDesk[BacktestRequest, Outcome]:
    """Where backtests are started and found again."""
    desk: RunsDesk[BacktestRequest, Outcome] = RunsDesk("backtests")
    atexit.register(desk.close)
    return desk


@st.cache_resource(show_spinner=False)
def synthetics() -> RunsDesk[SyntheticRequest, SyntheticOutcome]:
    """Where synthetic series are started and found again."""
    desk: RunsDesk[SyntheticRequest, SyntheticOutcome] = RunsDesk("synthetics")
    atexit.register(desk.close)
    return desk


@st.cache_data(show_spinner=False, ttl=5)
def models() -> list[zoo.Entry]:
    """Every model and whether it is on this machine, looked up again every few seconds."""
    return zoo.available()


@st.cache_data(show_spinner=False, ttl=600)
def model_config(name: str) -> dict[str, int]:
    """The `config.json` of a model on this machine, which takes hashing its files to find.

    Raises:
        CheckpointError: It cannot be used.
    """
    folder = zoo.locate(name).model
    found: dict[str, int] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found


@st.cache_data(show_spinner=False, ttl=5)
def event_readers(*, at_hand: bool = False) -> frozenset[str]:
    """Names of the models that read events, looked up again every few seconds.

    Args:
        at_hand: Only those that can forecast on this machine as it is.
    """
    entries = (entry for entry in models() if is_at_hand(entry) or not at_hand)
    return frozenset(entry.name for entry in entries if reads_events(entry))


@st.cache_resource(show_spinner=False, ttl=10)
def calibration() -> CalibrationState:
    """What has been learned from the record, read again every few seconds.

    Raises:
        InvalidRequest: The file is there and cannot be used.
    """
    return load_state()


@st.cache_resource(show_spinner=False, ttl=10)
def ensemble() -> EnsembleWeights:
    """Members and weights of the ensemble, looked up again every few seconds.

    Raises:
        InvalidRequest: The files are there and cannot be used.
    """
    return load_weights()


def read_upload(content: bytes, name: str, choices: CsvChoices) -> CsvReading:
    """An uploaded file as candles; kept for this session alone."""
    return _read_upload(hashlib.sha256(content).hexdigest(), name, choices, content)


@st.cache_resource(show_spinner="Reading the file", scope="session", max_entries=3)
def _read_upload(digest: str, name: str, choices: CsvChoices, _content: bytes) -> CsvReading:
    return read_csv(_content, name, choices=choices)
