"""The candle schema holds on construction, and views of candles stay candles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kronos.candles import COLUMNS, Candles
from kronos.errors import InvalidCandles


def bars(n: int = 48, start: str = "2024-03-04", freq: str = "1h") -> pd.DataFrame:
    rng = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    opens = np.append(100.0, close[:-1])
    index = pd.date_range(start, periods=n, freq=freq, tz="UTC", name="timestamp")
    values = {
        "open": opens,
        "high": np.maximum(opens, close) * 1.001,
        "low": np.minimum(opens, close) * 0.999,
        "close": close,
        "volume": rng.random(n) * 1000,
        "amount": rng.random(n) * 100_000,
    }
    return pd.DataFrame(values, index=index)


def candles(n: int = 48) -> Candles:
    return Candles(bars(n), "1h", "UTC", "24/7", "TEST", "made up")


def test_valid_bars_are_accepted_as_they_are() -> None:
    frame = bars()
    made = Candles(frame, "1h", "America/New_York", "24/7", "TEST", "made up")
    pd.testing.assert_frame_equal(made.frame, frame)
    assert len(made) == 48
    assert made.has_volume
    assert str(made.local_index.tz) == "America/New_York"
    assert (made.local_index == frame.index).all()


@pytest.mark.parametrize(
    ("row", "column", "value", "says"),
    [
        (3, "close", np.nan, "Row 3 .*column close: must be a finite number"),
        (4, "open", -1.0, "Row 4 .*column open: must be above 0"),
        (5, "volume", -0.5, "Row 5 .*column volume: must be at least 0"),
        (6, "high", 1.0, "Row 6 .*column high: must be such that"),
        (7, "low", 1e6, "Row 7 .*column low: must be such that"),
        (8, "amount", np.inf, "Row 8 .*column amount: must be a finite number"),
    ],
)
def test_a_broken_value_is_refused_by_row_and_column(
    row: int, column: str, value: float, says: str
) -> None:
    frame = bars()
    frame.loc[frame.index[row], column] = value
    with pytest.raises(InvalidCandles, match=says):
        Candles(frame, "1h", "UTC", "24/7", "TEST", "made up")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f[::-1], "Timestamps must increase: row 1"),
        (lambda f: pd.concat([f.iloc[:2], f.iloc[1:]]), "Timestamps must increase: row 2"),
        (lambda f: f.tz_localize(None), "in UTC"),
        (lambda f: f.tz_convert("Asia/Tokyo"), "in UTC"),
        (lambda f: f[["open", "high", "low", "close"]], "have the columns"),
        (lambda f: f.iloc[:0], "at least one bar"),
        (lambda f: f.astype("float32"), "float64"),
    ],
)
def test_a_broken_table_is_refused(change, says: str) -> None:
    with pytest.raises(InvalidCandles, match=says):
        Candles(change(bars()), "1h", "UTC", "24/7", "TEST", "made up")


@pytest.mark.parametrize(("interval", "zone"), [("7h", "UTC"), ("1h", "Mars/Olympus"), ("1h", "")])
def test_unknown_interval_and_zone_are_refused(interval: str, zone: str) -> None:
    with pytest.raises(InvalidCandles, match="Unknown"):
        Candles(bars(), interval, zone, "24/7", "TEST", "made up")


def test_from_frame_takes_any_case_and_naive_timestamps() -> None:
    frame = bars(24 * 14).rename(columns=str.title).tz_localize(None)
    made = Candles.from_frame(frame, symbol="BTC-USD")
    assert (made.calendar, made.zone, made.interval) == ("24/7", "UTC", "1h")
    np.testing.assert_array_equal(made.frame.to_numpy(), bars(24 * 14).to_numpy())


def test_from_frame_reads_a_time_column_as_an_index() -> None:
    frame = bars(24 * 14).reset_index().rename(columns={"timestamp": "timestamps"})
    made = Candles.from_frame(frame)
    assert made.frame.index.equals(bars(24 * 14).index)


def test_missing_volume_is_zero_and_missing_amount_is_volume_times_mean_price() -> None:
    without = Candles.from_frame(bars(24 * 14)[["open", "high", "low", "close"]])
    assert not without.has_volume
    assert (without.frame[["volume", "amount"]] == 0).all(axis=None)
    volume_only = Candles.from_frame(bars(24 * 14).drop(columns="amount")).frame
    expected = volume_only["volume"] * volume_only[list(COLUMNS[:4])].mean(axis=1)
    np.testing.assert_allclose(volume_only["amount"], expected)


def test_from_frame_repairs_nothing() -> None:
    frame = bars()
    frame.loc[frame.index[9], "high"] = 1.0
    with pytest.raises(InvalidCandles, match="Row 9"):
        Candles.from_frame(frame)
    with pytest.raises(InvalidCandles, match="no column close"):
        Candles.from_frame(bars().drop(columns="close"))
    with pytest.raises(InvalidCandles, match="no timestamps"):
        Candles.from_frame(bars().reset_index(drop=True))


def test_dates_are_put_at_midnight_of_the_exchange() -> None:
    frame = bars(60).set_axis(pd.bdate_range("2024-03-04", periods=60))
    frame = frame.drop(pd.Timestamp("2024-03-29"), errors="ignore").drop(
        pd.Timestamp("2024-05-27"), errors="ignore"
    )
    made = Candles.from_frame(frame)
    assert (made.calendar, made.zone) == ("XNYS", "America/New_York")
    assert (made.local_index == made.local_index.normalize()).all()
    assert made.local_index.tz_localize(None).tolist() == frame.index.tolist()


@pytest.mark.parametrize("origin", [0, 10, 46, 47, -1, -20])
def test_a_split_holds_every_bar_once(origin: int) -> None:
    whole = candles()
    split = whole.at_origin(origin)
    again = pd.concat([split.history.frame, split.actuals])
    pd.testing.assert_frame_equal(again, whole.frame, check_freq=False)
    position = origin % len(whole)
    assert split.history.frame.index[-1] == whole.frame.index[position]


def test_a_split_at_a_time_takes_the_bar_open_then() -> None:
    whole = candles()
    moment = whole.frame.index[20] + pd.Timedelta(minutes=59)
    split = whole.at_origin(moment, n_actuals=5)
    assert split.history.frame.index[-1] == whole.frame.index[20]
    assert len(split.actuals) == 5
    with pytest.raises(InvalidCandles, match="No bar at the origin"):
        whole.at_origin(whole.frame.index[0] - pd.Timedelta(seconds=1))
    with pytest.raises(InvalidCandles, match="No bar at the origin"):
        whole.at_origin(48)


def test_the_future_starts_where_the_bars_end() -> None:
    whole = candles()
    later = whole.slice(0, 30).future(18)
    assert later.tolist() == whole.frame.index[30:].tolist()
