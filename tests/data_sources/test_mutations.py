"""The mutated files of the gate of uploads are the same for a seed, and most reach the parsing."""

import warnings

import numpy as np
import pytest

from benchmarks.gates.mutations import mutated
from benchmarks.gates.uploads import _read_batch
from data_sources.csv.reader import read_csv
from kronos.errors import InvalidCandles


def test_a_seed_names_one_file():
    files = [mutated(seed) for seed in range(50)]
    assert files == [mutated(seed) for seed in range(50)]
    assert len(set(files)) == 50


def test_most_mutated_files_reach_the_parsing_of_numbers_and_raise_typed_errors_alone():
    batch = _read_batch(0, 150)
    assert batch.n_files == 150
    assert batch.n_tables > 75
    assert 30 < batch.n_read < 120
    assert batch.failures == []


def test_a_close_that_is_tiny_beside_its_open_is_refused_without_a_warning():
    times = np.datetime64("2024-01-01T00:00") + np.arange(40) * np.timedelta64(1, "h")
    rows = "".join(f"{time},1e200,1e190,1e-300,1e-300,1\n" for time in times)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidCandles):
            read_csv(f"time,open,high,low,close,volume\n{rows}".encode(), "x.csv")
