"""Evaluating a checkpoint on held-out windows."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from kronos.cli import main
from kronos.errors import InvalidRequest
from kronos.forecasters.kronos import KronosPredictor
from kronos.training.held_out import EvaluationPlan, draw_windows, evaluate, summarise

PLAN = EvaluationPlan(lookback=48, horizon=4, windows_per_series=2, sample_count=20, batch=5)


@pytest.fixture
def predictor(model, tokenizer):
    return KronosPredictor(model, tokenizer, "cpu", max_context=64)


def test_windows_are_the_same_for_every_lookback(corpus):
    short = draw_windows(corpus, PLAN)
    long = draw_windows(corpus, dataclasses.replace(PLAN, lookback=200))
    assert [w.origin for w in short] == [w.origin for w in long]
    assert all(w.series.start + 256 <= w.origin <= w.series.stop - 4 for w in short)


def test_models_that_read_differently_score_the_same_windows(corpus):
    read = []

    def sample(contexts, futures, sampling):
        read.extend(len(context.values) for context in contexts)
        last = np.stack([context.values[-1] for context in contexts])
        return np.tile(last[:, None, None], (1, 5, PLAN.horizon, 1)), last

    plan = dataclasses.replace(PLAN, history=PLAN.lookback)
    tables = [
        evaluate(sample, corpus, dataclasses.replace(plan, lookback=lookback))
        for lookback in (PLAN.lookback, 10_000)
    ]
    assert tables[0][["series", "origin"]].equals(tables[1][["series", "origin"]])
    windows = draw_windows(corpus, plan)
    assert read[: len(windows)] == [PLAN.lookback] * len(windows)
    assert read[len(windows) :] == [window.origin - window.series.start for window in windows]


def test_intervals_of_few_series_give_more_windows_each(corpus):
    plan = dataclasses.replace(PLAN, windows_per_interval=18)
    counts = Counter(w.series.name for w in draw_windows(corpus, plan))
    assert counts.pop("daily/day.parquet") == 18
    assert set(counts.values()) == {3}


def test_scores_have_a_row_per_window_and_step(predictor, corpus):
    seen = []
    scores = evaluate(
        predictor.sample, corpus, PLAN, lambda done, total: seen.append((done, total))
    )
    windows = draw_windows(corpus, PLAN)
    assert len(scores) == 4 * len(windows)
    assert seen[-1] == (len(windows), len(windows))
    assert scores["step"].tolist()[:4] == [1, 2, 3, 4]
    assert np.isfinite(scores.filter(like="crps").to_numpy()).all()
    # Made-up random walks: the cone is right about them, random weights are not.
    table = summarise(scores)
    assert 0.6 < table.loc["all", "cone_coverage"] < 0.95
    assert table.loc["all", "anchored_pooled"] > 1
    first = scores.drop_duplicates(["series", "origin"])
    assert len(first) == len(windows)
    assert first["origin"].tolist() == [corpus.times[window.origin] for window in windows]


def test_scores_never_read_past_the_horizon(predictor, corpus):
    windows = draw_windows(corpus, PLAN)
    values = corpus.values.copy()
    last = windows[-1].origin + PLAN.horizon
    values[last : windows[-1].series.stop] *= 5
    before = evaluate(predictor.sample, corpus, PLAN)
    after = evaluate(predictor.sample, dataclasses.replace(corpus, values=values), PLAN)
    series = [w for w in windows if w.series == windows[-1].series]
    rows = slice(-len(series) * PLAN.horizon, None)
    np.testing.assert_array_equal(
        before.filter(like="crps").to_numpy()[rows], after.filter(like="crps").to_numpy()[rows]
    )


def test_summary_is_by_the_column_asked_for(predictor, corpus):
    scores = evaluate(predictor.sample, corpus, PLAN)
    table = summarise(scores, "interval")
    assert table.index.tolist() == ["1d", "1h"]
    assert table["windows"].sum() == len(draw_windows(corpus, PLAN))


def test_summary_knows_the_worst_series_of_many_windows_and_the_wide_band(predictor, corpus):
    plan = dataclasses.replace(PLAN, windows_per_series=12)
    scores = evaluate(predictor.sample, corpus, plan)
    scores = scores[scores["series"].ne("daily/day.parquet") | scores["origin"].lt(0)]
    of_series = scores.groupby("series")[["raw_crps", "cone_crps"]].mean()
    table = summarise(scores).loc["all"]
    assert table["raw_worst"] == (of_series["raw_crps"] / of_series["cone_crps"]).max()
    assert table["raw_coverage95"] == scores["raw_inside95"].mean() >= table["raw_coverage"]
    few = scores[scores["origin"].isin(scores["origin"].unique()[:9])]
    assert np.isnan(summarise(few).loc["all", "raw_worst"])


def test_too_short_series_are_refused(corpus):
    with pytest.raises(InvalidRequest, match="No series has the"):
        draw_windows(corpus, dataclasses.replace(PLAN, lookback=10_000))


def test_the_command_prints_the_table(bars_folder, root, capsys):
    code = main(
        ["evaluate", "--data", str(bars_folder), "--holdout", "0.3", "--windows", "1",
         "--per-interval", "0", "--horizon", "3", "--paths", "5", "--lookback", "32",
         "--model", str(root / "tests/golden")]
    )  # fmt: skip
    out = capsys.readouterr().out
    assert code == 0
    assert out.splitlines()[0].startswith("|  | windows | series | cone_crps |")
    assert "| all |" in out
