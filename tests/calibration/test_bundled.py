"""The calibration that ships is one of the models that ship."""

from __future__ import annotations

import pytest

from kronos import models
from kronos.calibration.state import CalibrationState, bundled_file
from kronos.forecasters.baselines import BASELINES, revision


@pytest.mark.parametrize("name", [models.BUNDLED, *BASELINES])
def test_it_knows_the_weights_and_methods_of_this_version(name):
    """A changed method has another record: learn the calibration anew, or see that its paths are
    the same to the last bit and enter the new revision."""
    version = models.locate(name).revision if name == models.BUNDLED else revision()
    state = CalibrationState.load(bundled_file())
    assert state.knows(name, version)
    assert all(entry.drift is not None for entry in state.streams.values())
