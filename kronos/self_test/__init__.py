"""The self-test of a model: whether this machine computes correctly with it.

    steps.py     the steps, each a request to the service, and their report
    expected.py  the bars that are forecast, and the closes stored for the bundled model

`python -m kronos.self_test` stores the closes again, after the bundled weights have changed.
"""

from __future__ import annotations

from kronos.self_test.steps import TITLES, SelfTest, Step, run_self_test

__all__ = ["TITLES", "SelfTest", "Step", "run_self_test"]
