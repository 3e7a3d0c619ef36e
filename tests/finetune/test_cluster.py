"""Runs in workers of a cluster: what is refused, and that lost workers change no bit."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import psutil
import pytest
import torch
from safetensors.torch import load_file

from kronos.cli import main
from kronos.errors import InvalidRequest, RevisionMismatch
from kronos.finetune import board
from kronos.finetune.board import Site
from kronos.finetune.cluster import Workers
from kronos.finetune.history import read
from kronos.models import weights_sha256
from kronos.serving.cluster.connection import OBJECT_STORE, code_digest, load_ray
from tests.training.conftest import made_up_bars

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent.parent / "golden"
STEPS = 300
QUICK = [
    "--context", "24", "--horizon", "6", "--windows", "8", "--steps", f"{STEPS}", "--lr", ".05",
    "--validate-every", "10", "--validation-windows", "3", "--paths", "4", "--patience", "0",
    "--device", "cpu", "--no-events",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A base, and bars of two asset classes and of one that is too short to be split."""
    folder = tmp_path_factory.mktemp("cluster")
    for part in ("model", "tokenizer"):
        shutil.copytree(GOLDEN / part, folder / "tiny" / part)
    (folder / "bars").mkdir()
    lines = ["file,group"]
    for i, group in enumerate(("coins", "coins", "shares", "shares", "short")):
        bars = made_up_bars(100 if group == "short" else 400, seed=i)
        bars.to_csv(folder / f"bars/{i}.csv", index=False)
        lines.append(f"{i}.csv,{group}/1h")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def words_of(home, form, *more):
    data = ["--data", str(home / "bars"), "--manifest", str(home / "manifest.csv")]
    return ["finetune", form, *data, "--base", str(home / "tiny"), *QUICK, *more]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "2"], "name it with --cluster"),
        (["--cpus", "2"], "name it with --cluster"),
        (["--cluster", "head:6379"], "named like ray://auto"),
        (["--cluster", "ray://auto", "--workers", "0"], "at least one worker"),
        (["--cluster", "ray://auto", "--cpus", "nan"], "at least one worker"),
        (["--cluster", "ray://127.0.0.1:1"], "No Ray cluster answers at 127.0.0.1:1"),
        (["--cluster", "ray://127.0.0.1:1", "--workers", "3"], "into 3 equal batches"),
    ],
)
def test_mistakes_are_explained(home, capsys, words, message):
    assert main(words_of(home, "lora", "--out", str(home / "refused"), *words)) == 2
    assert message in capsys.readouterr().err


def test_processes_come_from_one_place(home, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = ["--out", str(home / "refused"), "--cluster", "ray://auto"]
    assert main(words_of(home, "lora", *words)) == 2
    assert "from torchrun or from a cluster" in capsys.readouterr().err


def test_a_node_that_differs_is_named(base, tmp_path, monkeypatch):
    monkeypatch.setattr(board, "_SIGHT_SECONDS", 0.0)
    weights = weights_sha256(base.model)[:16]
    site = Site(None, "marker", code_digest(), base.reference, weights, "cpu")
    with pytest.raises(InvalidRequest, match="storage that all nodes of the cluster share"):
        site.enter(tmp_path)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/marker").touch()
    assert site.enter(tmp_path) == base
    with pytest.raises(RevisionMismatch, match="other code"):
        replace(site, code="0" * 16).enter(tmp_path)
    with pytest.raises(RevisionMismatch, match="other weights of the base"):
        replace(site, base_sha256="0" * 16).enter(tmp_path)


def test_workers_are_counted():
    assert Workers("ray://auto", 2, 0.5).cpus == 0.5
    with pytest.raises(InvalidRequest, match="found 0 workers of 1 processors"):
        Workers("ray://auto", 0)


@pytest.fixture(scope="module")
def nodes():
    """A cluster of a head without processors and two nodes with one each."""
    load_ray()
    from ray.cluster_utils import Cluster

    options = {"object_store_memory": OBJECT_STORE, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    try:
        for _ in range(2):
            found.add_node(num_cpus=1, **options)
        found.wait_for_nodes()
        yield found
    finally:
        found.shutdown()


def environment(home):
    found = os.environ | {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(home / "data")}
    return found | {"OMP_NUM_THREADS": "1"}


@contextmanager
def running(home, form, *more, launch=()):
    """The command in a process of its own."""
    words = [sys.executable, *launch, "-m", "kronos", *words_of(home, form, *more)]
    process = subprocess.Popen(words, env=environment(home), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def said_by(home, form, *more, launch=(), code=0):
    with running(home, form, *more, launch=launch) as process:
        _, said = process.communicate(timeout=200)
        assert process.returncode == code, said
    return said


def await_step(process, log, step):
    end = time.monotonic() + 120
    while not (log.is_file() and f'"step": {step},' in log.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def processes_of(title):
    found = psutil.process_iter(["cmdline", "create_time"])
    named = [each for each in found if title in (each.info["cmdline"] or [""])[0]]
    return sorted(named, key=lambda each: each.info["create_time"])


def assert_equal(one, other, *files):
    for file in files or ("adapter.safetensors", "model-run/state.safetensors"):
        a, b = load_file(one / file), load_file(other / file)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(home):
    """Two processes of torchrun that nothing disturbs."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said_by(home, "lora", "--out", str(home / "whole"), launch=launch)
    return home / "whole"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_lost_workers_and_nodes_change_no_bit(home, nodes, whole):
    out = home / "killed"
    log, there = out / "model-run/log.jsonl", ["--cluster", f"ray://{nodes.address}"]
    with running(home, "lora", "--out", str(out), *there, "--workers", "2") as process:
        await_step(process, log, 50)
        processes_of("ray::RayTrainWorker")[0].kill()
        await_step(process, log, 120)
        nodes.remove_node(min(nodes.worker_nodes, key=id), allow_graceful=False)
        nodes.add_node(num_cpus=1, object_store_memory=OBJECT_STORE, include_dashboard=False)
        _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert said.count("A worker was lost. The run goes on from its last checkpoint.") == 2
    assert "CRPS" in said
    assert f"All {STEPS} steps are done." in said
    assert_equal(whole, out)
    assert {path.name for path in out.iterdir()} == {"adapter.safetensors", "model-run"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_is_stopped_goes_on_in_one_process(home, nodes):
    """By Ctrl+C, then by a STOP file; it ends as a run of one process that nobody stops."""
    there = ["--cluster", f"ray://{nodes.address}"]
    said_by(home, "lora", "--out", str(home / "plain"))
    out = home / "moved"
    log = out / "model-run/log.jsonl"
    with running(home, "lora", "--out", str(out), *there) as process:
        await_step(process, log, 50)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "The same command resumes from there" in said
    with running(home, "lora", "--out", str(out), *there) as process:
        await_step(process, log, 150)
        (out / "STOP").touch()
        assert process.wait(60) == 130
    said_by(home, "lora", "--out", str(out))
    assert_equal(home / "plain", out)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_refusals_of_workers_arrive_at_once_and_in_words(home, nodes, whole):
    there = ["--cluster", f"ray://{nodes.address}", "--workers", "2"]
    out = home / "apart"
    own = out / ".ray"

    def hide():
        while not list(own.glob("?" * 32)):
            time.sleep(0.001)
        for marker in own.glob("?" * 32):
            marker.unlink()  # as where the folder is another one on that node

    thread = Thread(target=hide)
    thread.start()
    said = said_by(home, "lora", "--out", str(out), *there, code=2)
    thread.join()
    assert "must be on storage that all nodes of the cluster share" in said
    assert "worker was lost" not in said
    shutil.copytree(whole, out, dirs_exist_ok=True)
    said = said_by(home, "lora", "--out", str(out), "--seed", "1", *there, code=2)
    assert "was written with other settings" in said
    assert not own.exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tokenizer_and_model_are_trained_by_workers(home, nodes):
    few = ["--steps", "4", "--validate-every", "2", "--accumulate", "2"]
    there = ["--cluster", f"ray://{nodes.address}", "--workers", "2"]
    said_by(home, "full", "--out", str(home / "full"), *few, *there)
    said_by(home, "full", "--out", str(home / "alone"), *few)
    for part in ("tokenizer", "model"):
        file = f"{part}/model.safetensors"
        a, b = (load_file(home / out / file) for out in ("full", "alone"))
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rolling_classes_are_one_job_and_decide_as_one_process(home, nodes):
    more = ["--years", "0.02", "--test-windows", "3", "--steps", "150"]
    here = said_by(home, "rolling", *more, code=2)
    (kept,) = (path for path in (home / "data").rglob("rolling") if path.is_dir())
    kept.rename(home / "alone-rolling")
    shutil.rmtree(kept.parent / "adapters", ignore_errors=True)  # the champions
    with running(home, "rolling", *more, "--cluster", f"ray://{nodes.address}") as process:
        end = time.monotonic() + 120
        while not (logs := list(kept.glob("tiny-shares/runs/*/model-run/log.jsonl"))):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        await_step(process, logs[0], 50)
        lost = processes_of("ray::_roll")
        lost[-1].kill()
        _, there = process.communicate(timeout=200)
    assert process.returncode == 2, there
    assert there.count("its worker was lost. The run goes on from its last checkpoint.") == 1
    for said in (here, there):
        assert "tiny-short failed, its champion is as it was" in said
    for name in ("tiny-coins", "tiny-shares", "tiny-short"):
        one, other = (
            [replace(each, when="") for each in read(folder / name)]
            for folder in (home / "alone-rolling", kept)
        )
        assert one == other
        assert len(one) == 1
    for name in ("tiny-coins", "tiny-shares"):
        (run,) = (kept / name / "runs").iterdir()
        assert_equal(home / "alone-rolling" / name / "runs" / run.name, run, "adapter.safetensors")
        assert f"{name}: step    150  loss" in there
