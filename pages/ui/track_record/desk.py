"""Where the record is read and studied, and walks are done, apart from every page."""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from kronos.serving.jobs import JobControl, JobStatus, Limits
from kronos.serving.service import ForecastService, service
from kronos.serving.worker import Worker
from kronos.system import collector_paused
from pages.ui.track_record.filters import Choices, Chosen, choices_of, labels_of
from pages.ui.track_record.study import Study, study

if TYPE_CHECKING:
    import pandas as pd

    from kronos.walk_forward import Series, WalkPlan, WalkReport

FRESH_FOR = 600.0
"""Seconds after which the record is read again, if somebody looks at it."""
WALK, WINDOWS = "walk", "Windows"


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What was found.

    Attributes:
        study: None where no forecast has an outcome yet.
        n_waiting: Forecasts in the store without any.
        address: Where the store is.
    """

    study: Study | None
    n_waiting: int
    address: str


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    record: pd.DataFrame
    choices: Choices
    n_waiting: int
    address: str
    at: float
    quantiles: dict[str, np.ndarray] = field(default_factory=dict)

    def quantiles_of(self, model: str) -> np.ndarray:
        """Quantiles of a model's rows, read when they are first looked at."""
        if model not in self.quantiles:
            from kronos.store import open_store
            from kronos.store.record import read_quantiles

            rows = self.record[self.record["label"] == model]
            self.quantiles[model] = read_quantiles(open_store(), rows)
        return self.quantiles[model]


class RecordDesk:
    """Reads the record for everybody, once in a while. Any thread may call."""

    def __init__(self, service: Callable[[], ForecastService]) -> None:
        """Args:
        service: Gives the service; called when a walk begins.
        """
        self._service = service
        self._studies = Worker("track record", Limits(max_results=16))
        # A walk goes on while nobody looks at its page.
        self._walks = Worker("walks", Limits(abandon_after=24 * 3600.0))
        self._lock = threading.Lock()
        self._read: _Read | None = None
        self._version = 0

    def close(self) -> bool:
        """Cancel everything; see `Worker.close`."""
        return self._studies.close() and self._walks.close()

    def look(self, chosen: Chosen, *, owner: str) -> JobStatus:
        """The state of a study, begun if need be; its result is an `Answer`.

        Raises:
            Busy: Too many wait.
        """
        with self._lock:
            read = self._read
            if read is not None and time.monotonic() - read.at > FRESH_FOR:
                self._read = None
                self._version += 1
            version = self._version

        def work(control: JobControl) -> Answer:
            answer = self._answer(chosen, control)
            if answer.study is not None:
                # Whoever names the model that is the first anyway is answered at once.
                self._studies.queue.offer(_key(version, answer.study.chosen), answer)
            return answer

        return self._studies.queue.submit(_key(version, chosen), work, owner=owner)

    def refresh(self) -> None:
        """What is looked at next is read from the store again."""
        with self._lock:
            self._read = None
            self._version += 1

    def walk(self, series: list[Series], plan: WalkPlan, *, owner: str) -> JobStatus:
        """Begins a walk; its result is a `WalkReport`. One at a time: a running one is joined.

        Raises:
            Busy: Too many wait.
        """
        status = self._walks.queue.status(WALK)
        if status is not None and status.is_final:
            self._walks.queue.forget(WALK)

        def work(control: JobControl) -> WalkReport:
            from kronos.store import open_store
            from kronos.walk_forward import walk_forward

            control.stage("Loading the models")
            store = open_store()

            def progress(done: int, total: int) -> None:
                if control.stage_name != WINDOWS:
                    control.stage(WINDOWS)
                control.progress(done, total)

            try:
                return walk_forward(self._service(), store, series, plan, progress=progress)
            finally:
                self.refresh()

        return self._walks.queue.submit(WALK, work, owner=owner, supersede=False)

    def walk_status(self, *, owner: str) -> JobStatus | None:
        """How far the walk is; None where there is none."""
        return self._walks.queue.status(WALK, owner=owner)

    def leave_walk(self, *, owner: str) -> None:
        """Stop waiting for the walk; it ends once nobody waits for it, and what is stored stays."""
        self._walks.queue.leave(WALK, owner=owner)

    def _answer(self, chosen: Chosen, control: JobControl) -> Answer:
        control.stage("Reading the record")
        with self._lock:
            read, version = self._read, self._version
        if read is None:
            # Among a server's objects the collector would look at each of so many new rows often.
            with collector_paused():
                read = _read_store()
            with self._lock:
                if version == self._version:
                    self._read = read
        control.stage("Comparing")
        found = None
        if len(read.record):
            models = read.choices.models
            chosen = replace(chosen, model=chosen.model if chosen.model in models else models[0])
            quantiles = read.quantiles_of(chosen.model)
            found = study(read.record, quantiles, read.choices, chosen)
        return Answer(found, read.n_waiting, read.address)


def _key(version: int, chosen: Chosen) -> str:
    told = json.dumps([version, asdict(chosen)])
    return f"study {hashlib.sha256(told.encode()).hexdigest()}"


def _read_store() -> _Read:
    from kronos.models import cut_off
    from kronos.store import open_store
    from kronos.store.record import read_record

    store = open_store()
    record = read_record(store, cut_off)
    # What leaves out unlikely steps, or stretches them, is another model.
    plain = (record["T"] == 1.0) & (record["top_p"] == 1.0) & (record["top_k"] == 0)
    record = record[plain].reset_index(drop=True)
    record["label"] = labels_of(record)
    n_stored = store.counts()["ml_predictions"]
    return _Read(
        record,
        choices_of(record),
        n_stored - record["prediction_id"].nunique(),
        store.address,
        time.monotonic(),
    )


@st.cache_resource(show_spinner=False)
def records() -> RecordDesk:
    """Where the record is read and studied, and walks are done."""
    desk = RecordDesk(service)
    atexit.register(desk.close)
    return desk
