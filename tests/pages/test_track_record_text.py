"""Numbers of the track record in words."""

from types import SimpleNamespace

import numpy as np
import pytest

from kronos.evaluation.track_record import Gain
from pages.ui.track_record import text


def test_a_gain_that_rounds_to_zero_has_no_minus_sign():
    assert text._gain(Gain(9, -0.0001, -0.0123, 0.0004)) == "+0.000 (−0.012 to +0.000)"
    assert text._gain(Gain(9, -0.0001, np.nan, np.nan)) == "+0.000"
    assert text._gain(None) == "no scores"


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.0, "1.0"), (1.1, "1.1"), (9.96, "10.0"), (20.4, "20"), (0.034, "0.034"), (3e7, "3e+07")],
)
def test_e_values_of_one_size_have_the_same_decimals(value, written):
    evidence = SimpleNamespace(claim="", e_value=value, e_value_worse=0.0)
    assert text._e_value(SimpleNamespace(evidence=evidence)) == written


def test_intervals_have_minus_signs():
    assert text._range(-0.01, 0.024) == "−1.0% to +2.4%"
    assert text._range(np.nan, np.nan) == "too few dates"
