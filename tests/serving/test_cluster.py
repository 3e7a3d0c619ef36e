"""The cluster: what its service does beside the contract of every service."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

import kronos
from benchmarks.gates.session import run_apart
from data_sources.samples import load_sample
from kronos import cli
from kronos.errors import Busy, InvalidRequest, RevisionMismatch, ServiceUnreachable
from kronos.forecast import SamplingParameters
from kronos.request import ForecastRequest
from kronos.serving.cluster import connection, deployment, replica
from kronos.serving.cluster.carriers import Carriers
from kronos.serving.cluster.deployment import Plan, deployment_of
from kronos.serving.cluster.replica import ONGOING, Replica
from kronos.serving.jobs import JobStatus, Limits, Priority
from kronos.serving.local import LocalService
from kronos.serving.wire import dump, load
from kronos.store.store import Store
from kronos.walk_forward import Series, WalkPlan, walk_forward
from tests.patience import wait_until
from tests.serving.services import of_a_cluster, rows

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


def test_a_configuration_names_what_a_plan_deploys(capsys):
    plan = Plan(models=("bundled", "base"), replicas=2, most=8, gpus=0.5, tuned=True)
    found = deployment.configuration(plan)
    assert found["proxy_location"] == "Disabled"
    names = ["kronos-bundled", "kronos-base", "kronos-tuned"]
    assert [each["name"] for each in found["applications"]] == names
    sizes = {"replicas": 2, "most": 8, "cpus": 1.0, "gpus": 0.5}
    base = {"model": "base"} | sizes
    assert [each["args"] for each in found["applications"]][1:] == [base, sizes]
    words = "--models bundled base --replicas 2 --most 8 --gpus 0.5 --tuned --print"
    assert cli.main(["cluster", "start", *words.split()]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.slow
def test_an_application_is_the_one_of_its_plan():
    plan = Plan(replicas=2, most=5, cpus=0.5, tuned=True)
    for each in deployment.configuration(plan)["applications"]:
        made = deployment.application(each["args"])._bound_deployment
        own, names = deployment._applications(plan)[each["name"]]
        wanted = deployment._application(own, names)._bound_deployment
        assert made.name == wanted.name
        assert made._deployment_config == wanted._deployment_config
        assert made.ray_actor_options == wanted.ray_actor_options
    with pytest.raises(InvalidRequest, match=r"cpus, gpus, .* found models"):
        deployment.application({"models": ["bundled"]})


def test_a_wheel_and_a_checkout_have_one_digest(tmp_path):
    source = Path(kronos.__file__).parent / "serving"
    for name in ("wheel", "checkout"):
        shutil.copytree(source, tmp_path / name / "serving")
    pages = tmp_path / "wheel" / "_app" / "pages"
    pages.mkdir(parents=True)
    (pages / "forecast.py").write_text("answer = 42")
    wheel, checkout = (connection.sources_digest(tmp_path / n) for n in ("wheel", "checkout"))
    assert wheel == checkout
    (tmp_path / "wheel" / "serving" / "jobs.py").write_text("answer = 42")
    assert connection.sources_digest(tmp_path / "wheel") != checkout


def test_work_in_the_background_leaves_room_for_people():
    gate, carried = threading.Event(), []

    class Waiting(Carriers):
        def carry(self, job):
            carried.append(job.priority)
            gate.wait(20)
            return JobStatus(job.key, "done", result=job.payload)

    carriers = Waiting(None, Limits(max_queued=200))
    try:
        for i in range(100):
            carriers.queue.submit(f"{i}", i, owner=f"{i}", priority=Priority.BATCH)
        wait_until(lambda: len(carried) == ONGOING // 4)
        carriers.queue.submit("page", 0, owner="page", priority=Priority.VISIT)
        carriers.queue.submit("person", 0, owner="person")
        wait_until(lambda: len(carried) == ONGOING // 4 + 2)
        assert (carried.count(Priority.PERSON), carried.count(Priority.VISIT)) == (1, 1)
        assert carried.count(Priority.BATCH) == ONGOING // 4
        gate.set()
        assert carriers.queue.result("99", owner="99", timeout=20) == 99
    finally:
        gate.set()
        carriers.close()


def test_a_failed_deployment_says_what_its_replicas_said():
    text = "Traceback ...\nkronos.errors.CheckpointUnavailable: Get it first.\n"
    state = SimpleNamespace(message=text, deployments={}, status=None)
    assert deployment._reason(state) == "Get it first."
    waits = SimpleNamespace(message="Waits for\n 2 CPU.")
    state = SimpleNamespace(message="", deployments={"a": waits}, status=None)
    assert deployment._reason(state) == "Waits for 2 CPU."


def test_a_cluster_starts_with_its_token_before_this_process_looks_for_one():
    code = """
import sys
from kronos import cli
from kronos.cli import cluster
from kronos.errors import KronosError
def ray(*words):
    print(words[0], "ray" in sys.modules)
    if words[0] == "status":
        raise KronosError("none")
    if words[0] == "start":
        raise SystemExit(0)
cluster._ray = ray
cli.main(["cluster", "start"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env={name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"},
    )  # fmt: skip
    assert done.stdout.split() == ["status", "False", "get-auth-token", "False", "start", "False"]


@pytest.mark.parametrize("place", ["variable", "file", "none"])
def test_a_token_of_this_user_is_demanded_of_every_cluster(place, tmp_path, monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if place == "variable":
        monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    if place == "file":
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("0" * 32)
    assert connection._has_token() is (place != "none")


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


@pytest.mark.slow
def test_a_walk_stores_the_rows_of_one_process_though_a_worker_is_killed(
    cluster, reference, tmp_path, caplog, capfd
):
    caplog.set_level(logging.INFO, connection.__name__)
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
        walk_forward(reference, two, ether, PLAN)
        assert killed
        assert (report.n_stored, report.problems) == (80, {})
        assert rows(one) == rows(two)
    # What Ray says of it stands in the log, not on the terminal of a command.
    wait_until(lambda: "worker died" in caplog.text)
    assert "raylet" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_configuration_file_deploys_what_a_plan_deploys(cluster, reference):
    """By the client of `serve deploy`, which is what Kubernetes' operator calls as well."""
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    from kronos.serving.cluster.service import ClusterService

    plan = Plan(replicas=2, cpus=1)
    before = deployment.deployed()["kronos-bundled"]
    config = deployment.configuration(plan)
    config["applications"][0]["runtime_env"] = {"env_vars": connection._environment()}
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config))
    deployment._await({"kronos-bundled"}, 60)
    after = deployment.deployed()["kronos-bundled"]
    assert set(after.deployments) == set(before.deployments)
    service = ClusterService(f"ray://{cluster.address}")
    request = request_of(reference, seed=31)
    np.testing.assert_array_equal(service.run(request).paths, reference.run(request).paths)
    service.worker.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_replica_without_a_free_slot_loses_no_request(cluster, reference):
    """Progress of requests that fill every slot of the replicas is not to be had."""
    from kronos.serving.cluster.service import ClusterService

    others = [ClusterService(f"ray://{cluster.address}") for _ in range(3)]
    requests = [
        request_of(reference, seed=100 + i, paths=20, horizon=24) for i in range(3 * ONGOING)
    ]
    for i, request in enumerate(requests):
        others[i // ONGOING].submit(request, owner=f"{i}", wait=True)
    for i, request in enumerate(requests):
        found = others[i // ONGOING].result(request.digest, owner=f"{i}", timeout=200)
        assert found.n_paths == 20
    for each in others:
        each.worker.close()


@pytest.mark.slow
def test_a_request_outlives_its_replica(cluster, reference):
    request = request_of(reference, seed=4, paths=300, horizon=60)
    before = cluster.n_repeated
    cluster.submit(request, owner="page")
    time.sleep(0.7)
    (busy,) = [each for each in cluster.replicas() if each["running"]]
    psutil.Process(busy["pid"]).kill()
    found = cluster.result(request.digest, owner="page", timeout=60)
    assert cluster.n_repeated > before
    np.testing.assert_array_equal(found.paths, reference.run(request).paths)


@pytest.mark.slow
def test_equal_requests_of_two_applications_are_computed_once(cluster):
    from kronos.serving.cluster.service import ClusterService

    other = ClusterService(f"ray://{cluster.address}")
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
