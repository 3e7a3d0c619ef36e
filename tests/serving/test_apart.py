"""The engine in a process of its own answers as that of this process does."""

import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import psutil
import pytest

from data_sources.samples import load_sample
from kronos.errors import Busy, InvalidRequest, NotFinished, ServiceUnreachable
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.apart import EngineProcess
from kronos.serving.interface import BulkRequest
from kronos.serving.service import LocalService
from tests.source_tree import ROOT


@pytest.fixture(scope="module")
def candles():
    return load_sample("BTCUSD_30m").slice(-140)


@pytest.fixture(scope="module")
def apart():
    with closing(EngineProcess()) as service:
        yield service


def request(service, candles, model="bundled", horizon=6, seed=5):
    sampling = SamplingParameters(sample_count=20, seed=seed)
    return ForecastRequest.of_candles(
        candles, service.facts(model), horizon=horizon, sampling=sampling
    )


def test_it_gives_what_the_engine_of_this_process_gives(apart, candles):
    asked = request(apart, candles)
    seen = []
    found = apart.run(asked, watch=seen.append)
    with closing(LocalService()) as local:
        wanted = local.run(asked)
    assert np.array_equal(found.paths, wanted.paths)
    assert found.metadata() == wanted.metadata()
    assert [model.name for model in apart.models] == ["bundled"]
    assert all(status.key == asked.digest for status in seen)
    many = [BulkRequest(request(apart, candles, "ewma", seed=i), label=i) for i in range(3)]
    assert {each.label for each, _ in apart.run_many(many)} == {0, 1, 2}


def test_what_it_raises_arrives_as_itself(apart, candles):
    with pytest.raises(InvalidRequest, match="nonesuch"):
        apart.facts("nonesuch")
    long = request(apart, candles, horizon=300)
    apart.submit(long, owner="me")
    with pytest.raises(NotFinished):
        apart.result(long.digest, owner="me", timeout=0.0)
    assert apart.leave_all(owner="me") == (long.digest,)


def test_those_who_wait_hear_that_it_has_ended(candles):
    service = EngineProcess()
    try:
        long = request(service, candles, "garch", horizon=300)
        child = psutil.Process(service._child.pid)
        service.submit(long, owner="me")
        child.suspend()  # so that nothing is answered any more
        child.kill()
        with pytest.raises((ServiceUnreachable, Busy), match="has ended"):
            service.result(long.digest, owner="me")
        give_up = time.monotonic() + 20
        while not service.is_closed:
            assert time.monotonic() < give_up
            time.sleep(0.01)
        with pytest.raises(Busy, match="open the service again"):
            service.facts("bundled")
    finally:
        service.close()


def test_it_ends_with_its_parent_and_its_output_is_not_that_of_the_parent():
    said = (
        "import os\n"
        "from kronos.serving.apart import EngineProcess\n"
        "service = EngineProcess()\n"
        "service.facts('ewma')\n"
        "print(service._child.pid, flush=True)\n"
        "os._exit(1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    pid = int(done.stdout)  # nothing else
    give_up = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up
        time.sleep(0.02)
