"""Every kind of forecast service, for tests of what holds for all of them."""

from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import kronos
from kronos.api.app import create_api
from kronos.api.keys import Keys
from kronos.api.spool import Spool
from kronos.serving.apart import EngineProcess
from kronos.serving.service import LocalService
from tests.api.loopback import serving
from tests.api.test_client import SampleFeeds

KINDS = ("local", "child", "server", pytest.param("cluster", marks=pytest.mark.slow))


@contextmanager
def service_of(kind: str, folder: Path):
    """A service of this process, of a child, of a server or of a cluster."""
    made = {
        "local": lambda: closing(LocalService()),
        "child": lambda: closing(EngineProcess()),
        "server": lambda: of_a_server(folder),
        "cluster": of_a_cluster,
    }[kind]
    with made() as service:
        yield service


@contextmanager
def of_a_server(folder: Path):
    """A client of a server, which has an engine of its own in this process."""
    api = create_api(
        lambda: engine, SampleFeeds(), keys=Keys(folder / "keys.json"),
        spool=Spool(folder / "orders.sqlite3"),
    )  # fmt: skip
    with (
        closing(LocalService()) as engine,
        serving(api) as port,
        kronos.Client(f"http://localhost:{port}") as client,
    ):
        yield client


@contextmanager
def of_a_cluster():
    """Two replicas on a node of three processors, which ends with the service."""
    from kronos.serving.cluster import connection, deployment
    from kronos.serving.cluster.service import ClusterService

    address = connection.start(3)
    try:
        deployment.deploy(deployment.Plan(replicas=2, cpus=1))
        with closing(ClusterService(f"ray://{address}")) as service:
            yield service
    finally:
        connection.disconnect()


def rows(store):
    """What a walk stored, without when."""
    with store.database.reading() as reading:
        found = reading.exec_driver_sql(
            "select instrument, model_name, origin, quantiles from ml_predictions order by 1, 2, 3"
        )
        return [tuple(row) for row in found]
