"""Records: that of the store, of the model card, of a walk; read and studied in the background."""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kronos.evaluation.scores import LEVELS
from kronos.serving.jobs import JobControl, JobStatus, Limits
from kronos.serving.worker import Worker
from kronos.system import asset_path, collector_paused
from pages.ui.jobs.caches import CARD_FILE
from pages.ui.jobs.services import Service
from pages.ui.track_record.study import Choices, Chosen, Study, choices_of, labels_of, study

if TYPE_CHECKING:
    from kronos.evaluation.card import CardRecord
    from kronos.store.store import Store


SERVER, CARD = "server", "card"
"""Records beside those of walks, which have names of their own."""
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
        store: Holds the forecasts; None for the model card's.
        card: What the record of the model card says of itself; None for others.
    """

    study: Study | None
    n_waiting: int
    address: str
    store: Store | None
    card: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReadRecord:
    """A record as it was read.

    Attributes:
        record: Rows of `kronos.store.record.read_record`, with their label.
        choices: The choices of its filters.
        store: Holds its forecasts; None for the model card's.
        n_waiting: Forecasts without an outcome.
        at: Moment of reading, of the clock that only runs forward.
        card: The model card's record; None for others.
        folder: Keeps the store of a walk of private files until nobody shows it.
        quantiles: By label, read on first use.
    """

    record: pd.DataFrame
    choices: Choices
    store: Store | None
    n_waiting: int
    at: float
    card: CardRecord | None = None
    folder: Any = None
    quantiles: dict[str, np.ndarray] = field(default_factory=dict)

    def quantiles_of(self, model: str) -> np.ndarray:
        """Quantiles of a model's rows; NaN where the record has none."""
        if model not in self.quantiles:
            from kronos.store.record import read_quantiles

            rows = self.record[self.record["label"] == model]
            self.quantiles[model] = (
                np.full((len(rows), len(LEVELS)), np.nan)
                if self.store is None
                else read_quantiles(self.store, rows)
            )
        return self.quantiles[model]

    def answer(self, chosen: Chosen) -> Answer:
        """The study of a part."""
        found = None
        if len(self.record):
            models = self.choices.models
            chosen = replace(chosen, model=chosen.model if chosen.model in models else models[0])
            quantiles = self.quantiles_of(chosen.model)
            found = study(self.record, quantiles, self.choices, chosen, self.pairs)
        address = "" if self.store is None else self.store.address
        facts = None if self.card is None else self.card.facts
        return Answer(found, self.n_waiting, address, self.store, facts)

    def pairs(self, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
        """Rows of two models, paired for `kronos.evaluation.evidence`."""
        if self.card is not None:
            return self.card.pairs.iloc[ours.index]  # those of the model are its first rows
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
        self._read: ReadRecord | None = None
        self._card: ReadRecord | None = None
        self._version = 0
        self._failed_at = -np.inf  # of the clock that only runs forward

    def close(self) -> bool:
        """Cancel everything; see `Worker.close`."""
        return self._studies.close()

    def look(
        self, chosen: Chosen, *, owner: str, of: str = SERVER, walk: ReadRecord | None = None
    ) -> JobStatus:
        """The state of a study, which begins if need be; its result is an `Answer`.

        Args:
            chosen: The filters.
            owner: Who looks.
            of: `SERVER`, `CARD`, or the name of a walk.
            walk: The record of the walk.

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
                answer = self._read_record(of, walk, control).answer(chosen)
            except Exception:
                self._failed_at = time.monotonic()
                raise
            if answer.study is not None:
                # A later request may name the model that is the first anyway.
                self._studies.queue.offer(_key(version, of, answer.study.chosen), answer)
            return answer

        key = _key(version, of, chosen)
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

    def _read_record(self, of: str, walk: ReadRecord | None, control: JobControl) -> ReadRecord:
        control.stage("Reading the record")
        if walk is not None:
            found = walk
        elif of == CARD:
            found = self._card = self._card or _read_card()
        else:
            found = self._read_server()
        control.stage("Computing the statistics")
        return found

    def _read_server(self) -> ReadRecord:
        with self._lock:
            read, version = self._read, self._version
        if read is None:
            # The collector would look at each of so many new rows often.
            with collector_paused():
                read = _read_store()
            with self._lock:
                if version == self._version:
                    self._read = read
        return read


def _key(version: int, of: str, chosen: Chosen) -> str:
    text = json.dumps([version, of, asdict(chosen)])
    return f"study {hashlib.sha256(text.encode()).hexdigest()}"


def _read_store() -> ReadRecord:
    from kronos.store import open_store

    store = open_store()
    record = plain_rows(store)
    n_stored = store.counts()["ml_predictions"]
    return ReadRecord(
        record,
        choices_of(record),
        store,
        n_stored - record["prediction_id"].nunique(),
        time.monotonic(),
    )


def plain_rows(store: Store) -> pd.DataFrame:
    """The record of a store, of forecasts from the distributions that the models learned."""
    from kronos.models import cut_off
    from kronos.store.record import read_record

    record = read_record(store, cut_off)
    # Other sampling parameters leave out unlikely steps, or stretch them: another model.
    plain = (record["T"] == 1.0) & (record["top_p"] == 1.0) & (record["top_k"] == 0)
    record = record[plain].reset_index(drop=True)
    record["label"] = labels_of(record)
    return record


def _read_card() -> ReadRecord:
    """The record of the model card; empty where it is not there or is about other weights."""
    from kronos.evaluation.card import unpack_card
    from kronos.serving.service import service

    try:
        card = unpack_card(asset_path("bundled", CARD_FILE).read_bytes())
    except FileNotFoundError:
        card = None
    if card is None or card.facts["revision"] != service().facts("bundled").revision:
        nothing = pd.DataFrame({"label": [], "prediction_id": []})
        return ReadRecord(nothing, Choices((), (), ()), None, 0, time.monotonic())
    record = card.rows.assign(label=labels_of(card.rows))
    return ReadRecord(record, choices_of(record), None, 0, time.monotonic(), card)


@Service
def record() -> RecordReader:
    """The record, as all sessions read it."""
    reader = RecordReader()
    atexit.register(reader.close)
    return reader
