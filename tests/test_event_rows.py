"""Event rows: of the bars that are read, whole, and refused in words otherwise."""

import numpy as np
import pandas as pd
import pytest

from kronos import events
from kronos.context import event_rows, rows_sha256
from kronos.errors import InvalidRequest
from kronos.nn.config import N_EVENT_CHANNELS

ROWS = np.arange(12 * 20, dtype=np.float64).reshape(12, 20)


def test_the_model_reads_the_channels_that_are_made():
    assert N_EVENT_CHANNELS == events.N_CHANNELS == ROWS.shape[1]


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, np.ndarray.tolist, np.float32])
def test_rows_before_the_bars_read_are_cut(kind):
    found = event_rows(kind(ROWS), n_bars=9, n_read=5, horizon=3)
    assert found.dtype == np.float32
    assert np.array_equal(found, ROWS[4:])


@pytest.mark.parametrize("shape", [(11, 20), (12, 19), (240,), (1, 12, 20)])
def test_another_shape_is_refused(shape):
    with pytest.raises(
        InvalidRequest, match=r"must be \(12, 20\).* 9 bars .* 3 to forecast; found"
    ):
        event_rows(np.zeros(shape), n_bars=9, n_read=5, horizon=3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_what_is_no_finite_number_is_refused(value):
    """Also in rows that are not read: whoever made them has made a mistake."""
    rows = ROWS.copy()
    rows[2, 7] = value
    with pytest.raises(InvalidRequest, match="row 2 of channel 7 is"):
        event_rows(rows, n_bars=9, n_read=5, horizon=3)
    with pytest.raises(InvalidRequest, match="array of numbers"):
        event_rows([["fomc"] * 20] * 12, n_bars=9, n_read=5, horizon=3)


def test_the_digest_is_that_of_what_is_read():
    one, same, other = (
        event_rows(rows, n_bars=9, n_read=5, horizon=3)
        for rows in (ROWS, np.vstack([ROWS[:4] + 1, ROWS[4:]]), ROWS + 1)
    )
    assert rows_sha256(one) == rows_sha256(same) != rows_sha256(other)
