"""Tables of other libraries give the same candles and forecasts as those of pandas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import kronos
from kronos.candles import Candles
from kronos.errors import InvalidCandles
from kronos.forecasters.baselines import baseline
from kronos.frames import as_frame
from tests.simulated import Simulate

GOLDEN = Path(__file__).parent / "golden"
LIBRARIES = {"polars": pl.from_pandas, "arrow": pa.Table.from_pandas}
Convert = Callable[[pd.DataFrame], Any]


@pytest.fixture(params=LIBRARIES.values(), ids=LIBRARIES)
def convert(request: pytest.FixtureRequest) -> Convert:
    return request.param


@pytest.fixture
def bars(simulate: Simulate) -> pd.DataFrame:
    return simulate(n_bars=60)[0].frame.reset_index()


def test_candles_are_the_same(convert: Convert, bars: pd.DataFrame) -> None:
    expected = Candles.from_frame(bars)
    found = Candles.from_frame(convert(bars))
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    assert (found.interval, found.zone) == (expected.interval, expected.zone)


def test_forecasts_are_the_same(convert: Convert, bars: pd.DataFrame) -> None:
    future = pd.DataFrame({"at": Candles.from_frame(bars).future(5)})
    ewma = baseline("ewma")
    options = {"sample_count": 20, "seed": 3}
    expected, found = (
        ewma.forecast(table, x_timestamp=table["timestamp"], y_timestamp=times["at"], **options)
        for table, times in ((bars, future), (convert(bars), convert(future)))
    )
    np.testing.assert_array_equal(found.paths, expected.paths)
    assert found.timestamps.equals(expected.timestamps)


def test_upstreams_interface_takes_them(convert: Convert, bars: pd.DataFrame) -> None:
    predictor = kronos.KronosPredictor(
        kronos.Kronos.from_pretrained(GOLDEN / "model"),
        kronos.KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"),
        device="cpu",
    )
    future = pd.Series(Candles.from_frame(bars).future(3))
    table = convert(bars)
    expected, found = (
        predictor.predict(each, each["timestamp"], future, 3, verbose=False, seed=1)
        for each in (bars, table)
    )
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("table", [[1, 2], {"open": [1.0]}, np.ones((3, 4)), pl.LazyFrame()])
def test_what_is_no_table_is_named(table: object) -> None:
    with pytest.raises(InvalidCandles, match=type(table).__name__):
        as_frame(table)  # type: ignore[arg-type]


def test_a_column_is_no_table() -> None:
    with pytest.raises(InvalidCandles, match="Series"):
        as_frame(pl.Series([1, 2]))
