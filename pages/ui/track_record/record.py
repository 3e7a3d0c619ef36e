"""The record of the store: read and studied in the background, for all sessions together."""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from kronos.evaluation.scores import LEVELS
from kronos.serving.jobs import JobControl, JobStatus, Limits
from kronos.serving.worker import Worker
from kronos.system import collector_paused
from pages.ui.jobs.services import Service
from pages.ui.track_record.study import Choices, Chosen, Study, choices_of, labels_of, study

if TYPE_CHECKING:
    import pandas as pd


FRESH_FOR = 600.0
"""Seconds after which the record is read again, if a page shows it."""
RETRY_AFTER = 10.0
"""Seconds for which an error stands before the record is read again, if a page is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A study of the record.

    Attributes:
        study: None where no forecast has an outcome yet.
        n_waiting: Forecasts in the store without an outcome.
        address: Address of the store.
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
        """Quantiles of a model's rows, read on first use."""
        if model not in self.quantiles:
            from kronos.store import open_store
            from kronos.store.record import read_quantiles

            rows = self.record[self.record["label"] == model]
            self.quantiles[model] = read_quantiles(open_store(), rows)
        return self.quantiles[model]

    def pairs(self, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
        """Rows of two models, paired for `kronos.evaluation.evidence`."""
        from kronos.evaluation.evidence import paired_gains

        return paired_gains(
            ours, self._quantiles_at(ours), theirs, self._quantiles_at(theirs), np.array(LEVELS)
        )

    def _quantiles_at(self, rows: pd.DataFrame) -> np.ndarray:
        """Quantiles of some rows of the record."""
        found = np.full((len(rows), len(LEVELS)), np.nan)
        for label in rows["label"].unique():
            of_label = self.record.index[self.record["label"] == label]
            here = np.flatnonzero(rows["label"] == label)
            found[here] = self.quantiles_of(label)[of_label.get_indexer(rows.index[here])]
        return found


class RecordReader:
    """Reads and studies the record for all sessions, once in a while. Any thread may call."""

    def __init__(self) -> None:
        self._studies = Worker("track record", Limits(max_results=16))
        self._lock = threading.Lock()
        self._read: _Read | None = None
        self._version = 0
        self._failed_at = -np.inf  # of the clock that only runs forward

    def close(self) -> bool:
        """Cancel everything; see `Worker.close`."""
        return self._studies.close()

    def look(self, chosen: Chosen, *, owner: str) -> JobStatus:
        """The state of a study, which begins if need be; its result is an `Answer`.

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
            try:
                answer = self._answer(chosen, control)
            except Exception:
                self._failed_at = time.monotonic()
                raise
            if answer.study is not None:
                # A later request may name the model that is the first anyway.
                self._studies.queue.offer(_key(version, answer.study.chosen), answer)
            return answer

        key = _key(version, chosen)
        # A page that is drawn at the end of a job would start the next one, and show no error.
        if time.monotonic() - self._failed_at < RETRY_AFTER:
            status = self._studies.queue.status(key, owner=owner)
            if status is not None and status.state == "failed":
                return status
        return self._studies.queue.submit(key, work, owner=owner)

    def refresh(self) -> None:
        """Read the store again for the next study."""
        with self._lock:
            self._read = None
            self._version += 1

    def _answer(self, chosen: Chosen, control: JobControl) -> Answer:
        control.stage("Reading the record")
        with self._lock:
            read, version = self._read, self._version
        if read is None:
            # The collector would look at each of so many new rows often.
            with collector_paused():
                read = _read_store()
            with self._lock:
                if version == self._version:
                    self._read = read
        control.stage("Computing the statistics")
        found = None
        if len(read.record):
            models = read.choices.models
            chosen = replace(chosen, model=chosen.model if chosen.model in models else models[0])
            quantiles = read.quantiles_of(chosen.model)
            found = study(read.record, quantiles, read.choices, chosen, read.pairs)
        return Answer(found, read.n_waiting, read.address)


def _key(version: int, chosen: Chosen) -> str:
    text = json.dumps([version, asdict(chosen)])
    return f"study {hashlib.sha256(text.encode()).hexdigest()}"


def _read_store() -> _Read:
    from kronos.models import cut_off
    from kronos.store import open_store
    from kronos.store.record import read_record

    store = open_store()
    record = read_record(store, cut_off)
    # Other sampling parameters leave out unlikely steps, or stretch them: another model.
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


@Service
def record() -> RecordReader:
    """The record, as all sessions read it."""
    reader = RecordReader()
    atexit.register(reader.close)
    return reader
