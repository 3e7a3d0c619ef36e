"""Fixtures that the tests of serving share."""

import pytest

from kronos.serving.jobs import Limits
from kronos.serving.queue import JobQueue


@pytest.fixture
def queue():
    """A queue of two places that stores three results."""
    queue = JobQueue(Limits(max_queued=2, max_results=3))
    yield queue
    queue.close()
