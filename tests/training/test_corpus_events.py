"""Events on a corpus: the channels of forecasts, and windows with events drawn more often."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from kronos.errors import InvalidRequest
from kronos.events import Event, event_channels, regions_of
from kronos.training.corpus import CorpusEvents, load_corpus
from kronos.training.objectives import ModelObjective
from kronos.training.windows import WindowPlan, WindowSampler

PLAN = WindowPlan(contexts=(32,), future=8, bars_per_batch=400, drop_events=0.0)


def releases(n=30, kind="cpi", first="2018-01-10 13:30"):
    """Monthly releases with surprises, most of them long before the bars begin."""
    rng = np.random.default_rng(0)
    return [
        Event(
            kind, moment, region="US", actual=float(rng.normal()), consensus=0.0,
        )
        for moment in pd.date_range(first, periods=n, freq="28D", tz="UTC")
    ]  # fmt: skip


@pytest.fixture(scope="module")
def placed(bars_folder):
    return load_corpus(bars_folder, on_calendars=True)


def test_windows_carry_the_channels_of_a_forecast(placed):
    events = [*releases(), *releases(kind="fomc", n=40)]
    rows = CorpusEvents(placed, events)
    batch = WindowSampler(placed, PLAN, seed=1, events=rows).batch(0)
    assert batch.events.shape == (10, 40, 20)
    for series in placed.series:
        window = np.arange(series.start + 170, series.start + 210)
        expected = event_channels(
            pd.DatetimeIndex(placed.times[window], tz="UTC"),
            interval=series.interval,
            calendar=series.calendar,
            zone=series.zone,
            n_context=32,
            events=events,
            regions=regions_of(series.calendar, series.symbol),
        )
        np.testing.assert_array_equal(rows.channels(series, window, 32), expected)
        assert expected[:, 10:14].any()


def test_what_a_future_bar_cannot_know_is_zero_in_training(placed):
    rows = CorpusEvents(placed, releases())
    batch = WindowSampler(placed, PLAN, seed=1, events=rows).batch(0)
    assert not batch.events[:, 32:, [5, 6, 7, *range(14, 20)]].any()


def test_windows_with_events_are_drawn_as_often_as_asked(placed):
    rows = CorpusEvents(placed, releases())

    def share(weight):
        plan = dataclasses.replace(PLAN, event_weight=weight, bars_per_batch=40_000)
        sampler = WindowSampler(placed, plan, seed=2, events=rows, with_channels=False)
        _, begin = sampler._draw(np.random.default_rng(0), 32, 20_000)
        return rows.any_between(begin + 32, begin + 40).mean()

    plain, heavy = share(1.0), share(3.0)
    assert heavy / (1 - heavy) == pytest.approx(3 * plain / (1 - plain), rel=0.1)


def test_batches_without_channels_are_those_of_a_run_without_events(placed):
    rows = CorpusEvents(placed, releases())
    silent = WindowSampler(placed, PLAN, seed=1, events=rows, with_channels=False).batch(3)
    assert silent.events is None
    assert torch.equal(silent.x, WindowSampler(placed, PLAN, seed=1).batch(3).x)


def test_bars_without_a_calendar_have_no_events(corpus):
    with pytest.raises(InvalidRequest, match="loaded on their calendars"):
        CorpusEvents(corpus, releases())


def test_a_share_of_steps_has_no_events(placed):
    plan = dataclasses.replace(PLAN, drop_events=0.25, bars_per_batch=40)
    sampler = WindowSampler(placed, plan, seed=1, events=CorpusEvents(placed, releases()))
    with_events = [sampler.batch(step).events is not None for step in range(200)]
    assert 0.65 < np.mean(with_events) < 0.85
    # All parts of a step alike: a process with a gradient waits for one without.
    parts = [sampler.batch(step, 1).events is not None for step in range(200)]
    assert with_events == parts


def test_a_step_without_events_leaves_their_embedding_a_gradient_of_zero(placed, model, tokenizer):
    model.add_event_embedding()
    batch = WindowSampler(placed, PLAN, seed=1).batch(0)
    ModelObjective().with_tokenizer(tokenizer)(model, batch)["loss"].backward()
    assert not model.event_emb.proj.weight.grad.any()
