"""What goes into the store comes out of it, once, unchanged, from either database."""

import sqlite3
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import kronos.store
from kronos.errors import InvalidRequest, StoreDamaged, StoreError, StoreIncompatible
from kronos.evaluation.cone import ewma_volatility
from kronos.evaluation.scores import LEVELS
from kronos.forecast import SamplingParameters
from kronos.store.schema import (
    REVISION,
    VERSION_TABLE,
    metadata,
    prediction_paths,
    predictions,
    script_directory,
)
from tests.store.made import make_candles, make_forecast

CANDLES = make_candles()
FORECAST = make_forecast(CANDLES)


def test_a_forecast_is_read_as_it_was_saved(url, opened):
    now = pd.Timestamp("2026-03-04 00:00:30.25", tz="UTC")
    saved = opened(url, clock=lambda: now).save(FORECAST, CANDLES, event_context={"cpi": [1, 0.5]})
    found = opened(url).get(saved.id)
    assert (found.instrument, found.source, found.interval) == ("BTCUSD", "made", "1h")
    assert found.origin == FORECAST.origin
    assert found.timestamps.equals(FORECAST.timestamps)
    assert np.array_equal(found.quantiles, FORECAST.quantile(LEVELS).T)
    assert np.array_equal(found.probability_up, FORECAST.probability_up())
    assert found.levels.tolist() == list(LEVELS)
    assert found.parameters == {
        "T": 1.0, "top_p": 1.0, "top_k": 0, "sample_count": 20, "n_context": 61, "anchored": False,
    }  # fmt: skip
    assert (found.seed, found.last_close) == (0, FORECAST.last_close)
    assert (found.model_name, found.model_version) == ("walk", "0123456789abcdef")
    assert found.event_context == {"cpi": [1, 0.5]}
    assert (found.created_at, found.software_version) == (now, kronos.__version__)


def test_the_volatility_is_that_of_the_bars_up_to_the_origin(store):
    closes = CANDLES.frame["close"].to_numpy()
    saved = store.save(FORECAST, CANDLES)
    assert store.get(saved.id).volatility == pytest.approx(ewma_volatility(closes[:61]))
    few = make_forecast(CANDLES, 15)
    assert store.get(store.save(few, CANDLES).id).volatility is None


@pytest.mark.parametrize(("chosen", "columns"), [("close", ["close"]), ("all", 6), ("none", [])])
def test_the_chosen_columns_of_paths_are_stored(store, chosen, columns):
    saved = store.save(FORECAST, CANDLES, paths=chosen)
    paths = store.paths(store.get(saved.id))
    assert list(paths) == columns or len(paths) == columns
    assert all(np.array_equal(paths[name], FORECAST.column(name)) for name in paths)


def test_the_same_request_is_one_row_that_stays_as_it_was(store):
    first = store.save(FORECAST, CANDLES)
    other = replace(FORECAST, paths=FORECAST.paths * 1.01, seconds=9.0)
    again = store.save(other, CANDLES)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.id == first.id
    assert np.array_equal(store.get(first.id).quantiles, FORECAST.quantile(LEVELS).T)
    assert store.counts()["prediction_paths"] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model_name": "other"},
        {"model_revision": "other"},
        {"context_hash": "cd" * 32},
        {"events_hash": "cd" * 32},
        {"anchor_factor": 1.01},
        {"parameters": SamplingParameters(sample_count=20, seed=1)},
        {"parameters": SamplingParameters(sample_count=20, T=0.9)},
        {"timestamps": FORECAST.timestamps + pd.Timedelta(hours=1)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_request_is_another_row(tmp_path, opened, other):
    store = opened(str(tmp_path / "s.sqlite3"))
    ids = {store.save(made, CANDLES).id for made in (FORECAST, replace(FORECAST, **other))}
    assert len(ids) == store.counts()["ml_predictions"] == 2


def test_source_and_event_context_belong_to_the_request(tmp_path, opened):
    store = opened(str(tmp_path / "s.sqlite3"))
    options = ({}, {"source": "yahoo"}, {"event_context": {}}, {"event_context": {"fomc": 1}})
    assert len({store.save(FORECAST, CANDLES, **given).id for given in options}) == 4


def test_the_digest_of_what_the_model_was_told_is_a_part_of_the_event_context(store):
    with_events = replace(FORECAST, events_hash="ef" * 32)
    alone, beside = (
        store.get(store.save(with_events, CANDLES, event_context=given).id)
        for given in (None, {"calendar": "bundled"})
    )
    assert alone.event_context == {"events_sha256": "ef" * 32}
    assert beside.event_context == {"calendar": "bundled", "events_sha256": "ef" * 32}


def test_whole_numbers_and_their_float_form_are_the_same_request(tmp_path, opened):
    store = opened(str(tmp_path / "s.sqlite3"))
    for T in (1, 1.0, np.float32(1)):
        store.save(replace(FORECAST, parameters=SamplingParameters(T=T, sample_count=20)), CANDLES)
    assert store.counts()["ml_predictions"] == 1


def test_the_id_is_the_same_in_every_store(url, opened, tmp_path):
    here = opened(url).save(FORECAST, CANDLES)
    assert here.id == opened(str(tmp_path / "other.sqlite3")).save(FORECAST, CANDLES).id


def test_a_clock_of_the_exchange_does_not_change_the_request(tmp_path, opened):
    store = opened(str(tmp_path / "s.sqlite3"))
    local = replace(
        FORECAST,
        timestamps=FORECAST.timestamps.tz_convert("Asia/Tokyo"),
        origin=FORECAST.origin.tz_convert("America/New_York"),
    )
    naive = replace(
        FORECAST,
        timestamps=FORECAST.timestamps.tz_localize(None),
        origin=FORECAST.origin.tz_localize(None),
    )
    assert len({store.save(made, CANDLES).id for made in (FORECAST, local, naive)}) == 1


def test_text_from_outside_is_stored_by_every_database(store):
    odd = replace(CANDLES, symbol="a\0b\ud800 '; DROP TABLE ml_predictions; -- 💹")
    found = store.get(store.save(FORECAST, odd).id)
    assert found.instrument == "a\ufffdb? '; DROP TABLE ml_predictions; -- 💹"


@pytest.mark.parametrize(
    ("forecast", "candles", "words"),
    [
        (FORECAST, CANDLES.slice(0, 50), "have none there"),
        (replace(FORECAST, last_close=1.0), CANDLES, "have one that closes at"),
        (replace(FORECAST, paths=FORECAST.paths * -1), CANDLES, "0 or below"),
    ],
)
def test_a_forecast_that_cannot_be_scored_is_refused(tmp_path, opened, forecast, candles, words):
    store = opened(str(tmp_path / "s.sqlite3"))
    with pytest.raises(InvalidRequest, match=words):
        store.save(forecast, candles)
    assert store.counts()["ml_predictions"] == 0


def test_an_event_context_that_is_no_json_is_refused(tmp_path, opened):
    store = opened(str(tmp_path / "s.sqlite3"))
    for context in ({"x": np.nan}, {"x": object()}):
        with pytest.raises(InvalidRequest, match="cannot be stored as JSON"):
            store.save(FORECAST, CANDLES, event_context=context)


def test_predictions_come_by_what_is_asked_oldest_first(store):
    eth = make_candles(symbol="ETHUSD", seed=2)
    for position in (80, 60, 70):
        for candles in (CANDLES, eth):
            store.save(make_forecast(candles, position), candles)
    store.save(make_forecast(CANDLES, 60, model="other"), CANDLES, source="yahoo")
    origins = [found.origin for found in store.predictions(instrument="ETHUSD")]
    assert origins == sorted(origins)
    assert len(origins) == 3
    assert len(list(store.predictions(model="other", interval="1h", source="yahoo"))) == 1
    assert not list(store.predictions(interval="1d"))
    assert store.series() == [
        ("made", "BTCUSD", "1h"), ("made", "ETHUSD", "1h"), ("yahoo", "BTCUSD", "1h"),
    ]  # fmt: skip
    first = store.first_origin(instrument="BTCUSD", interval="1h", source="made")
    assert first == CANDLES.frame.index[60]


def test_a_prediction_is_found_by_the_beginning_of_its_id(store):
    saved = store.save(FORECAST, CANDLES)
    assert store.get(saved.id[:12]).id == saved.id
    for wrong in ("", "%", "0" * 64, "nonsense"):
        with pytest.raises(InvalidRequest, match="id"):
            store.get(wrong)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
@pytest.mark.parametrize("verb", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
def test_rows_can_neither_be_changed_nor_removed(store, table, verb):
    from kronos.store.scoring import score_candles

    store.save(FORECAST, CANDLES)
    score_candles(store, CANDLES)
    column = next(iter(table.primary_key.columns)).name
    statement = verb.format(table.name, column, column)
    with pytest.raises(StoreError, match="never changed or removed"):
        store.database.write(lambda connection: connection.execute(sa.text(statement)))
    assert store.counts()[table.name] > 0


def test_paths_that_were_damaged_are_not_believed(tmp_path, opened):
    path = tmp_path / "s.sqlite3"
    store = opened(str(path))
    saved = store.save(FORECAST, CANDLES)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER prediction_paths_no_update")
        connection.execute("UPDATE prediction_paths SET data = zeroblob(length(data))")
    with pytest.raises(StoreDamaged, match=saved.id):
        store.paths(store.get(saved.id))


def test_threads_that_save_the_same_store_it_once(store):
    barrier, results = threading.Barrier(8), []

    def save():
        barrier.wait()
        results.append(store.save(FORECAST, CANDLES))

    threads = [threading.Thread(target=save) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(saved.is_new for saved in results) == 1
    assert len({saved.id for saved in results}) == 1


def test_the_migrations_make_the_tables_that_the_code_knows(store):
    with store.database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []
    assert script_directory().get_current_head() == REVISION


def test_a_store_of_a_newer_version_is_left_alone(url, opened):
    store = opened(url)
    version = sa.table(VERSION_TABLE, sa.column("version_num"))
    store.database.write(
        lambda connection: connection.execute(sa.update(version).values(version_num="9999"))
    )
    with pytest.raises(StoreIncompatible, match="newer version of this program"):
        opened(url)


def test_a_process_has_one_store_per_url(tmp_path, monkeypatch):
    monkeypatch.setenv("KRONOS_STORE", str(tmp_path / "named.sqlite3"))
    saved = kronos.store.save(FORECAST, CANDLES)
    store = kronos.store.open_store()
    assert store is kronos.store.open_store(f"sqlite:///{tmp_path / 'named.sqlite3'}")
    assert store.get(saved.id).id == saved.id
    assert not kronos.store.save(FORECAST, CANDLES).is_new
    store.close()


def test_nothing_of_a_failed_transaction_is_stored(store):
    def half(connection):
        connection.execute(sa.insert(predictions).from_select(["id"], sa.select(sa.literal("x"))))

    def no_parent(connection):
        row = {"prediction_id": "f" * 64, "columns": [], "n_paths": 1, "sha256": "", "data": b""}
        connection.execute(sa.insert(prediction_paths).values(**row))

    for work in (half, no_parent):
        with pytest.raises(StoreError):
            store.database.write(work)
    assert set(store.counts().values()) == {0}
