"""Parts of a corpus share no bar, and older bars are replayed in their own share."""

import numpy as np
import pandas as pd
import pytest

from kronos.errors import InvalidRequest
from kronos.finetune.settings import FinetuneSettings
from kronos.finetune.split import Split, choose_split, split_corpus
from kronos.training.corpus import load_corpus
from kronos.training.held_out import draw_windows
from kronos.training.windows import WindowPlan, WindowSampler
from tests.training.conftest import made_up_bars


@pytest.mark.parametrize("with_test", [False, True])
def test_every_window_lies_within_one_part(tuning_corpus, with_test):
    settings = FinetuneSettings(context=24, horizon=6, validation_windows=50)
    split = choose_split(tuning_corpus, n_bars=30, with_test=with_test)
    parts = split_corpus(tuning_corpus, split, n_bars=30)
    scored = [parts.validation, *([parts.test] if parts.test else [])]
    assert (parts.test is not None) == with_test
    for earlier, later in zip([parts.train, *scored], scored, strict=False):
        assert earlier.times.max() < later.times.min()
    cut_off = split.cut_off.value
    for corpus in scored:
        for window in draw_windows(corpus, settings.evaluation()):
            first = window.origin - settings.context
            assert corpus.times[first] >= cut_off
            assert window.series.start <= first
            assert window.origin + settings.horizon <= window.series.stop
    assert parts.seen_until.value <= (scored[1] if with_test else scored[0]).times.max() + 10**9


def test_many_windows_come_from_few_series(parts):
    plan = FinetuneSettings(context=24, horizon=6, validation_windows=40).evaluation()
    assert len(draw_windows(parts.validation, plan)) == 40


def test_short_series_and_wrong_moments_are_refused(tmp_path):
    made_up_bars(60, seed=1).to_csv(tmp_path / "short.csv", index=False)
    corpus = load_corpus(tmp_path, min_bars=30, on_calendars=True)
    with pytest.raises(InvalidRequest, match="long enough to be split: 75 bars"):
        choose_split(corpus, n_bars=30)
    with pytest.raises(InvalidRequest, match="needs a time zone"):
        Split(pd.Timestamp("2020-01-01"))
    day = pd.Timestamp("2020-01-02", tz="UTC")
    with pytest.raises(InvalidRequest, match="must be after the cut-off"):
        Split(day, day)
    with pytest.raises(InvalidRequest, match="No series has 30 bars before 2020-01-02"):
        split_corpus(corpus, Split(day), n_bars=30)


def test_older_bars_are_replayed_in_their_share(tuning_corpus):
    middle = pd.Timestamp(int(np.median(tuning_corpus.times)), tz="UTC")
    marked = tuning_corpus.with_replay_before(middle, min_bars=30)
    assert {s.is_replay for s in marked.series} == {False, True}
    plan = WindowPlan(contexts=(24,), future=6, replay=0.25)
    sampler = WindowSampler(marked, plan, seed=0)
    chosen, begin = sampler._draw(np.random.default_rng(0), 24, 20_000)
    older = np.array([s.is_replay for s in marked.series])[chosen]
    assert older.mean() == pytest.approx(0.25, abs=0.01)
    assert (marked.times[begin[older] + 29] < middle.value).all()
    assert (marked.times[begin[~older]] >= middle.value).all()


def test_steps_follow_from_the_data(parts):
    settings = FinetuneSettings(context=24, horizon=6, windows=8)
    loop = settings.loop(parts.train, watched="crps")
    assert loop.steps == -(-15 * len(parts.train.times) // (6 * 8))
    assert loop.save_every == loop.steps // 10


@pytest.mark.parametrize(
    "wrong", [{"windows": 10, "accumulate": 3}, {"context": 4}, {"horizon": 0}, {"windows": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InvalidRequest):
        FinetuneSettings(**wrong)
