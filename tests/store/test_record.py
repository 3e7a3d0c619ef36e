"""The record: one row for each step with a bar, and the facts that judge it."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from kronos import models
from kronos.evaluation.scores import LEVELS
from kronos.events import Event
from kronos.forecasters import baselines
from kronos.store.record import COLUMNS, count_bands, read_quantiles, read_record
from kronos.store.scoring import score_candles
from tests.store.made import make_candles, make_forecast, with_closes, without

CANDLES = make_candles()
HORIZON = 6


def saved(store, *, candles=CANDLES, position=60, **options):
    forecast = make_forecast(candles, position, horizon=HORIZON, **options)
    store.save(forecast, candles)
    return forecast


def record_of(store, **chosen):
    return read_record(store, models.cut_off, **chosen)


def test_an_empty_store_has_an_empty_record(store):
    record = record_of(store)
    assert record.empty
    assert tuple(record.columns) == COLUMNS
    assert read_quantiles(store, record).shape == (0, len(LEVELS))


def test_each_step_that_came_is_a_row_with_its_scores(store):
    forecast = saved(store)
    score_candles(store, CANDLES)
    record = record_of(store)
    assert record["step"].tolist() == [*range(1, HORIZON + 1)]
    stored = store.evaluations()
    for name in ("crps", "pit", "width", "absolute_error", "actual_return", "scale", "log_score"):
        np.testing.assert_array_equal(record[name], stored[name])
    assert record["qlike"].unique().tolist() == store.path_evaluations()["qlike"].tolist()
    assert record["inside"].tolist() == stored["inside_band"].astype(float).tolist()
    assert (record["timestamp"] == forecast.timestamps.tz_convert("UTC")).all()
    assert (record["origin"] == forecast.origin).all()
    assert record["asset_class"].unique().tolist() == ["crypto"]
    assert not record["ahead"].any()
    drawn = record[["T", "top_p", "top_k", "n_paths"]].drop_duplicates()
    assert drawn.to_numpy().tolist() == [[1.0, 1.0, 0, 20]]


def test_quantiles_follow_the_rows_of_the_record(store):
    forecasts = [saved(store, position=p) for p in (60, 70)]
    score_candles(store, CANDLES)
    record = record_of(store).sample(frac=1, random_state=3)
    found = read_quantiles(store, record)
    by_origin = {f.origin: np.log(f.quantile(LEVELS) / f.last_close) for f in forecasts}
    for row, values in zip(record.itertuples(), found, strict=True):
        np.testing.assert_allclose(values, by_origin[row.origin][:, row.step - 1], rtol=1e-12)


def test_a_corrected_bar_counts_once_and_a_missing_one_not_at_all(store):
    saved(store)
    score_candles(store, without(CANDLES, 62))
    assert record_of(store)["step"].tolist() == [1, 3, 4, 5, 6]
    score_candles(store, with_closes(CANDLES, {63: 9999.0}))
    record = record_of(store).set_index("step")
    assert record.index.tolist() == [*range(1, HORIZON + 1)]
    moved = np.log(9999.0 / CANDLES.frame["close"].iloc[60])
    assert record.loc[3, "actual_return"] == pytest.approx(moved)


def test_bands_are_counted_as_the_record_has_them(store):
    saved(store)
    saved(store, position=70)
    cold = make_forecast(CANDLES, 70, horizon=HORIZON)
    store.save(replace(cold, parameters=replace(cold.parameters, T=0.5)), CANDLES)
    score_candles(store, without(CANDLES, 62))
    score_candles(store, with_closes(CANDLES, {63: 9999.0}))
    record = record_of(store)
    record = record[record["T"] == 1.0]
    (count,) = count_bands(store)
    assert (count.model, count.asset_class) == (record["model"].iloc[0], "crypto")
    assert (count.interval, count.n_forecasts) == (record["interval"].iloc[0], 2)
    assert (count.n_closes, count.n_inside) == (len(record), record["inside"].sum())
    assert count.n_closes == 2 * HORIZON


def test_what_is_asked_for_is_equal_to_what_is_given(store):
    saved(store)
    saved(store, model="other")
    score_candles(store, CANDLES)
    assert record_of(store, model="other")["model"].unique().tolist() == ["other"]
    assert len(record_of(store, instrument="BTCUSD", interval="1h")) == 2 * HORIZON
    assert record_of(store, instrument="ETHUSD").empty


def test_out_of_sample_begins_where_the_training_bars_end(store):
    entry = next(e for e in models.available() if e.name == "bundled")
    early = make_candles(begin="2025-09-27")
    version = {"model": "bundled", "revision": entry.revision}
    for position in (60, 100, 101, 115):
        saved(store, candles=early, position=position, **version)
    saved(store, candles=early, model="ewma", revision=baselines.revision())
    saved(store, candles=early, model="bundled", revision="another", position=90)
    score_candles(store, early)
    record = record_of(store).drop_duplicates("prediction_id")
    ours = record[record["version"] == entry.revision]
    behind = ours["origin"] >= pd.Timestamp("2025-10-01", tz="UTC")
    assert ours["out_of_sample"].tolist() == behind.tolist()
    assert set(behind) == {True, False}
    assert record.loc[record["model"] == "ewma", "out_of_sample"].tolist() == [True]
    assert record.loc[record["version"] == "another", "out_of_sample"].isna().all()


def test_cut_offs():
    small = models.PUBLISHED["small"]
    assert models.cut_off(small.title, small.model.revision) == date(2024, 7, 1)
    assert models.cut_off(small.title, "main") is None
    assert models.cut_off("garch", "") == date.min
    assert models.cut_off("of nobody", "") is None


def test_event_days_are_those_of_the_bar_on_its_markets_clock(store):
    # 2 March, 20:30 in New York is 3 March in UTC, whose days count for a market around the clock.
    release = Event("cpi", pd.Timestamp("2026-03-03 01:30", tz="UTC"), region="US")
    far = Event("cpi", pd.Timestamp("2026-03-05 12:00", tz="UTC"), region="US")
    saved(store, position=44)
    score_candles(store, CANDLES)
    record = record_of(store, events=(release, far))
    expected = [pd.NA if t < release.time.normalize() else True for t in record["timestamp"]]
    assert [pd.NA if pd.isna(v) else bool(v) for v in record["event_day"]] == expected
    saved(store, position=100)
    score_candles(store, CANDLES)
    late = record_of(store, events=(release, far))
    late = late[late["origin"] > far.time.normalize()]
    assert late["event_day"].all()
    assert len(late) == HORIZON
