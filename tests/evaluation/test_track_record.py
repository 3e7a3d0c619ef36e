"""What a record shows, on records whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kronos.evaluation.significance import block_bootstrap, diebold_mariano, newey_west
from kronos.evaluation.track_record import (
    coverage_by,
    crps_skill,
    information_coefficient,
    mean_gain,
    pit_shares,
    reliability,
    smoothed_coverage,
    volatility_scores,
    worst_misses,
)

HORIZON = 4


def made_record(n_dates=60, n_instruments=6, *, seed=0, crps=1.0, noise=0.1):
    """A record of one origin a day for some instruments, with scores around `crps`."""
    rng = np.random.default_rng(seed)
    origins = pd.date_range("2026-01-01", periods=n_dates, freq="D", tz="UTC")
    keys = [range(n_dates), range(n_instruments), range(1, HORIZON + 1)]
    date, i, step = pd.MultiIndex.from_product(keys).to_frame().to_numpy().T
    instruments = np.array([f"A{k}" for k in range(n_instruments)])
    record = pd.DataFrame(
        {
            "prediction_id": pd.Series(date).astype(str) + " " + pd.Series(i).astype(str),
            "instrument": instruments[i],
            "source": "made",
            "interval": "1d",
            "origin": origins[date],
            "horizon": HORIZON,
            "step": step,
            "timestamp": origins[date] + pd.to_timedelta(step, "D"),
        }
    )
    record["scale"] = np.sqrt(record["step"]) * 0.01
    record["actual_return"] = rng.normal(size=len(record)) * record["scale"]
    record["crps"] = record["scale"] * (crps + noise * rng.normal(size=len(record)))
    record["pit"] = rng.uniform(size=len(record))
    record["inside"] = (np.abs(record["pit"] - 0.5) < 0.4).astype(float)
    record["width"] = 2 * 1.2815515655446004 * record["scale"]
    return record


def test_reliability_of_true_quantiles_is_the_level():
    rng = np.random.default_rng(1)
    levels = np.array([0.1, 0.5, 0.9])
    sigmas = rng.uniform(0.5, 2, 20_000)
    quantiles = stats.norm.ppf(levels) * sigmas[:, None]
    table = reliability(rng.normal(size=20_000) * sigmas, quantiles, levels)
    np.testing.assert_allclose(table["share"], levels, atol=0.01)
    narrow = reliability(rng.normal(size=20_000) * sigmas, quantiles / 2, levels)
    assert narrow["share"].iloc[0] > 0.2
    quantiles[:5] = np.nan
    assert reliability(np.zeros(20_000), quantiles, levels)["n"].unique().tolist() == [19_995]
    assert reliability(np.zeros(0), np.zeros((0, 3)), levels)["share"].isna().all()


def test_pit_shares_sum_to_one():
    np.testing.assert_allclose(pit_shares(np.array([0.05, 0.95, 0.96, 0.5]), 2), [0.25, 0.75])
    assert pit_shares(np.array([])).tolist() == [0.0] * 10


def test_coverage_counts_a_date_as_one():
    record = made_record(400)
    table = coverage_by(record, "step")
    assert table.index.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(table["coverage"], 0.8, atol=0.03)
    # Independent outcomes: the usual error of a share.
    np.testing.assert_allclose(table["error"], np.sqrt(0.16 / table["n"]), rtol=0.15)
    # All instruments of a date alike: there is one outcome a date.
    first = record.groupby(["origin", "step"])["inside"].transform("first")
    alike = coverage_by(record.assign(inside=first), "step")
    np.testing.assert_allclose(alike["error"], np.sqrt(0.16 / 400), rtol=0.15)
    months = coverage_by(record, record["timestamp"].dt.strftime("%Y-%m"))
    assert months["n"].sum() == len(record)


def test_skill_compares_what_both_have_forecast():
    ours, theirs = made_record(crps=0.9), made_record(seed=1, crps=1.0)
    found = crps_skill(ours, theirs)
    assert found.skill == pytest.approx(0.1, abs=0.01)
    assert found.low < found.skill < found.high
    assert found.low > 0.05
    assert found.statistic < -3
    assert found.p < 0.01
    assert (found.n_windows, found.n_dates) == (360, 60)
    half = crps_skill(ours, theirs[theirs["instrument"] < "A3"])
    assert half.n_windows == 180
    other = theirs.assign(source="another")
    assert crps_skill(ours, other) is None
    twice = crps_skill(ours, pd.concat([theirs, theirs]))
    assert twice.skill == pytest.approx(found.skill)


def test_smoothed_coverage_follows_a_change_and_its_interval_covers_it():
    record = made_record(720, 6)
    early = record["timestamp"] < record["timestamp"].quantile(0.5)
    truth = np.where(early, 0.9, 0.6)
    rng = np.random.default_rng(3)
    record["inside"] = (rng.uniform(size=len(record)) < truth).astype(float)
    table = smoothed_coverage(record)
    assert table.index.is_monotonic_increasing
    assert len(table) == 80
    first, last = table.iloc[5:30], table.iloc[50:75]
    np.testing.assert_allclose(first["coverage"], 0.9, atol=0.05)
    np.testing.assert_allclose(last["coverage"], 0.6, atol=0.06)
    within = (last["low"] < 0.6) & (last["high"] > 0.6)
    assert within.mean() > 0.7
    assert ((table["low"] <= table["coverage"]) & (table["coverage"] <= table["high"])).all()


def test_smoothed_coverage_counts_a_date_as_one_and_leaves_gaps():
    record = made_record(200, 8)
    alone = smoothed_coverage(record)
    first = record.groupby("timestamp")["inside"].transform("first")
    alike = smoothed_coverage(record.assign(inside=first))
    width, wide = ((t["high"] - t["low"]).mean() for t in (alone, alike))
    assert wide > 2 * width
    far = record.copy()
    late = far["origin"] > far["origin"].median()
    for name in ("origin", "timestamp"):
        far.loc[late, name] += pd.Timedelta(days=900)
    assert 10 < smoothed_coverage(far)["coverage"].isna().sum() < 70
    assert smoothed_coverage(record[:0]).empty
    one = smoothed_coverage(record[record["origin"] == record["origin"].min()][:1])
    assert one["coverage"].tolist() == [record["inside"].iloc[0]]
    assert one["low"].isna().all()


def test_gains_of_other_scores_are_mean_differences_with_their_interval():
    ours, theirs = made_record(seed=0), made_record(seed=1)
    rng = np.random.default_rng(2)
    ours = ours.assign(n_paths=32, log_score=rng.normal(1.0, 0.2, len(ours)))
    theirs = theirs.assign(n_paths=32, log_score=rng.normal(1.3, 0.2, len(theirs)))
    found = mean_gain(ours, theirs, "log_score")
    assert found.mean == pytest.approx(0.3, abs=0.03)
    assert found.low < 0.3 < found.high < 0.4
    assert found.n_windows == 360
    assert mean_gain(ours, theirs.assign(n_paths=100), "log_score") is None
    assert mean_gain(ours.assign(log_score=np.nan), theirs, "log_score") is None
    some = ours.assign(log_score=ours["log_score"].where(ours["instrument"] < "A2"))
    assert mean_gain(some, theirs, "log_score").n_windows == 120
    # One QLIKE per window, whatever the number of steps.
    ours["qlike"] = ours.groupby("prediction_id")["log_score"].transform("first")
    theirs["qlike"] = ours["qlike"] + 0.1
    whole = mean_gain(ours, theirs, "qlike")
    assert (whole.mean, whole.low, whole.high) == pytest.approx((0.1, 0.1, 0.1))


def test_few_dates_give_no_interval():
    found = crps_skill(made_record(5), made_record(5, seed=1))
    assert np.isnan([found.low, found.high, found.p]).all()


def test_the_interval_covers_a_true_skill_of_nothing():
    """Scores of a date move together and from date to date: an interval that ignored it would be
    too narrow."""

    def correlated(seed):
        rng = np.random.default_rng(seed)
        steps = rng.normal(size=63)
        shock = np.convolve(steps, np.ones(4) / 2, "valid")  # of 4 dates, as horizons overlap
        record = made_record(seed=seed)
        dates = (record["origin"] - record["origin"].min()).dt.days
        return record.assign(crps=record["scale"] * (1 + 0.2 * shock[dates]))

    covered = [
        (found := crps_skill(correlated(2 * i), correlated(2 * i + 1), n_draws=200)).low
        <= 0
        <= found.high
        for i in range(60)
    ]
    assert np.mean(covered) > 0.8


def test_diebold_mariano_of_one_step_is_students_test():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    expected = stats.ttest_1samp(values, 0.0)
    found = diebold_mariano(values)
    assert found.statistic == pytest.approx(3.872983, abs=1e-6)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_diebold_mariano_of_more_steps_worked_by_hand():
    # Deviations -1.5 -.5 .5 1.5: gamma0 = 1.25, gamma1 = (.75 - .25 + .75) / 4 = .3125, of which
    # half counts twice: 1.5625. Correction (4 + 1 - 4 + 2 / 4) / 4 = .375.
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert newey_west(values, 1) == pytest.approx(1.5625)
    expected = 2.5 / np.sqrt(1.5625 / 4) * np.sqrt(0.375)
    assert diebold_mariano(values, 2).statistic == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_nothing_to_test_is_not_a_number(values):
    assert np.isnan(diebold_mariano(np.array(values)).p)


def test_blocks_draw_each_term_equally_often():
    counts = block_bootstrap(10, 3, 4000)
    assert (counts.sum(axis=1) == 10).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=0.06)


def test_a_signal_that_knows_the_order_has_a_rank_correlation_of_one():
    record = made_record()
    known = record["actual_return"].to_numpy()
    assert information_coefficient(record, known**3, ranked=True).mean == pytest.approx(1.0)
    assert information_coefficient(record, -known).mean == pytest.approx(-1.0)
    noise = information_coefficient(record, np.random.default_rng(5).normal(size=len(record)))
    assert noise.n_dates == 60
    assert abs(noise.t) < 4
    few = information_coefficient(record[record["instrument"] < "A4"], known[:960])
    assert few.n_dates == 0


def test_volatility_that_is_known_scores_best():
    record = made_record(300)
    rng = np.random.default_rng(7)
    ids = record["prediction_id"]
    factor = ids.map(dict(zip(ids.unique(), rng.uniform(0.5, 2, ids.nunique()), strict=True)))
    moves = rng.normal(size=len(record)) * 0.01 * factor
    record["actual_return"] = moves.groupby(ids).cumsum()
    flat = volatility_scores(record)
    informed = volatility_scores(record.assign(width=record["width"] * factor))
    assert informed.n == flat.n == 1800
    assert informed.r2 > 0.3 > flat.r2
    assert informed.mae < flat.mae
    assert volatility_scores(record[record["step"] != 2]).n == 0


def test_the_worst_miss_comes_first_and_once_per_forecast():
    record = made_record()
    record.loc[17, "crps"] = record.loc[18, "crps"] = 1.0
    worst = worst_misses(record, 3)
    assert worst["prediction_id"].iloc[0] == record.loc[17, "prediction_id"]
    assert worst["prediction_id"].is_unique
    assert worst["miss"].is_monotonic_decreasing
