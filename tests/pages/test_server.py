"""What the application adds to Streamlit's web server. That a page opened by its address asks for
nothing that is not there is seen in the browser."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from streamlit import config
from streamlit.runtime.scriptrunner.script_cache import ScriptCache

from pages.ui.frame.server import PageAddresses, leave_out_closed_secrets
from pages.ui.frame.shell import ADDRESSES

ROOT = Path(__file__).parents[2]


def test_every_page_is_told_where_its_server_is_before_a_script_looks_for_it(below):
    client = TestClient(Starlette(middleware=[Middleware(PageAddresses)]))
    for address in ("", *ADDRESSES):
        answer = client.get(f"{below}/{address}?horizon=8")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        told = answer.text.index('BACKEND_BASE_URL: new URL(".", location.href).href')
        assert told < answer.text.index("<script type=")
        assert client.post(f"{below}/{address}").status_code == 404
    assert client.get(f"{below}/nobody").status_code == 404


def test_the_projects_settings_hold_wherever_the_server_is_started(tmp_path):
    """Nothing may read a setting before Streamlit knows where the application lies."""
    code = (
        "import app; from streamlit import config; print(config.get_option('client.toolbarMode'))"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "viewer"


def test_no_page_is_parsed_into_a_tree(monkeypatch):
    """Which fails at times on Python 3.11 while another thread parses something."""

    def parsed(source, *rest, **named):
        raise SystemError("AST constructor recursion depth mismatch (before=42, after=37)")

    with monkeypatch.context() as patched:
        patched.setattr(ast, "parse", parsed)
        for page in [ROOT / "app.py", *ROOT.glob("pages/*.py")]:
            assert ScriptCache().get_bytecode(str(page))


@pytest.mark.parametrize("kind", [PermissionError, NotADirectoryError])
def test_secrets_in_a_closed_folder_are_left_out(kind, tmp_path, monkeypatch, capsys):
    """Streamlit reads them as it starts, and the server would not."""
    closed, free = str(tmp_path / "closed" / "secrets.toml"), str(tmp_path / "secrets.toml")
    stat = Path.stat

    def look(path, **options):
        if str(path) == closed:
            raise kind(13, "Permission denied", closed)
        return stat(path, **options)

    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [closed, free])
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "stat", look)
            leave_out_closed_secrets()
        assert config.get_option("secrets.files") == [free]
        assert f"{closed} is left out: Permission denied." in capsys.readouterr().err
    finally:
        config.set_option("secrets.files", before)
