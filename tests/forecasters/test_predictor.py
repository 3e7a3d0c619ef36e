"""KronosPredictor on the golden checkpoint: the forecast, its validity and its errors."""

import numpy as np
import pandas as pd
import pytest
import torch

from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecasters.kronos import KronosPredictor
from kronos.forecasters.paths import anchor_factor, make_valid


@pytest.fixture
def predictor(model, tokenizer):
    return KronosPredictor(model, tokenizer, "cpu", max_context=64, name="tiny", revision="r1")


@pytest.fixture
def df(golden_candles):
    return golden_candles.set_index("timestamps")


@pytest.fixture
def future(df):
    return pd.date_range(df.index[-1] + pd.Timedelta("1h"), periods=8, freq="1h")


def test_forecast_returns_every_path_with_its_record(predictor, df, future):
    forecast = predictor.forecast(df, y_timestamp=future, sample_count=5, seed=3, lookback=40)
    assert forecast.paths.shape == (5, 8, 6)
    assert forecast.timestamps.equals(future)
    assert forecast.origin == df.index[-1]
    assert forecast.last_close == df["close"].iloc[-1]
    assert forecast.n_context == 40
    assert (forecast.model_name, forecast.model_revision) == ("tiny", "r1")
    assert forecast.parameters.seed == 3
    assert len(forecast.context_hash) == 64
    assert forecast.seconds > 0


def test_a_seed_gives_the_same_paths_and_another_gives_others(predictor, df, future):
    one = predictor.forecast(df, y_timestamp=future, sample_count=4, seed=1)
    same = predictor.forecast(df, y_timestamp=future, sample_count=4, seed=1)
    other = predictor.forecast(df, y_timestamp=future, sample_count=4, seed=2)
    assert np.array_equal(one.paths, same.paths)
    assert not np.array_equal(one.paths, other.paths)
    assert one.context_hash == same.context_hash


def test_candles_are_valid(predictor, df, future):
    paths = predictor.forecast(df, y_timestamp=future, sample_count=50, T=2.0).paths
    o, h, low, c, volume, amount = np.moveaxis(paths, -1, 0)
    assert (h >= np.maximum(o, c)).all()
    assert (low <= np.minimum(o, c)).all()
    assert (low > 0).all()
    assert (volume >= 0).all()
    assert (amount >= 0).all()


def test_data_without_volume_gets_none(predictor, df, future):
    bars = df[["open", "high", "low", "close"]]
    forecast = predictor.forecast(bars, y_timestamp=future, sample_count=5)
    assert not forecast.paths[..., 4:].any()


def test_anchoring_multiplies_prices_by_one_factor_and_leaves_volume(predictor, df, future):
    raw = predictor.forecast(df, y_timestamp=future, sample_count=3, anchor=False)
    anchored = predictor.forecast(df, y_timestamp=future, sample_count=3)
    factors = anchored.column("close") / raw.column("close")
    assert np.allclose(factors, factors[0, 0])
    assert np.array_equal(raw.paths[..., 4:], anchored.paths[..., 4:])


def test_anchoring_undoes_the_reconstruction_error_of_the_last_close():
    assert anchor_factor(100.0, 98.0) * 98.0 == pytest.approx(100.0)
    # A decoded price that far off would only spread the tokenizer's failure.
    assert anchor_factor(100.0, -3.0) == 1.0
    assert anchor_factor(100.0, 10.0) == 1.0


def test_bars_before_the_lookback_are_not_read(predictor, df, future):
    changed = df.copy()
    changed.iloc[:-30] *= 3.0
    one = predictor.forecast(df, y_timestamp=future, sample_count=2, lookback=30)
    other = predictor.forecast(changed, y_timestamp=future, sample_count=2, lookback=30)
    assert np.array_equal(one.paths, other.paths)


def test_default_lookback_leaves_room_for_the_horizon(predictor):
    assert predictor.context_length(500, 8) == 56
    predictor.lookback = 20
    assert predictor.context_length(500, 8) == 20
    assert predictor.context_length(12, 8) == 12


def test_predict_batch_takes_series_of_different_lengths(predictor, df, future):
    frames = [df.iloc[-50:], df.iloc[-20:]]
    kwargs = {"pred_len": 8, "T": 1.0, "sample_count": 3, "verbose": False, "seed": 9}
    together = predictor.predict_batch(
        frames, [f.index for f in frames], [future, future], **kwargs
    )
    for frame, result in zip(frames, together, strict=True):
        alone = predictor.predict(frame, frame.index, future, **kwargs)
        pd.testing.assert_frame_equal(result, alone)


def test_predict_shows_a_bar_only_where_it_is_wanted(predictor, df, future, capsys):
    for verbose, shown in ((False, ""), (True, "100%")):
        predictor.predict(df, df.index, future, pred_len=8, top_k=1, verbose=verbose)
        assert (shown in capsys.readouterr().err) if shown else not capsys.readouterr().err


def test_predict_reads_series_and_index_timestamps_alike(predictor, df, future):
    kwargs = {"pred_len": 8, "top_k": 1, "verbose": False}
    as_index = predictor.predict(df, df.index, future, **kwargs)
    as_series = predictor.predict(df, df.index.to_series(), pd.Series(future), **kwargs)
    assert np.array_equal(as_index.to_numpy(), as_series.to_numpy())


def test_calendar_is_read_off_the_wall_clock_given(predictor, df, future):
    utc = df.tz_localize("UTC")
    new_york = predictor.forecast(
        utc.tz_convert("America/New_York"),
        y_timestamp=future.tz_localize("UTC").tz_convert("America/New_York"),
        sample_count=2,
    )
    naive = predictor.forecast(df, y_timestamp=future, sample_count=2)
    plain = predictor.forecast(utc, y_timestamp=future.tz_localize("UTC"), sample_count=2)
    assert np.array_equal(naive.paths, plain.paths)
    assert not np.array_equal(naive.paths, new_york.paths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"T": -0.1}, "T must be between 0"),
        ({"T": float("nan")}, "T must be between 0"),
        ({"top_p": 0.0}, "top_p must be above 0"),
        ({"top_p": 1.5}, "top_p must be above 0"),
        ({"top_k": -1}, "top_k must be from 0"),
        ({"top_k": 2.5}, "top_k must be a whole number"),
        ({"top_k": float("inf")}, "top_k must be a whole number"),
        ({"sample_count": 0}, "sample_count must be from 1"),
        ({"sample_count": float("nan")}, "sample_count must be a whole number"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": "7"}, "seed must be a whole number"),
        ({"T": None}, "T must be a number"),
        ({"lookback": 10.5}, "lookback must be a whole number"),
        ({"lookback": 1}, "lookback must be from 2 to 64"),
        ({"lookback": 65}, "lookback must be from 2 to 64"),
    ],
)
def test_impossible_values_are_refused(predictor, df, future, arguments, message):
    with pytest.raises(InvalidRequest, match=message):
        predictor.forecast(df, y_timestamp=future, **arguments)


def test_unusable_candles_are_refused_with_row_and_column(predictor, df, future):
    broken = df.copy()
    broken.iloc[-3, 1] = np.nan
    with pytest.raises(InvalidCandles, match="row 53 of column 'high' is nan"):
        predictor.forecast(broken, y_timestamp=future)
    broken.iloc[-3, 1] = -1.0
    with pytest.raises(InvalidCandles, match="row 53 of column 'high'"):
        predictor.forecast(broken, y_timestamp=future)
    with pytest.raises(InvalidCandles, match=r"Price columns \['close'\] not found"):
        predictor.forecast(df.drop(columns="close"), y_timestamp=future)
    with pytest.raises(InvalidCandles, match="candles but 79 times"):
        predictor.forecast(df, y_timestamp=future, x_timestamp=df.index[:-1])
    with pytest.raises(InvalidRequest, match="y_timestamp is empty"):
        predictor.forecast(df, y_timestamp=future[:0])


def test_times_must_be_times_and_lie_ahead(predictor, df, future):
    with pytest.raises(InvalidCandles, match="x_timestamp holds numbers"):
        predictor.forecast(df.reset_index(drop=True), y_timestamp=future)
    with pytest.raises(InvalidCandles, match="y_timestamp holds numbers"):
        predictor.forecast(df, y_timestamp=pd.Index([80, 81]))
    with pytest.raises(InvalidCandles, match="must increase"):
        predictor.forecast(df, y_timestamp=future[::-1])
    with pytest.raises(InvalidCandles, match="must begin after the last candle"):
        predictor.forecast(df, y_timestamp=df.index[-3:])
    with pytest.raises(InvalidCandles, match="both have a time zone"):
        predictor.forecast(df, y_timestamp=future.tz_localize("UTC"))


def test_amount_without_volume_is_read(predictor, df, future):
    bars = df.drop(columns="volume")
    paths = predictor.forecast(bars, y_timestamp=future, sample_count=5).paths
    assert not paths[..., 4].any()
    assert paths[..., 5].any()


def test_contexts_longer_than_the_model_reads_are_refused(predictor, df, future):
    from kronos.context import calendar_fields, read_context
    from kronos.forecast import SamplingParameters

    context = read_context(df, df.index, 70)
    with pytest.raises(InvalidRequest, match="A context of 70 bars was given"):
        predictor.sample([context], [calendar_fields(future)], SamplingParameters())


def test_only_invalid_candles_are_repaired(df):
    from kronos.context import read_context

    context = read_context(df, df.index, 56)
    valid = df.iloc[:20].to_numpy(dtype=float).reshape(4, 5, 6)
    assert np.array_equal(make_valid(valid.copy(), context), valid)

    broken = valid.copy()
    broken[0, 0, 1] = broken[0, 0, 2] - 1  # high below everything
    broken[1, 2, 2] = broken[1, 2, 1] + 1  # low above everything
    broken[2, 3, 4:] = -5.0
    broken[3, 4, :4] = -2.0
    repaired = make_valid(broken.copy(), context)
    assert repaired[0, 0, 1] == max(broken[0, 0, :4])
    assert repaired[1, 2, 2] == min(broken[1, 2, :4])
    assert (repaired[2, 3, 4:] == 0).all()
    assert (repaired[3, 4, :4] == context.values[-1, 3] / 1000).all()
    # Open and close of positive prices are never touched, nor any candle that was valid.
    untouched = np.ones((4, 5), dtype=bool)
    untouched[[0, 1, 2, 3], [0, 2, 3, 4]] = False
    assert np.array_equal(repaired[untouched], valid[untouched])
    assert np.array_equal(repaired[0, 0, [0, 3]], broken[0, 0, [0, 3]])


def test_horizon_must_match_the_times(predictor, df, future):
    with pytest.raises(InvalidRequest, match="pred_len is 9 but y_timestamp has 8"):
        predictor.predict(df, df.index, future, pred_len=9, verbose=False)


def test_constant_prices_forecast_without_dividing_by_zero(predictor, df, future):
    flat = df.copy()
    flat[["open", "high", "low", "close"]] = 5.0
    assert np.isfinite(predictor.forecast(flat, y_timestamp=future, sample_count=3).paths).all()


def test_tokenizer_of_other_bits_is_refused(model, tokenizer):
    from kronos.nn.tokenizer import KronosTokenizer

    config = tokenizer.config.to_dict() | {"s1_bits": 12, "s2_bits": 8}
    with pytest.raises(InvalidRequest, match="reads tokens of"):
        KronosPredictor(model, KronosTokenizer(**config), "cpu")


def test_eight_threads_forecasting_at_once_give_the_single_threaded_results(predictor, df, future):
    from concurrent.futures import ThreadPoolExecutor

    def work(seed):
        return predictor.forecast(df, y_timestamp=future, sample_count=3, seed=seed).paths

    expected = [work(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(work, range(8)))
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


def test_model_is_left_as_it_was(predictor, df, future):
    before = {n: t.clone() for n, t in predictor.model.state_dict().items()}
    predictor.forecast(df, y_timestamp=future, sample_count=3)
    assert all(torch.equal(t, before[n]) for n, t in predictor.model.state_dict().items())
    assert not predictor.model.training
