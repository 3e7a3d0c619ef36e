"""Forecasts that are told of events, from candles to paths."""

import shutil
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from kronos.cli.evaluate import sampler
from kronos.context import calendar_fields, read_context
from kronos.decoding.decoder import Decoder
from kronos.errors import InvalidRequest
from kronos.events import Event, event_channels
from kronos.forecast import SamplingParameters
from kronos.forecasters import kronos as predictor_module
from kronos.forecasters.kronos import KronosPredictor
from kronos.nn.checkpoint import save_checkpoint
from kronos.request import ForecastRequest
from kronos.serving.service import LocalService

H = 6


@pytest.fixture
def df(golden_candles):
    return golden_candles.set_index("timestamps").tz_localize("UTC")


@pytest.fixture
def future(df):
    return pd.date_range(df.index[-1] + pd.Timedelta("1h"), periods=H, freq="1h")


@pytest.fixture
def events(df):
    rows = np.random.default_rng(2).normal(size=(len(df) + H, 20))
    return rows.astype(np.float32)


@pytest.fixture(params=[0, 10**9], ids=["compiled", "plain"])
def made(request, model, tokenizer, monkeypatch):
    """A function that makes predictors of the golden model, compiled and plain."""
    monkeypatch.setattr(predictor_module, "COMPILED_FROM", request.param)
    return lambda: KronosPredictor(model, tokenizer, "cpu", max_context=64, name="tiny")


@pytest.fixture
def told(eventful_model, tokenizer):
    """A predictor that reads events."""
    return KronosPredictor(eventful_model, tokenizer, "cpu", max_context=64, name="told")


@pytest.mark.parametrize("lookback", [40, 62], ids=["inside", "beyond the window"])
def test_a_fresh_event_embedding_changes_no_value(made, model, df, future, events, lookback):
    options = {"y_timestamp": future, "sample_count": 4, "lookback": lookback}
    expected = made().forecast(df, **options)
    model.add_event_embedding()
    silent, told = made().forecast(df, **options), made().forecast(df, **options, events=events)
    assert np.array_equal(silent.paths, expected.paths)
    assert np.array_equal(told.paths, expected.paths)
    assert silent.metadata() == expected.metadata()
    read = {"events_sha256": told.events_hash, "leaders": told.leaders}
    assert told.metadata() == expected.metadata() | read
    assert set(told.leaders) == {"btc", "spy", "dxy", "vix"}


def test_a_decoder_is_chosen_as_without_the_event_embedding(model, tokenizer, monkeypatch):
    """Two decoders round differently: a few more parameters must not mean another one."""
    n_parameters = sum(p.numel() for p in model.parameters())
    model.add_event_embedding()
    assert model.n_base_parameters == n_parameters
    monkeypatch.setattr(predictor_module, "COMPILED_FROM", n_parameters + 1)
    assert type(KronosPredictor(model, tokenizer, "cpu").decoder) is Decoder


def test_events_change_paths_and_are_recorded(told, df, future, events):
    def ask(rows):
        return told.forecast(df, y_timestamp=future, sample_count=20, lookback=40, events=rows)

    silent, one, same, other = map(ask, (None, events, events, -events))
    assert silent.events_hash is None
    assert one.events_hash == same.events_hash != other.events_hash
    assert one.context_hash == silent.context_hash
    assert np.array_equal(one.paths, same.paths)
    assert not np.array_equal(one.paths, silent.paths)
    assert not np.array_equal(one.paths, other.paths)


def test_events_of_bars_that_are_not_read_are_cut(told, df, future, events):
    def ask(rows):
        return told.forecast(df, y_timestamp=future, sample_count=20, lookback=40, events=rows)

    one, changed = ask(events), events.copy()
    changed[: len(df) - 40] += 1
    assert ask(changed).events_hash == one.events_hash
    assert np.array_equal(ask(changed).paths, one.paths)
    shorter = told.forecast(
        df.iloc[-40:], y_timestamp=future, sample_count=20, events=events[-40 - H :]
    )
    assert np.array_equal(shorter.paths, one.paths)
    changed[len(df) - 40] += 1
    assert not np.array_equal(ask(changed).paths, one.paths)


def test_later_events_change_later_bars_alone(told, df, future, events):
    changed = events.copy()
    changed[len(df) + 2 :] += 1.0
    one, other = (
        told.forecast(df, y_timestamp=future, sample_count=20, anchor=False, events=rows)
        for rows in (events, changed)
    )
    assert np.array_equal(one.paths[:, :3], other.paths[:, :3])
    assert not np.array_equal(one.paths[:, 3:], other.paths[:, 3:])


def test_channels_of_a_calendar_are_told_as_they_are(told, df, future):
    meeting = Event(kind="fomc", region="US", time=future[2] + pd.Timedelta("10min"))
    rows = event_channels(
        df.index.append(future),
        interval="1h",
        calendar="24/7",
        zone="UTC",
        n_context=len(df),
        events=[meeting],
    )
    assert rows[:, 0].any()
    forecast = told.forecast(df, y_timestamp=future, sample_count=2, events=rows)
    assert forecast.events_hash is not None


def test_a_model_without_event_embedding_refuses_them(made, df, future, events):
    predictor = made()
    assert not predictor.reads_events
    with pytest.raises(InvalidRequest, match=r"tiny was never trained with events.*Leave"):
        predictor.forecast(df, y_timestamp=future, events=events)


def test_rows_that_do_not_fit_the_bars_are_refused(told, df, future, events):
    assert told.reads_events
    with pytest.raises(InvalidRequest, match=r"must be \(86, 20\).* found \(46, 20\)"):
        told.forecast(df, y_timestamp=future, lookback=40, events=events[-40 - H :])
    with pytest.raises(InvalidRequest, match="finite numbers"):
        told.forecast(df, y_timestamp=future, events=events * np.nan)


def test_series_with_and_without_events_are_sampled_together(told, df, future, events):
    contexts = [read_context(df, df.index, n) for n in (40, 30, 20)]
    fields = [calendar_fields(future)] * 3
    rows = [events[-40 - H :], None, events[-20 - H :]]
    sampling = SamplingParameters(sample_count=5, seed=3)
    together, last = told.sample(contexts, fields, sampling, events=rows)
    for i in range(3):
        alone = told.sample(contexts[i : i + 1], fields[:1], sampling, events=rows[i : i + 1])
        assert np.array_equal(alone[0][0], together[i])
        assert np.array_equal(alone[1][0], last[i])
    silent, _ = told.sample(contexts, fields, sampling)
    assert np.array_equal(silent[1], together[1])
    assert not np.array_equal(silent[0], together[0])
    with pytest.raises(InvalidRequest, match=r"must be \(36, 20\)"):
        told.sample(contexts[1:2], fields[:1], sampling, events=rows[:1])


def test_the_engine_tells_a_model_from_a_folder(told, root, tmp_path, df, future, events):
    save_checkpoint(told.model, tmp_path / "model")
    shutil.copytree(root / "tests/golden/tokenizer", tmp_path / "tokenizer")
    sampling = SamplingParameters(sample_count=5, seed=3)
    direct = told.forecast(
        df, y_timestamp=future, sample_count=5, seed=3, lookback=40, events=events
    )
    name = str(tmp_path)
    context, fields = read_context(df, df.index, 40), calendar_fields(future)
    with closing(LocalService(device="cpu")) as service:
        facts = service.facts(name)
        request = ForecastRequest.of_frame(
            df, facts, y_timestamp=future, sampling=sampling, lookback=40, events=events
        )
        found = service.run(request)
        sample = sampler(service, facts)
        samples, _ = sample([context], [fields], sampling, events=[events[-40 - H :]])
    assert np.array_equal(found.paths, direct.paths)
    assert found.events_hash == direct.events_hash
    expected, _ = told.sample([context], [fields], sampling, events=[events[-40 - H :]])
    assert np.array_equal(samples, expected)
