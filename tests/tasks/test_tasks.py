"""The published tasks on bars whose right answer is known."""

import json

import numpy as np
import pandas as pd
import pytest

from kronos.cli import main
from kronos.context import CLOSE
from kronos.errors import InvalidRequest
from kronos.tasks import series
from kronos.tasks.direction import rank_ic
from kronos.tasks.report import NAIVE, run_tasks
from kronos.tasks.series import discriminative_score, split, train_on_synthetic
from kronos.tasks.volatility import (
    garch_variance,
    har_variance,
    qlike,
    qlike_table,
    realised,
    volatility_scores,
)
from kronos.tasks.windows import TaskPlan, Window, draw_paths, estimate, windows_at
from kronos.training.corpus import load_corpus

PLAN = TaskPlan(origins=6, series=20, windows=40, qlike_origins=3, paths=4)


def bars(n, *, seed, freq="1h"):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, n)))
    opens = np.r_[close[0], close[:-1]]
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2020-01-01", periods=n, freq=freq),
            "open": opens,
            "high": np.maximum(opens, close) * 1.001,
            "low": np.minimum(opens, close) * 0.999,
            "close": close,
            "volume": rng.integers(1, 1000, n).astype(float),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")
    for i in range(7):
        bars(420, seed=i).to_csv(folder / f"hour{i}.csv", index=False)
    bars(800, seed=9, freq="1D").to_csv(folder / "day.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def corpus(folder):
    return load_corpus(folder)


@pytest.fixture(scope="module")
def hours(corpus):
    return windows_at(corpus, PLAN, "1h", 80, 12, 6)


def actual_closes(corpus, windows, horizon=12):
    return np.array([corpus.values[w.origin : w.origin + horizon, CLOSE] for w in windows], float)


def test_a_perfect_forecaster_has_a_rank_correlation_of_1(corpus, hours):
    windows, overlap = hours
    closes = actual_closes(corpus, windows)
    found = rank_ic(corpus, windows, closes, overlap)
    assert found["price"].value == pytest.approx(1.0)
    assert found["return"].value == pytest.approx(1.0)
    last = np.array([w.closes(corpus, 1)[-1] for w in windows])[:, None]
    inverse = rank_ic(corpus, windows, last**2 / closes, overlap)
    assert inverse["price"].value == inverse["return"].value == pytest.approx(-1.0)


def test_a_forecaster_without_movement_has_no_rank_correlation(corpus, hours):
    windows, overlap = hours
    still = np.repeat([[w.closes(corpus, 1)[-1]] for w in windows], 12, axis=1)
    found = rank_ic(corpus, windows, still, overlap)
    assert np.isnan(found["price"].value)
    assert np.isnan(found["return"].value)


def test_instruments_share_their_dates_and_read_nothing_before_since(corpus):
    since = pd.Timestamp("2020-01-10")
    windows, _ = windows_at(corpus, TaskPlan(origins=5, since=since), "1h", 80, 12, 5)
    dates = [w.date for w in windows]
    assert [dates.count(date) for date in range(5)] == [7] * 5
    assert min(corpus.times[w.origin] for w in windows) >= since.value
    with pytest.raises(InvalidRequest, match="No series of 1h"):
        windows_at(corpus, PLAN, "1h", 1000, 12, 5)


def test_the_realised_variance_itself_has_no_error(corpus, hours):
    windows, overlap = hours
    actual = np.array([np.square(w.returns(corpus, 12)).sum() for w in windows])
    last = np.array([w.closes(corpus, 1)[-1] for w in windows])
    summed = [realised(c, s)[-1] for c, s in zip(actual_closes(corpus, windows), last, strict=True)]
    np.testing.assert_allclose(summed, actual, rtol=1e-5)
    mae, r2 = volatility_scores(actual, actual, windows, overlap)
    assert mae.value == 0.0
    assert r2.value == 1.0
    assert volatility_scores(actual, np.full(len(actual), actual.mean()), windows, overlap)[
        1
    ].value == pytest.approx(0.0)


def test_the_true_variance_has_the_least_qlike():
    rng = np.random.default_rng(0)
    true = np.exp(rng.normal(-9, 1, 4000))
    actual = true * rng.chisquare(5, 4000) / 5
    unit = np.full(4000, np.exp(-9.0))
    windows = [Window(None, 0, date) for date in range(4000)]
    forecasts = {"true": true, "EWMA": unit, "low": true / 1.5, "high": true * 1.5}
    table = qlike_table(actual, forecasts, windows, 1)
    assert {name for name in table if name.startswith("true")} == {
        "true",
        "true - low",
        "true - high",
    }
    for name in ("true", "true - low", "true - high"):
        assert table[name].high < 0
    losses = [qlike(actual, true * factor, unit).mean() for factor in (0.7, 0.9, 1.0, 1.1, 1.4)]
    assert np.argmin(losses) == 2


def test_rivals_find_a_constant_variance():
    returns = np.random.default_rng(1).normal(0, 0.01, 3000)
    for horizon in (1, 5, 22):
        expected = horizon * 1e-4
        assert garch_variance(returns, horizon) == pytest.approx(expected, rel=0.25)
        for is_log in (False, True):
            found = har_variance(returns, returns**2, horizon, is_log=is_log)
            assert found == pytest.approx(expected, rel=0.5)
    assert np.isnan(har_variance(returns[:40], returns[:40] ** 2, 1))


def test_har_follows_a_volatility_that_has_risen():
    rng = np.random.default_rng(2)
    scale = np.repeat(np.exp(rng.normal(0, 0.8, 60)), 50) * 0.01
    scale[-50:] = 0.05
    returns = rng.normal(0, scale)
    assert har_variance(returns, returns**2, 5) > 3 * 5 * np.square(returns).mean()


def test_identical_windows_cannot_be_told_apart_and_shuffled_ones_can():
    rng = np.random.default_rng(3)
    real = np.cumsum(rng.normal(0, 1, (600, 24, 2)), axis=1)
    is_test = np.arange(600) >= 400
    same = discriminative_score(real, real.copy(), is_test, steps=50)
    assert same.value == pytest.approx(0.0)
    mixed = rng.permuted(real, axis=1)
    assert discriminative_score(real, mixed, is_test, steps=150).low > 0.2
    few = discriminative_score(real, mixed, is_test, steps=5)
    assert few == discriminative_score(real, mixed, is_test, steps=5)


def test_a_predictor_of_next_returns_learns_from_windows_that_hold_them():
    rng = np.random.default_rng(4)
    x = np.zeros((600, 24, 5))
    for step in range(1, 24):
        x[:, step, CLOSE] = 0.9 * x[:, step - 1, CLOSE] + rng.normal(0, 1, 600)
    is_test = np.arange(600) >= 400
    noise = rng.permuted(x, axis=1)
    learned = train_on_synthetic(x, x, is_test, steps=150)
    assert learned.low > 0.5
    assert train_on_synthetic(x, noise, is_test, steps=150).value < learned.value


def test_a_test_window_is_of_an_instrument_that_trained_nothing(corpus):
    windows = [Window(s, s.start + i, 0) for s in corpus.series for i in range(10)]
    is_test = split(windows)
    names = np.array([w.series.name for w in windows])
    assert 0 < is_test.mean() < 0.5
    assert not {*names[is_test]} & {*names[~is_test]}


def test_the_interval_of_a_mean_allows_for_neighbours():
    rng = np.random.default_rng(5)
    values = np.repeat(rng.normal(0, 1, 100), 5)
    assert estimate(values, 5).high - estimate(values, 5).low > 1.2 * (
        2 * 1.96 * values.std() / np.sqrt(len(values))
    )
    assert np.isnan(estimate(np.array([1.0])).low)


def test_every_window_has_noise_of_its_own_and_paths_begin_at_the_last_close(corpus, hours):
    seen = []

    def draw(contexts, futures, samplings):
        seen.extend(sampling.seed for sampling in samplings)
        last = [context.values[-1] * 1.01 for context in contexts]
        return [(np.repeat(each[None, None], 12, axis=1), each) for each in last]

    windows = hours[0]
    found = draw_paths(
        draw, corpus, windows, PLAN, lookback=80, horizon=12, T=1.0, top_p=1.0, n_paths=1
    )
    assert len({*seen}) == len(windows)
    for window, paths in zip(windows, found, strict=True):
        assert paths[0, -1, CLOSE] == pytest.approx(window.closes(corpus, 1)[-1])


def test_an_unknown_task_is_refused(corpus):
    with pytest.raises(InvalidRequest, match="no task 'ic'"):
        run_tasks(None, corpus, PLAN, model="m", length=min, stage=None, note=print, tasks=["ic"])


def arguments(folder, *more):
    return [
        "evaluate", "--data", str(folder), "--holdout", "0", "--origins", "4", "--qlike-origins",
        "3", "--task-windows", "30", "--paths", "3", *more,
    ]  # fmt: skip


def test_the_command_computes_all_tasks_the_same_by_seed(folder, root, capsys, monkeypatch):
    fit = series._fit
    monkeypatch.setattr(series, "_fit", lambda x, y, seed, _, **more: fit(x, y, seed, 5, **more))
    model = ["--model", str(root / "tests/golden")]
    tables = []
    for _ in range(2):
        assert main(arguments(folder, *model, "--format", "json", "--tasks")) == 0
        found = capsys.readouterr()
        tables.append(json.loads(found.out))
    assert tables[0] == tables[1]
    rows = pd.DataFrame(tables[0]["rows"])
    assert {*rows["task"]} == {"rankic", "volatility", "qlike", "synthetic"}
    published = rows.set_index(["measure", "forecaster"])["published"]
    is_naive = published.index.get_level_values("forecaster").isin(list(NAIVE))
    assert published[is_naive].isna().all()
    assert (published[~is_naive]["RankIC of price"] == 0.0254).all()
    assert "rankic: no bars of 5m." in found.err
    # One daily instrument has no rank among others.
    assert rows[rows["task"] != "rankic"]["value"].notna().all()


def test_a_baseline_draws_plainly_and_the_table_has_the_published_figures(folder, capsys):
    code = main(arguments(folder, "--model", "bootstrap", "--tasks", "rankic", "volatility"))
    found = capsys.readouterr()
    assert code == 0
    assert "draws no tokens" in found.err
    assert "| 0.0254 |" in found.out
    assert "momentum" in found.out
    assert "trailing" in found.out
