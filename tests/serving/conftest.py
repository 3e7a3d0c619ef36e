"""Fixtures the tests of inference share."""

import pytest

from kronos.serving.limits import Limits
from kronos.serving.queue import JobQueue


@pytest.fixture
def queue():
    """A queue of two places that keeps three results."""
    queue = JobQueue(Limits(max_queued=2, max_results=3))
    yield queue
    queue.close()
