"""Fixtures that the tests of serving share."""

from contextlib import closing

import pytest

from kronos.serving.jobs import Limits
from kronos.serving.local import LocalService
from kronos.serving.queue import JobQueue
from tests.serving.services import KINDS, service_of


@pytest.fixture
def queue():
    """A queue of two places that stores three results."""
    queue = JobQueue(Limits(max_queued=2, max_results=3))
    yield queue
    queue.close()


@pytest.fixture(scope="module", params=KINDS)
def service(request, tmp_path_factory):
    """Every kind of service in turn."""
    with service_of(request.param, tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="module")
def reference():
    """The engine of this process, whose answers are those of every service."""
    with closing(LocalService()) as local:
        yield local
