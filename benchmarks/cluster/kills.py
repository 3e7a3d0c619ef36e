"""What an application on a cluster notices of machines that fail and change.

    OMP_NUM_THREADS=1 python -m benchmarks.cluster.kills [--kills 20]

A head without processors and two nodes of one processor, with a replica each, on one machine; four
clients ask without pause. A replica is killed again and again, each time once there are two; then
a node is removed and another added; the deployment is replaced; it shrinks to one replica; and the
raylet of the node that the application has joined is killed. Prints, for each, the answers
meanwhile, errors, differing bits, the longest wait, and the seconds until there were as many
replicas again, or for the raylet until the next answer.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing

import psutil

from benchmarks.cluster.load import Load, foot, requests, same, wait_until
from kronos.errors import KronosError
from kronos.serving.cluster import connection, deployment
from kronos.serving.cluster.service import ClusterService
from kronos.serving.local import LocalService

CLIENTS = 4


class Trial:
    """Load on a service while something happens to it."""

    def __init__(self, service: ClusterService, local: LocalService) -> None:
        self._service, self._local, self._seed = service, local, 0

    def during(self, name: str, event: Callable[[], float], settle: float = 2.0) -> None:
        """Print what the clients noticed; the event returns the seconds until all was well."""
        self._seed += 5_000
        load = Load(self._service, requests(self._local, 3_000, first_seed=self._seed), CLIENTS)
        time.sleep(settle)
        before, repeated = len(load.answers), self._service.n_repeated
        begun = time.perf_counter()
        back = event()
        time.sleep(settle)
        answers = load.stop()
        elapsed = time.perf_counter() - begun
        errors = [found for found, _ in answers.values() if isinstance(found, Exception)]
        waits = max(wait for _, wait in answers.values())
        some = sorted(answers)[-40:]
        differing = sum(
            not same(answers[i][0], self._local.run(load.asked[i]))
            for i in some
            if not isinstance(answers[i][0], Exception)
        )
        print(
            f"{name}: {len(answers) - before} answers in {elapsed:.0f} s, {len(errors)} errors "
            f"{sorted({type(error).__name__ for error in errors})}, {differing} of the last "
            f"{len(some)} with other bits, asked again {self._service.n_repeated - repeated}, all "
            f"back after {back:.1f} s, longest wait {waits:.1f} s",
            flush=True,
        )


def running(service: ClusterService, without: int = 0) -> int:
    """Replicas that answer, without a process."""
    try:
        return sum(each["pid"] != without for each in service.replicas())
    except Exception:  # noqa: BLE001 (one of them is going)
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    kills = parser.parse_args().kills
    connection.load_ray()
    from ray.cluster_utils import Cluster

    options = {"object_store_memory": connection.OBJECT_STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    nodes = [cluster.add_node(num_cpus=1, **options) for _ in range(2)]
    cluster.wait_for_nodes()
    os.environ["RAY_ADDRESS"] = cluster.address
    connection.join(cluster.address)
    try:
        plan = deployment.Plan(replicas=2, cpus=1)
        deployment.deploy(plan)
        with closing(LocalService()) as local:
            service = ClusterService(f"ray://{cluster.address}")
            wait_until(lambda: running(service) == 2)
            trial = Trial(service, local)

            def kill_one() -> float:
                lost = max(each["pid"] for each in service.replicas())
                psutil.Process(lost).kill()
                return wait_until(lambda: running(service, without=lost) == 2)

            def kill_replicas() -> float:
                back = sorted(kill_one() for _ in range(kills))
                print(f"back after {', '.join(f'{seconds:.1f}' for seconds in back)} s")
                return back[-1]

            def remove_node() -> float:
                cluster.remove_node(nodes.pop(), allow_graceful=False)
                seconds = wait_until(lambda: running(service) == 1)
                nodes.append(cluster.add_node(num_cpus=1, **options))
                wait_until(lambda: running(service) == 2)
                return seconds

            def replace() -> float:
                begun = time.perf_counter()
                known = {each["pid"] for each in service.replicas()}
                deployment.deploy(deployment.Plan(replicas=2, cpus=0.9))
                wait_until(
                    lambda: (
                        running(service) == 2
                        and not known & {each["pid"] for each in service.replicas()}
                    )
                )
                return time.perf_counter() - begun

            def shrink() -> float:
                deployment.deploy(deployment.Plan(replicas=1, cpus=0.9))
                return wait_until(lambda: running(service) == 1)

            trial.during(f"{kills} kills of a replica", kill_replicas)
            trial.during("a node removed", remove_node)
            trial.during("another deployment, replica by replica", replace)
            trial.during("one replica instead of two", shrink)

            def kill_raylet() -> float:
                begun = time.perf_counter()
                (raylet,) = [each.process.pid for each in cluster.head_node.all_processes["raylet"]]
                psutil.Process(raylet).kill()
                time.sleep(1)
                cluster.add_node(num_cpus=0, **options)
                while True:
                    try:
                        (one,) = requests(local, 1, first_seed=99_999)
                        service.run(one, deadline=60)
                        return time.perf_counter() - begun
                    except KronosError:
                        time.sleep(0.1)

            trial.during("the raylet of the application's node killed", kill_raylet)
    finally:
        connection.disconnect()
        cluster.shutdown()
    print(foot())
    return 0


if __name__ == "__main__":
    sys.exit(main())
