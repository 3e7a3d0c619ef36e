"""Every bar is scored once when it is available, and again only when it changed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kronos.errors import InvalidRequest
from kronos.evaluation.scores import LEVELS, energy_score, log_score, qlike, score_steps
from kronos.store.record import summarise
from kronos.store.scoring import score_candles
from tests.store.made import make_candles, make_forecast, with_closes, without

CANDLES = make_candles()
ORIGIN, HORIZON = 60, 6
FORECAST = make_forecast(CANDLES, ORIGIN, horizon=HORIZON)
CLOSES = CANDLES.frame["close"].to_numpy()
RETURNS = np.log(CLOSES[ORIGIN + 1 : ORIGIN + 1 + HORIZON] / CLOSES[ORIGIN])


def upto(n_steps: int):
    """The bars as they were n steps after the origin."""
    return CANDLES.slice(None, ORIGIN + 1 + n_steps)


@pytest.fixture
def stored(tmp_path, opened):
    """A store with the forecast in it."""
    store = opened(str(tmp_path / "store.sqlite3"))
    store.save(FORECAST, CANDLES)
    return store


def rows_of(store):
    return store.evaluations().set_index("step")


def all_rows(store):
    """Every revision of every step."""
    from kronos.store.schema import signal_evaluations

    with store.database.reading() as connection:
        return pd.DataFrame(connection.execute(signal_evaluations.select()).mappings().all())


def test_a_scored_forecast_has_the_scores_of_its_paths(store):
    saved = store.save(FORECAST, CANDLES)
    report = score_candles(store, CANDLES)
    assert report.recorded == {"observed": HORIZON}
    rows = rows_of(store)
    paths = FORECAST.log_returns()
    expected = score_steps(RETURNS, np.quantile(paths, LEVELS, axis=0).T, np.array(LEVELS), paths)
    for name in ("crps", "pinball", "interval_score", "width", "pit", "absolute_error"):
        np.testing.assert_allclose(rows[name], getattr(expected, name), rtol=1e-3, err_msg=name)
    assert rows["inside_band"].tolist() == (expected.inside == 1).tolist()
    assert rows["direction"].tolist() == (expected.direction == 1).tolist()
    np.testing.assert_allclose(rows["actual_return"], RETURNS)
    np.testing.assert_allclose(rows["actual"], CLOSES[ORIGIN + 1 : ORIGIN + 1 + HORIZON])
    sigma = store.get(saved.id).volatility
    np.testing.assert_allclose(rows["scale"], sigma * np.sqrt(np.arange(1, HORIZON + 1)))
    assert list(rows["timestamp"]) == list(FORECAST.timestamps)
    assert list(rows["resolved_at"]) == list(FORECAST.timestamps + pd.Timedelta(hours=1))
    (whole,) = store.path_evaluations().to_dict("records")
    assert whole["energy_score"] == pytest.approx(energy_score(RETURNS, paths))
    assert whole["qlike"] == pytest.approx(qlike(RETURNS, paths))
    np.testing.assert_allclose(rows["log_score"], log_score(RETURNS, paths))


def test_scoring_bar_by_bar_equals_scoring_at_the_end(stored, tmp_path, opened):
    for n in range(HORIZON + 3):
        report = score_candles(stored, upto(n))
        assert report.recorded == ({"observed": 1} if 1 <= n <= HORIZON else {})
        assert report.n_pending == max(HORIZON - n, 0)
        assert len(stored.path_evaluations()) == (n >= HORIZON)
    at_once = opened(str(tmp_path / "other.sqlite3"))
    at_once.save(FORECAST, CANDLES)
    score_candles(at_once, CANDLES)
    without_clock = rows_of(stored).drop(columns="recorded_at")
    pd.testing.assert_frame_equal(without_clock, rows_of(at_once).drop(columns="recorded_at"))


def test_scoring_twice_records_nothing_twice(store):
    store.save(FORECAST, CANDLES)
    score_candles(store, CANDLES)
    before = store.counts()
    report = score_candles(store, CANDLES)
    assert (report.recorded, report.n_pending) == ({}, 0)
    assert store.counts() == before


def test_a_bar_counts_once_it_has_ended(stored):
    """Only bars that had ended by `as_of` are read, for any later bars."""
    third = FORECAST.timestamps[2]
    wild = with_closes(CANDLES, {ORIGIN + 3: 1.0, ORIGIN + 4: 1.0, ORIGIN + 5: 1.0})
    report = score_candles(stored, wild, as_of=third + pd.Timedelta(minutes=59))
    assert (report.recorded, report.n_pending) == ({"observed": 2}, 4)
    np.testing.assert_allclose(rows_of(stored)["actual_return"], RETURNS[:2])
    score_candles(stored, CANDLES, as_of=third + pd.Timedelta(minutes=60))
    np.testing.assert_allclose(rows_of(stored)["actual_return"], RETURNS[:3])


def test_the_future_is_no_time_to_score_as_of(stored):
    for moment in (pd.Timestamp.now("UTC") + pd.Timedelta(days=1), pd.Timestamp("2026-03-04")):
        with pytest.raises(InvalidRequest, match="as of now or earlier"):
            score_candles(stored, CANDLES, as_of=moment)


def test_days_end_at_midnight_of_the_exchange_also_when_clocks_change(tmp_path, opened):
    days = make_candles(40, interval="1d", begin="2026-02-20", zone="America/New_York")
    store = opened(str(tmp_path / "store.sqlite3"))
    position = 14  # 6 March; clocks go forward on the 8th
    store.save(make_forecast(days, position, horizon=3), days)
    score_candles(store, days)
    ends = pd.DatetimeIndex(rows_of(store)["resolved_at"]).tz_convert("America/New_York")
    assert [str(end) for end in ends] == [
        "2026-03-08 00:00:00-05:00", "2026-03-09 00:00:00-04:00", "2026-03-10 00:00:00-04:00",
    ]  # fmt: skip


def test_a_bar_that_is_missing_is_recorded_and_late_when_it_arrives(stored):
    gap = without(upto(4), ORIGIN + 2)
    first = pd.Timestamp("2026-03-10 00:00", tz="UTC")
    report = score_candles(stored, gap, as_of=first)
    assert report.recorded == {"observed": 3, "missing": 1}
    row = rows_of(stored).loc[2]
    assert (row["outcome"], row["resolved_at"]) == ("missing", first)
    assert row[["actual", "crps", "pit", "direction"]].isna().all()
    assert score_candles(stored, gap).recorded == {}
    second = pd.Timestamp("2026-03-12 00:00", tz="UTC")
    assert score_candles(stored, CANDLES, as_of=second).recorded == {"observed": 2, "late": 1}
    row = rows_of(stored).loc[2]
    assert (row["outcome"], row["revision"], row["resolved_at"]) == ("late", 1, second)
    assert row["actual_return"] == pytest.approx(RETURNS[1])
    assert len(all_rows(stored)) == HORIZON + 1
    assert stored.path_evaluations()["resolved_at"].tolist() == [second]


def test_whole_paths_are_not_scored_while_a_bar_is_missing(stored):
    score_candles(stored, without(CANDLES, ORIGIN + 2))
    assert stored.path_evaluations().empty


def test_the_last_bars_are_awaited_and_not_missing(stored):
    report = score_candles(stored, without(upto(4), ORIGIN + 3, ORIGIN + 4))
    assert (report.recorded, report.n_pending) == ({"observed": 2}, 4)


def test_a_corrected_bar_is_a_new_revision_and_the_old_one_stays(stored):
    score_candles(stored, CANDLES)
    old_energy = stored.path_evaluations()["energy_score"][0]
    corrected = with_closes(CANDLES, {ORIGIN + 3: CLOSES[ORIGIN + 3] * 1.02})
    now = pd.Timestamp("2026-03-20 00:00", tz="UTC")
    assert score_candles(stored, corrected, as_of=now).recorded == {"corrected": 1}
    newest, every = rows_of(stored).loc[3], all_rows(stored)
    assert newest["actual_return"] == pytest.approx(RETURNS[2] + np.log(1.02))
    assert (newest["revision"], newest["resolved_at"]) == (1, now)
    third = every[every["step"] == 3].sort_values("revision")
    assert third["actual_return"].tolist()[0] == pytest.approx(RETURNS[2])
    assert len(every) == HORIZON + 1
    paths = stored.path_evaluations()
    assert paths["revision"].tolist() == [1]
    assert paths["energy_score"][0] != old_energy
    assert score_candles(stored, corrected).recorded == {}


def test_rounding_is_no_correction_and_a_tenth_of_a_basis_point_is(stored):
    score_candles(stored, CANDLES)
    for factor, expected in ((1 + 9e-6, {}), (1 + 1.1e-5, {"corrected": 1})):
        moved = with_closes(CANDLES, {ORIGIN + 3: CLOSES[ORIGIN + 3] * factor})
        assert score_candles(stored, moved).recorded == expected


def test_prices_rescaled_since_are_no_move_and_no_correction(stored):
    """A split of ten to one after the forecast: every bar so far is divided by ten."""
    score_candles(stored, upto(3))
    frame = CANDLES.frame.copy()
    frame[["open", "high", "low", "close"]] /= 10
    report = score_candles(stored, replace(CANDLES, frame=frame))
    assert report.recorded == {"observed": 3}
    np.testing.assert_allclose(rows_of(stored)["actual_return"], RETURNS)
    assert rows_of(stored)["origin_close"].tolist()[-1] == pytest.approx(CLOSES[ORIGIN] / 10)


def test_another_source_disputes_and_does_not_correct(stored):
    score_candles(stored, CANDLES)
    other = with_closes(CANDLES, {ORIGIN + 3: CLOSES[ORIGIN + 3] * 1.02})
    report = score_candles(stored, other, bars_source="elsewhere")
    assert (report.recorded, report.n_disputed) == ({}, 1)


def test_a_source_that_forgets_bars_takes_nothing_back(stored):
    score_candles(stored, CANDLES)
    assert score_candles(stored, without(CANDLES, ORIGIN + 2)).recorded == {}
    report = score_candles(stored, CANDLES.slice(ORIGIN + 1))
    assert (report.recorded, report.n_without_origin) == ({}, 1)
    assert len(rows_of(stored)) == HORIZON


def test_only_forecasts_of_that_instrument_interval_and_source_are_scored(stored):
    assert score_candles(stored, replace(CANDLES, symbol="ETHUSD")).n_predictions == 0
    assert score_candles(stored, CANDLES, of_source="yahoo").n_predictions == 0
    assert score_candles(stored, CANDLES, of_source="made").n_predictions == 1
    assert rows_of(stored)["source"].unique().tolist() == ["made"]


def test_forecasts_of_the_past_are_told_from_those_of_the_future(tmp_path, opened):
    moment = FORECAST.timestamps[1] + pd.Timedelta(minutes=30)
    now = [moment]
    store = opened(str(tmp_path / "store.sqlite3"), clock=lambda: now[0])
    store.save(FORECAST, CANDLES)
    now[0] = pd.Timestamp("2026-04-01", tz="UTC")
    score_candles(store, CANDLES)
    assert rows_of(store)["ahead"].tolist() == [False] + [True] * 5
    table = summarise(store)
    assert table[["made", "steps"]].to_numpy().tolist() == [["afterwards", 1], ["ahead", 5]]


def test_without_paths_the_scores_are_of_the_quantiles(tmp_path, opened):
    store = opened(str(tmp_path / "store.sqlite3"))
    store.save(FORECAST, CANDLES, paths="none")
    score_candles(store, CANDLES)
    rows = rows_of(store)
    assert rows["crps_estimator"].unique().tolist() == ["quantiles"]
    assert rows["log_score"].isna().all()
    assert rows["crps"].notna().all()
    assert store.path_evaluations().empty


def test_the_summary_is_the_mean_of_the_scores(tmp_path, opened):
    store = opened(str(tmp_path / "store.sqlite3"))
    assert summarise(store).empty
    for position in (60, 70):
        store.save(make_forecast(CANDLES, position, seed=position), CANDLES)
    few = make_forecast(CANDLES, 10, model="few")
    store.save(few, CANDLES)
    score_candles(store, without(CANDLES, 72))
    table = summarise(store).set_index("model")
    row, rows = table.loc["walk 0123456789ab"], store.evaluations()
    mine = rows[rows["scale"].notna()]
    assert (row["predictions"], row["steps"], row["missing"]) == (2, 11, 1)
    assert row["crps"] == pytest.approx((mine["crps"] / mine["scale"]).mean())
    assert row["coverage"] == pytest.approx(mine["inside_band"].dropna().astype(float).mean())
    other = table.loc["few 0123456789ab"]
    assert np.isnan(other["crps"])
    assert 0 <= other["coverage"] <= 1
