"""`kronos cluster`: replicas of the engine on many machines."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from kronos.cli.terminal import columns_text, megabytes, write_text
from kronos.errors import KronosError
from kronos.extras import require_installed

if TYPE_CHECKING:
    from kronos.serving.cluster.deployment import Plan

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  kronos cluster start                                  one replica of the bundled model here
  kronos cluster start --models bundled small --replicas 2 --most 8
  kronos cluster start --models base --gpus 0.5         two replicas on a GPU
  kronos cluster status
  KRONOS_ENGINE=ray://auto kronos app                   the pages compute there
  kronos cluster stop --node                            and end Ray on this machine

Other machines join with ray start --address=HOST:6379. docs/cluster.md has several machines,
Kubernetes, GPUs, and what is not safe to mix."""


def add_parser(subparsers: Any) -> None:
    """Add the command; see `kronos.cli`."""
    parser = subparsers.add_parser(
        "cluster",
        help="replicas of the engine on many machines",
        description="Starts, shows and stops the engine on a Ray cluster.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, action="status", address="ray://auto")
    actions = parser.add_subparsers(metavar="ACTION")
    starting = actions.add_parser("start", help="deploy, or change what is deployed")
    add = starting.add_argument
    add("--models", nargs="+", default=["bundled"], metavar="NAME", help="published models")
    add("--replicas", type=int, default=1, metavar="N", help="of each model (default: 1)")
    add("--most", type=int, metavar="N", help="replicas under load (default: --replicas)")
    add("--cpus", type=float, default=1.0, metavar="N", help="threads of a replica (default: 1)")
    add("--gpus", type=float, default=0.0, metavar="N", help="GPUs of a replica (default: 0)")
    add("--tuned", action="store_true", help="serve fine-tuned models as well")
    starting.set_defaults(action="start")
    add("--print", action="store_true", dest="shows",
        help="deploy nothing; print it as a Serve configuration file")  # fmt: skip
    showing = actions.add_parser("status", help="replicas, models, queues (the default)")
    showing.set_defaults(action="status")
    stopping = actions.add_parser("stop", help="answer what is drawn, then end the replicas")
    stopping.add_argument("--node", action="store_true", help="end Ray on this machine as well")
    stopping.set_defaults(action="stop")
    for each in (starting, showing, stopping):
        each.add_argument(
            "--address", default="ray://auto", metavar="URL",
            help="the cluster (default: ray://auto, that of this machine)",
        )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the command; see `kronos.cli`."""
    from kronos.serving.cluster.connection import address_of, disconnect, join, load_ray

    address = address_of(args.address)
    if args.action == "start":
        plan = _plan(args)
        if args.shows:
            from kronos.serving.cluster.deployment import configuration

            write_text(None, json.dumps(configuration(plan), indent=2) + "\n")
            return 0
        if address == "auto":
            _ensure_node()
    load_ray()
    join(address)
    if args.action == "start":
        from kronos.serving.cluster.deployment import deploy

        deploy(plan)
    if args.action == "stop":
        from kronos.serving.cluster.deployment import remove

        remove()
        print("The deployments have ended.", file=sys.stderr)
        if args.node:
            disconnect()
            _ray("stop")
        return 0
    write_text(None, status_text(args.address))
    return 0


def status_text(address: str) -> str:
    """The table of replicas."""
    from contextlib import closing

    from kronos.serving.cluster.service import ClusterService

    with closing(ClusterService(address)) as cluster:
        rows = [("DEPLOYMENT", "PROCESS", "MODELS", "DEVICE", "RUNNING", "WAITING", "MEMORY")]
        for state in cluster.replicas():
            models = state["models"]
            devices = {model.placement.device for model in models if model.placement}
            rows.append(
                (
                    state["deployment"], str(state["pid"]),
                    " ".join(model.name for model in models) or "-",
                    " ".join(sorted(devices)) or "-", str(state["running"]),
                    str(state["waiting"]), megabytes(state["bytes"]),
                )
            )  # fmt: skip
        return columns_text(rows)


def _plan(args: argparse.Namespace) -> Plan:
    from kronos.serving.cluster.deployment import Plan

    return Plan(
        tuple(args.models), args.replicas, args.most, args.cpus, args.gpus, tuned=args.tuned
    )


def _ensure_node() -> None:
    """Start Ray on this machine where it does not run, with a token that it demands.

    Before this process imports Ray, which looks for the token then and never again.
    """
    require_installed("ray", "ray", "A cluster engine")
    try:
        _ray("status")
    except KronosError:
        print("Starting Ray on this machine.", file=sys.stderr)
        if os.environ.get("RAY_AUTH_MODE", "token") == "token":
            _ray("get-auth-token", "--generate")  # without one, whoever reaches Ray runs code
        _ray("start", "--head", "--include-dashboard=false", "--disable-usage-stats")


def _ray(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise KronosError(f"ray {words[0]} failed: {(done.stderr or done.stdout).strip()[-400:]}")
