"""What docs/integrations.md shows runs as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from contextlib import closing

import pytest

from kronos import cli
from tests.source_tree import ROOT

TEXT = (ROOT / "docs/integrations.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\S+)(?: (\S+))?\n(.*?)```", TEXT, re.DOTALL)


def blocks(language, mark=""):
    return [text for name, where, text in BLOCKS if (name, where) == (language, mark)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With bars.csv."""
    place = tmp_path_factory.mktemp("user")
    bars = (ROOT / "assets/samples/GOOG_1d.csv").read_text().splitlines()
    (place / "bars.csv").write_text("\n".join(bars[:1] + bars[-300:]) + "\n")
    return place


def test_python_runs_in_the_order_of_the_page(folder, monkeypatch):
    pytest.importorskip("matplotlib").use("Agg")
    from kronos.api.app import create_api
    from kronos.api.keys import Keys
    from kronos.api.spool import Spool
    from kronos.cli.feeds import SourceFeeds
    from kronos.serving.service import LocalService
    from tests.api.loopback import serving

    monkeypatch.chdir(folder)
    names = {}
    texts = blocks("python")
    assert len(texts) == 3
    engine = LocalService()
    keys, spool = Keys(folder / "keys.json"), Spool(folder / "orders.sqlite3")
    api = create_api(lambda: engine, SourceFeeds(), keys=keys, spool=spool)
    with closing(engine), serving(api) as port:
        for text in texts:
            exec(text.replace("localhost:8600", f"127.0.0.1:{port}"), names)
    assert names["forecast"].horizon == 12
    assert "<svg" in names["forecast"]._repr_html_() or "<img" in names["forecast"]._repr_html_()
    assert names["quantiles"].height == 12


def test_commands_run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    lines = [line for text in blocks("sh") for line in text.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    assert {each[1] for each in words} == {"forecast", "serve", "models"}
    for each in words:
        if each[1] == "forecast":
            assert cli.main(each[1:]) == 0
            assert (folder / "fan.png").read_bytes().startswith(b"\x89PNG")
        else:  # it waits, or needs an adapter: that there is such a command is what is stated
            with pytest.raises(SystemExit) as ended:
                cli.main([*each[1:3], "--help"] if each[1] == "models" else [each[1], "--help"])
            assert ended.value.code == 0
    assert capsys.readouterr().out


@pytest.mark.sktime
def test_the_forecaster_of_sktime_runs():
    (text,) = blocks("python", "sktime")
    done = subprocess.run(
        [os.environ["SKTIME_PYTHON"], "-c", text], env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "0.9" in done.stdout


def test_names_of_the_hub_exist():
    """The network is not asked: tests/models ask a loopback hub the same."""
    (text,) = blocks("python", "hub")
    imported = next(line for line in text.splitlines() if line.startswith("from kronos"))
    called = sorted(set(re.findall(r"\.(from_pretrained|push_to_hub)\(", text)))
    checks = f"{imported}\nassert all(hasattr(Kronos, name) for name in {called})\n"
    checks += "assert hasattr(KronosTokenizer, 'from_pretrained')\n"
    subprocess.run([sys.executable, "-c", checks], cwd=ROOT, check=True, timeout=100)
