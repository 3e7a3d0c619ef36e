"""The self-test of a model: whether this machine computes with it what it should.

    report.py    what a test found, step by step
    steps.py     the steps, each a request to the service, as a forecast is
    expected.py  the bars that are forecast, and the closes stored for the bundled model

`python -m kronos.self_test` stores the closes anew, after the bundled weights have changed.
"""

from __future__ import annotations

from collections.abc import Callable

from kronos import models
from kronos.errors import InvalidRequest
from kronos.self_test.report import SelfTest, Step
from kronos.self_test.steps import TITLES, Run
from kronos.serving.service import ForecastService

__all__ = ["TITLES", "SelfTest", "Step", "run_self_test"]


def run_self_test(
    service: ForecastService, name: str, *, watch: Callable[[int], None] | None = None
) -> SelfTest:
    """Tests a model that is on this machine. Blocks; other requests are served meanwhile.

    Args:
        service: Loads the model and forecasts with it.
        name: Name of a model in the list of models.
        watch: Called again and again with the number of steps done; raising ends the test.

    Raises:
        InvalidRequest: There is no such model.
    """
    entries, wanted = models.available(), name.strip().casefold()
    entry = next((e for e in entries if wanted in {e.name, e.title.casefold()}), None)
    if entry is None:
        known = ", ".join(e.name for e in entries)
        raise InvalidRequest(f"There is no model {name!r} to test. Choose one of {known}.")
    return Run(service, entry, watch or (lambda n_done: None)).report()
