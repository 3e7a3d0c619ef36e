"""An application outlives the whole cluster, and joins the next one at the same address."""

import socket
import subprocess
import sys
from contextlib import closing, contextmanager, suppress

import numpy as np
import psutil
import pytest

from kronos.errors import ServiceUnreachable
from kronos.serving.cluster import carriers, connection, deployment
from kronos.serving.cluster.service import ClusterService
from tests.serving.test_cluster import request_of


def run(*words):
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, timeout=120)


class Head:
    """A head of its own, started as `kronos cluster start` does, on a port that stays."""

    def __init__(self, folder):
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"ray://127.0.0.1:{probe.getsockname()[1]}"

    def start(self):
        run(
            "ray.scripts.scripts", "start", "--head", f"--port={self.address.rpartition(':')[2]}",
            f"--temp-dir={self._folder}", "--num-cpus=1", "--include-dashboard=false",
            "--disable-usage-stats", f"--object-store-memory={connection.OBJECT_STORE}",
        )  # fmt: skip

    def deploy(self):
        run("kronos", "cluster", "start", "--address", self.address)

    def remove(self):
        run("kronos", "cluster", "stop", "--address", self.address)

    def kill(self):
        """Every process of this head and no other's: `ray stop` would end those too."""
        mine = [
            each for each in psutil.process_iter(["cmdline"])
            if str(self._folder) in " ".join(each.info["cmdline"] or [])
        ]  # fmt: skip
        mine += [child for each in mine for child in each.children(recursive=True)]
        for each in mine:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(mine, timeout=20)


@contextmanager
def application(folder):
    head = Head(folder)
    head.start()
    try:
        head.deploy()
        with closing(ClusterService(head.address)) as service:
            yield head, service
    finally:
        head.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_requests_wait_for_the_next_cluster(reference, tmp_path_factory):
    # Sockets have short paths.
    with application(tmp_path_factory.mktemp("r")) as (head, service):
        assert service.run(request_of(reference, 1)).n_paths == 10
        head.kill()
        assert not connection.is_joined()
        waiting = [request_of(reference, seed) for seed in range(2, 9)]
        for each in waiting:
            service.submit(each, owner=each.digest)
        head.start()
        head.deploy()
        for each in waiting:
            found = service.result(each.digest, owner=each.digest, timeout=60)
            np.testing.assert_array_equal(found.paths, reference.run(each).paths)
        assert [each["code"] for each in service.replicas()] == [connection.code_digest()]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_requests_wait_for_the_next_deployment(reference, tmp_path_factory):
    with application(tmp_path_factory.mktemp("r")) as (head, service):
        assert service.run(request_of(reference, 3)).n_paths == 10
        head.remove()
        waiting = request_of(reference, 4)
        service.submit(waiting, owner="page")
        head.deploy()
        found = service.result(waiting.digest, owner="page", timeout=60)
        np.testing.assert_array_equal(found.paths, reference.run(waiting).paths)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_that_stays_away_is_named_and_joined_when_it_is_back(
    reference, tmp_path_factory, monkeypatch
):
    monkeypatch.setattr(carriers, "PATIENCE", 5.0)
    with application(tmp_path_factory.mktemp("r")) as (head, service):
        head.kill()
        with pytest.raises(ServiceUnreachable, match="kronos cluster status"):
            service.run(request_of(reference, 5))
        head.start()
        with pytest.raises(ServiceUnreachable, match="kronos cluster"):
            service.run(request_of(reference, 6))
        head.deploy()
        assert service.run(request_of(reference, 7)).n_paths == 10
        assert set(deployment.deployed()) == {"kronos-bundled"}
