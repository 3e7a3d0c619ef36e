"""The calibration that ships is one of the models that ship."""

from __future__ import annotations

import pytest

from kronos import zoo
from kronos.baselines import BASELINES, revision
from kronos.calibration.state import CalibrationState, bundled_file


@pytest.mark.parametrize("name", [zoo.BUNDLED, *BASELINES])
def test_it_knows_the_weights_and_methods_of_this_version(name):
    """A changed method has another record: learn the calibration anew, or see that its paths are
    the same to the last bit and enter the new revision."""
    version = zoo.locate(name).revision if name == zoo.BUNDLED else revision()
    assert CalibrationState.load(bundled_file()).knows(name, version)
