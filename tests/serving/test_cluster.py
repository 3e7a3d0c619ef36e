"""The cluster: what its service does beside the contract of every service."""

import time
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from benchmarks.gates.session import run_apart
from data_sources.samples import load_sample
from kronos.errors import Busy, InvalidRequest, RevisionMismatch, ServiceUnreachable
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.cluster import connection, replica
from kronos.serving.cluster.deployment import Plan, deployment_of
from kronos.serving.cluster.replica import Replica
from kronos.serving.local import LocalService
from kronos.serving.wire import dump, load
from kronos.store.store import Store
from kronos.walk_forward import Series, WalkPlan, walk_forward
from tests.serving.test_every_service import of_a_cluster

ETHER = load_sample("ETHUSD_1h").slice(0, 700)
PLAN = WalkPlan(models=("bundled",), horizon=4, n_origins=80, lookback=64,
                sampling=SamplingParameters(sample_count=8))  # fmt: skip


def request_of(service, seed=0, paths=10, horizon=3):
    sampling = SamplingParameters(sample_count=paths, seed=seed)
    return ForecastRequest.of_candles(
        load_sample("GOOG_1d"), service.facts("bundled"), horizon=horizon, sampling=sampling
    )


def test_an_address_is_read_or_refused():
    assert connection.address_of("ray://auto") == "auto"
    assert connection.address_of("ray://10.0.0.5") == "10.0.0.5:6379"
    assert connection.address_of("ray://head:7000/") == "head:7000"
    for text in ("head:6379", "ray://", "ray://head:port", "http://head"):
        with pytest.raises(InvalidRequest, match="named like ray://auto"):
            connection.address_of(text)


def test_a_plan_that_makes_no_sense_is_refused():
    assert deployment_of("bundled") == "kronos-bundled"
    for wrong in ({"replicas": 0}, {"replicas": 3, "most": 2}, {"cpus": 0.0}, {"models": ()}):
        with pytest.raises(InvalidRequest, match="one model and one replica"):
            Plan(**wrong)
    with pytest.raises(InvalidRequest, match="no deployment of its own"):
        Plan(models=("ewma",))


@pytest.fixture(scope="module")
def lone():
    """A replica in this process, without Ray."""
    made = Replica.__new__(Replica)
    made._service = LocalService()
    made._waits = replica.ThreadPoolExecutor(4)
    made._progress, made._n_asked = (0, time.monotonic()), 0
    yield made
    made._service.close()


def test_a_caller_of_other_code_is_refused_in_words(lone):
    message = dump(request_of(lone._service))
    status = load(run_apart(lone.answer("0" * 16, message, 0, None)))
    assert isinstance(status.error, RevisionMismatch)
    assert "run other code" in str(status.error)
    status = load(run_apart(lone.answer(connection.code_digest(), message, 0, None)))
    assert status.result.n_paths == 10


def test_a_stuck_engine_is_noticed(lone, monkeypatch):
    lone.check_health()
    stuck = SimpleNamespace(is_alive=True, is_drawing=True, n_steps=7)
    monkeypatch.setattr(lone, "_service", SimpleNamespace(engine=stuck, close=lambda: True))
    lone.check_health()
    monkeypatch.setattr(replica, "STUCK_AFTER", 0.01)
    time.sleep(0.02)
    with pytest.raises(Busy, match="no step for"):
        lone.check_health()
    stuck.n_steps = 8
    lone.check_health()
    stuck.is_alive = False
    with pytest.raises(Busy, match="has ended"):
        lone.check_health()


def test_a_cluster_that_is_not_there_is_named():
    with pytest.raises(ServiceUnreachable, match="kronos cluster start"):
        connection.join("127.0.0.1:1")


@pytest.fixture(scope="module")
def cluster():
    with of_a_cluster() as service:
        yield service


@pytest.fixture(scope="module")
def local():
    with closing(LocalService()) as service:
        yield service


def rows(store):
    with store.database.reading() as reading:
        found = reading.exec_driver_sql(
            "select instrument, origin, quantiles from ml_predictions order by 1, 2"
        )
        return [tuple(row) for row in found]


@pytest.mark.slow
def test_a_walk_stores_the_rows_of_one_process_though_a_worker_is_killed(cluster, local, tmp_path):
    killed = []

    def kill_one(done, _):
        if done >= 16 and not killed:
            workers = [
                each for each in psutil.process_iter(["cmdline"])
                if "ray::BulkWorker" in (each.info["cmdline"] or [""])[0]
            ]  # fmt: skip
            workers[0].kill()
            killed.append(workers[0].pid)

    ether = [Series(ETHER, "samples")]
    with Store(str(tmp_path / "a")) as one, Store(str(tmp_path / "b")) as two:
        report = walk_forward(cluster, one, ether, PLAN, progress=kill_one)
        walk_forward(local, two, ether, PLAN)
        assert killed
        assert (report.n_stored, report.problems) == (80, {})
        assert rows(one) == rows(two)


@pytest.mark.slow
def test_a_request_outlives_its_replica(cluster, local):
    request = request_of(local, seed=4, paths=300, horizon=60)
    before = cluster.n_repeated
    cluster.submit(request, owner="page")
    time.sleep(0.7)
    (busy,) = [each for each in cluster.replicas() if each["running"]]
    psutil.Process(busy["pid"]).kill()
    found = cluster.result(request.digest, owner="page", timeout=60)
    assert cluster.n_repeated > before
    np.testing.assert_array_equal(found.paths, local.run(request).paths)


@pytest.mark.slow
def test_equal_requests_of_two_applications_are_computed_once(cluster):
    from kronos.serving.cluster.service import ClusterService

    other = ClusterService(f"ray://{cluster._address}")
    request = request_of(cluster, seed=9, paths=300, horizon=60)
    asked = sum(each["joined"] for each in cluster.replicas())
    for each in (cluster, other):
        each.submit(request, owner="page")
    for each in (cluster, other):
        assert each.result(request.digest, owner="page", timeout=60).n_paths == 300
    assert sum(each["joined"] for each in cluster.replicas()) == asked + 1
    other.worker.close()  # not the connection, which both share


@pytest.mark.slow
def test_weights_of_another_revision_are_refused(cluster):
    with pytest.raises(RevisionMismatch):
        cluster.run(replace(request_of(cluster), revision="0" * 40))
