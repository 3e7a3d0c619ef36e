"""Fifty lines that are followed over loopback markets, on a clock that runs faster."""

import pytest

from benchmarks.follow import follow


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_bar_of_fifty_lines_is_missed_or_forecast_twice_and_memory_stays(tmp_path):
    found = follow(tmp_path, n_lines=50, minutes=6, speed=2, model="ewma", n_paths=20)
    assert found["bars that closed"] >= 200
    assert found["missed"] == 0
    assert found["forecast twice"] == 0
    assert found["growth after the first fifth (MB)"] < 30


def test_few_lines_are_counted(tmp_path):
    found = follow(tmp_path, n_lines=5, minutes=1.5, speed=30, model="ewma", n_paths=10)
    assert found["lines"] == 5
    assert found["bars that closed"] >= 3
    assert found["forecast twice"] == 0
    assert found["requests for bars"] > 0
