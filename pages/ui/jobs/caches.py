"""Caches that all sessions share, of models and learned files; and the uploads of a session."""

from __future__ import annotations

import hashlib

import streamlit as st

from data_sources.csv.reader import CsvChoices, CsvReading
from kronos.calibration import CalibrationState, load_state
from kronos.candles import Candles
from kronos.ensemble.weights import EnsembleWeights, load_weights
from kronos.errors import InvalidRequest, NotOffered
from kronos.evaluation import card as evaluation
from kronos.evaluation.bands import BandCount
from kronos.events import Event
from kronos.models import ENSEMBLE, Entry, available, locate
from kronos.models.facts import reads_events
from kronos.nn.config import read_config
from kronos.system import asset_path
from pages.ui.frame.access import may_administer, not_offered
from pages.ui.frame.uploads import copies
from pages.ui.jobs import queues

_READING = "reading of an upload"
CARD_FILE = "record.npz"
"""The record of the model card, beside the bundled model."""
MAX_EVENTS = 10_000
"""Events of a file that a visitor uploads: each takes a kilobyte while the session lasts."""


@st.cache_data(show_spinner=False, ttl=5)
def models() -> list[Entry]:
    """Every model and whether it is on this machine, looked up again every few seconds."""
    return available()


def usable_models() -> list[Entry]:
    """The models to choose from: all but the broken ones, which the Models page explains."""
    return [entry for entry in models() if entry.state != "broken"] or models()


def needs_download(model: str) -> bool:
    """Whether a model has to be downloaded first."""
    return any(entry.name == model and entry.state == "downloadable" for entry in models())


def require_here(model: str) -> None:
    """Refuse a model that the engine would have to download, where that is not offered.

    Raises:
        NotOffered: It is not complete on this public server, and this session may not administer.
    """
    if may_administer():
        return
    names = ensemble().members if model == ENSEMBLE else [model]
    if any(entry.name in names and not entry.is_usable for entry in models()):
        raise NotOffered(f"{not_offered('Downloads of models')} Choose another model.")


@st.cache_data(show_spinner=False, ttl=600)
def model_config(name: str) -> dict[str, int]:
    """The `config.json` of a model on this machine, which takes hashing its files to find.

    Raises:
        CheckpointError: It cannot be used.
    """
    return read_config(locate(name).model)


@st.cache_data(show_spinner=False, ttl=5)
def event_readers(*, only_usable: bool = False) -> frozenset[str]:
    """Names of the models that read events, looked up again every few seconds.

    Args:
        only_usable: Leave out models that need a download or an installation first.
    """
    entries = (entry for entry in models() if entry.is_usable or not only_usable)
    return frozenset(entry.name for entry in entries if reads_events(entry))


@st.cache_resource(show_spinner=False, ttl=10)
def calibration() -> CalibrationState:
    """What calibration has learned from the record, read again every few seconds.

    Raises:
        InvalidRequest: The file is there and cannot be used.
    """
    return load_state()


@st.cache_resource(show_spinner=False)
def card_bands() -> list[BandCount]:
    """How often 80% bands of the bundled model held in the evaluation of its card."""
    try:
        return evaluation.card_bands(asset_path("bundled", CARD_FILE).read_bytes())
    except (FileNotFoundError, InvalidRequest):  # the Track record page says what is wrong
        return []


@st.cache_resource(show_spinner=False, ttl=10)
def ensemble() -> EnsembleWeights:
    """Members and weights of the ensemble, looked up again every few seconds.

    Raises:
        InvalidRequest: The files are there and cannot be used.
    """
    return load_weights()


def read_upload(content: bytes, name: str, choices: CsvChoices) -> CsvReading:
    """An uploaded file as candles; cached for this session alone.

    Raises:
        InvalidCandles: The file cannot be used, or its reading takes more than the budget.
        Busy: Other files are being read, and the line does not move.
    """
    key = (hashlib.sha256(content).hexdigest(), name, choices)
    known: CsvReading | None = copies().get(_READING, key)
    if known is None:
        with st.spinner("Reading the file"):
            known = read_apart(content, name, choices)
        n_bytes = candles_bytes(known.candles)
        copies().put(_READING, known, n_bytes, key=key, can_be_remade=True)
    return known


def candles_bytes(candles: Candles) -> int:
    """Memory of bars."""
    return int(candles.frame.memory_usage(index=True).sum())


def read_apart(content: bytes, name: str, choices: CsvChoices | None = None) -> CsvReading:
    """Read a file in a process of its own; abandoned if the visitor leaves or changes the page.

    Raises:
        InvalidCandles: The file cannot be used, or its reading takes more than the budget.
        Busy: Other files are being read, and the line does not move.
    """
    return queues.readings().read(content, name, choices=choices, on_wait=_end_if_superseded)


def read_events_apart(content: bytes, name: str) -> tuple[Event, ...]:
    """Read a file of events in a process of its own.

    Raises:
        InvalidEvents: The file cannot be used, or its reading takes more than the budget.
        Busy: Other files are being read, and the line does not move.
    """
    return queues.readings().read_events(content, name, max_rows=MAX_EVENTS)


def _end_if_superseded() -> None:
    """Raise if another run of this script is due, or its visitor has gone."""
    # Streamlit looks for such requests whenever a script looks at its state.
    _ = "upload" in st.session_state
