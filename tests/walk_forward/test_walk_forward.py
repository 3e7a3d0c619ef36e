"""A walk stores each forecast once, from the bars up to its origin, and resumes."""

import pickle
from contextlib import closing
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from data_sources.samples import load_sample
from kronos.errors import InvalidRequest
from kronos.forecast import SamplingParameters
from kronos.models import adapters, cut_off
from kronos.serving.service import LocalService
from kronos.store.record import read_record
from kronos.store.schema import path_evaluations, predictions, signal_evaluations
from kronos.store.scoring import score_candles
from kronos.store.store import Store
from kronos.walk_forward import Series, WalkPlan, choose_origins, walk_forward
from kronos.walk_forward import run as walk_run
from tests.event_adapter import NAME, WITHOUT_EVENTS, write_event_adapter

CANDLES = load_sample("ETHUSD_1h").slice(0, 700)
PLAN = WalkPlan(
    models=("random-walk", "ewma"),
    horizon=6,
    n_origins=20,
    sampling=SamplingParameters(sample_count=8),
)
SERIES = [Series(CANDLES, "samples")]


@pytest.fixture(scope="module")
def service():
    service = LocalService(device="cpu")
    yield service
    service.close()


@pytest.fixture
def store(tmp_path):
    with Store(str(tmp_path / "store.sqlite3")) as store:
        yield store


def test_origins_are_even_and_leave_room_on_both_sides():
    origins = choose_origins(CANDLES, PLAN)
    assert len(origins) == PLAN.n_origins
    assert (origins[0], origins[-1]) == (PLAN.history - 1, len(CANDLES) - 1 - PLAN.horizon)
    assert np.ptp(np.diff(origins)) <= 1
    every = choose_origins(CANDLES, replace(PLAN, every=100))
    assert np.diff(every).tolist() == [100] * (len(every) - 1)
    assert every[-1] == origins[-1]
    since = pd.Timestamp(CANDLES.frame.index[500])
    assert choose_origins(CANDLES, replace(PLAN, since=since))[0] == 500
    assert len(choose_origins(CANDLES.slice(0, 260), PLAN)) == 0


def test_a_walk_stores_each_window_with_the_scores_that_scoring_gives(service, store):
    report = walk_forward(service, store, SERIES, PLAN)
    assert (report.n_windows, report.n_stored, report.n_series) == (40, 40, 1)
    record = read_record(store, cut_off)
    assert len(record) == 40 * PLAN.horizon
    assert record["model"].value_counts().to_dict() == {"random-walk": 120, "ewma": 120}
    assert set(record["origin"]) == set(CANDLES.frame.index[choose_origins(CANDLES, PLAN)])
    assert not record["ahead"].any()
    assert record["out_of_sample"].all()
    again = score_candles(store, CANDLES)
    assert (again.n_predictions, sum(again.recorded.values())) == (40, 0)


def test_bars_after_an_origin_change_no_forecast_from_it(service, store, tmp_path):
    plan = replace(PLAN, every=1, since=pd.Timestamp(CANDLES.frame.index[600]))
    # The last window's bars, and so its outcome, differ.
    frame = CANDLES.frame.copy()
    frame.iloc[-PLAN.horizon :, :4] *= 1.5
    walk_forward(service, store, SERIES, plan)
    with Store(str(tmp_path / "other.sqlite3")) as other:
        walk_forward(service, other, [Series(replace(CANDLES, frame=frame), "samples")], plan)
        first, second = (
            {p.id: p.quantiles for p in s.predictions(model="ewma")} for s in (store, other)
        )
        unchanged = first.keys() & second.keys()
        assert len(unchanged) == len(first) == len(second)
        for name in unchanged:
            np.testing.assert_array_equal(first[name], second[name])
        assert not read_record(store, cut_off)["crps"].equals(read_record(other, cut_off)["crps"])


def test_a_walk_that_was_stopped_resumes(service, store):
    class Stopped(Exception):
        pass

    def stop(done, total):
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        walk_forward(service, store, SERIES, PLAN, progress=stop)
    n_before = store.counts()["ml_predictions"]
    assert 0 < n_before < 40
    seen = []
    report = walk_forward(
        service, store, SERIES, PLAN, progress=lambda done, total: seen.append((done, total))
    )
    assert (report.n_known, report.n_stored) == (n_before, 40 - n_before)
    assert (seen[0], seen[-1]) == ((n_before, 40), (40, 40))
    assert len(read_record(store, cut_off)) == 40 * PLAN.horizon
    assert walk_forward(service, store, SERIES, PLAN).n_stored == 0


def rows_of(store):
    tables = (predictions, signal_evaluations, path_evaluations)
    with store.database.reading() as connection:
        found = [connection.execute(sa.select(table)).mappings().all() for table in tables]
    clock = {"created_at", "recorded_at"}
    return [
        sorted(str({k: v for k, v in row.items() if k not in clock}) for row in rows)
        for rows in found
    ]


class Elsewhere(LocalService):
    """Prepares, answers and reduces as another process does: from bytes, to bytes."""

    sizes: ClassVar[list[int]] = []
    asked: ClassVar[list[int]] = []

    def run_many(self, requests, *, prepare=None, watch=None):
        prepare = pickle.loads(pickle.dumps(prepare))
        for part in requests:
            sent = pickle.dumps(part)
            self.asked.append(len(sent))
            each = prepare(pickle.loads(sent))
            answer = pickle.dumps(each.reduced(self.run(each.request)))
            self.sizes.append(len(answer))
            yield part, pickle.loads(answer)


def test_windows_are_scored_where_they_are_drawn_with_the_same_rows(service, store, tmp_path):
    plan = replace(PLAN, sampling=SamplingParameters(sample_count=500))
    walk_forward(service, store, SERIES, plan)
    with (
        closing(Elsewhere(device="cpu")) as elsewhere,
        Store(str(tmp_path / "other.sqlite3")) as other,
    ):
        walk_forward(elsewhere, other, SERIES, plan)
        assert rows_of(other) == rows_of(store)
    n_paths = sum(Elsewhere.sizes) / (40 * PLAN.horizon * 6 * 8)
    assert n_paths < 100, "rows travel, not paths"
    assert max(Elsewhere.asked) < 1_000, "numbers of windows travel, not bars"


def test_a_missing_bar_is_scored_as_missing_wherever_it_is_drawn(service, store):
    origin = choose_origins(CANDLES, PLAN)[3]
    series = [
        Series(
            replace(CANDLES, frame=CANDLES.frame.drop(CANDLES.frame.index[origin + 6])), "samples"
        )
    ]
    plan = replace(PLAN, every=1, since=CANDLES.frame.index[origin - 2], n_origins=1)
    walk_forward(service, store, series, replace(plan, models=("ewma",)))
    record = pd.DataFrame(store.evaluations())
    found = record[record["timestamp"] == CANDLES.frame.index[origin + 6]]
    assert set(found["outcome"]) == {"missing"}
    assert len(found) == 6


def test_other_settings_are_other_windows(service, store):
    walk_forward(service, store, SERIES, PLAN)
    other = replace(PLAN, sampling=SamplingParameters(sample_count=8, seed=1), n_origins=2)
    assert walk_forward(service, store, SERIES, other).n_stored == 4


def test_windows_forecast_without_event_rows_are_forecast_again_by_a_model_that_reads_them(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(adapters, "adapters_folder", lambda: tmp_path)
    write_event_adapter(tmp_path, WITHOUT_EVENTS)
    plan = replace(PLAN, models=(NAME,), n_origins=2)
    with closing(LocalService(device="cpu")) as service:
        with monkeypatch.context() as earlier:  # a revision whose walks gave no model event rows
            earlier.setattr(walk_run, "event_inputs", lambda *_, **__: None)
            assert walk_forward(service, store, SERIES, plan).n_stored == 2
        assert walk_forward(service, store, SERIES, plan).n_stored == 2
        assert walk_forward(service, store, SERIES, plan).n_known == 2


def test_a_window_that_cannot_be_forecast_is_reported_and_the_others_are_stored(service, store):
    frame = CANDLES.frame.copy()
    frame.iloc[:, :4] = 100.0
    flat = Series(replace(CANDLES, frame=frame, symbol="FLAT"), "samples")
    plan = replace(PLAN, models=("garch",), n_origins=2)
    report = walk_forward(service, store, [flat, *SERIES], plan)
    assert report.n_stored == 2
    assert sum(report.problems.values()) == 2
    assert all("FLAT, garch: All 700 closes" in text or "FLAT" in text for text in report.problems)


def test_a_walk_without_windows_or_models_is_refused(service, store):
    with pytest.raises(InvalidRequest, match="None of the 1 series"):
        walk_forward(service, store, SERIES, replace(PLAN, history=700))
    with pytest.raises(InvalidRequest, match="no model"):
        walk_forward(service, store, SERIES, replace(PLAN, models=("of nobody",)))
    with pytest.raises(InvalidRequest, match="horizon must be at least 1"):
        replace(PLAN, horizon=0)


def test_paths_are_stored_on_request(service, store):
    plan = replace(PLAN, n_origins=2)
    walk_forward(service, store, SERIES, plan)
    assert store.counts()["prediction_paths"] == 0
    walk_forward(service, store, SERIES, replace(plan, horizon=3), paths="close")
    assert store.counts()["prediction_paths"] == 4
