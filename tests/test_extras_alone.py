"""An installation without extras: what it can do, and how the rest names what is missing."""

import json
import subprocess
import sys

import pytest

from tests.source_tree import LIBRARIES, ROOT, python_files

PACKAGES = {
    "app": ("streamlit", "plotly", "altair", "starlette", "authlib", "talib", "xlsxwriter"),
    "markets": ("yfinance", "ccxt", "curl_cffi"),
    "finetune": ("peft", "transformers", "accelerate"),
    "ensemble": ("lightgbm",),
    "postgres": ("psycopg",),
    "chronos": ("chronos",),
    "plot": ("matplotlib",),
    "sktime": ("sktime",),
    "ray": ("ray",),
    "api": ("fastapi", "limits", "prometheus_client", "uvicorn", "mcp", "pydantic"),
}
# Whole modules of an extra; a check stands before each import of them.
OF_AN_EXTRA = {"data_sources.yahoo.session"} | {
    f"kronos.api.{name}"
    for name in (
        "answers",
        "app",
        "catalogue",
        "connections",
        "engine",
        "forecasts",
        "gate",
        "metrics",
        "orders",
    )
}
OF_AN_EXTRA |= {"kronos.agents.answers", "kronos.agents.server", "kronos.sktime"}
COMMAND = "import sys; from kronos.cli import main; sys.exit(main({}))"


def run_without(extras, script, folder):
    blocked = [name for extra in extras for name in PACKAGES[extra]]
    return subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules |= dict.fromkeys({blocked!r})\n{script}"],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_library_is_imported_without_extras(tmp_path):
    modules = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in python_files(*LIBRARIES)
        if file.name != "__main__.py" and "migrations" not in file.parts
    }
    assert len(modules) > 150
    script = f"import importlib\nfor name in {sorted(modules - OF_AN_EXTRA)!r}:\n"
    done = run_without(PACKAGES, f"{script}    importlib.import_module(name)", tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_csv_file_is_forecast_without_extras(tmp_path):
    bars, model = ROOT / "assets/samples/GOOG_1d.csv", ROOT / "tests/golden"
    words = ["forecast", str(bars), "--horizon", "3", "--paths", "3", "--model", str(model)]
    done = run_without(PACKAGES, COMMAND.format(words), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4


NEEDS = [
    ("app", "streamlit", COMMAND.format(["app"])),
    ("api", "fastapi", COMMAND.format(["serve"])),
    ("api", "mcp", COMMAND.format(["mcp"])),
    ("markets", "curl_cffi", COMMAND.format(["fetch", "AAPL", "-o", "bars.csv"])),
    (
        "markets",
        "ccxt",
        COMMAND.format(["fetch", "BTC/USDT", "--source", "binance", "-o", "bars.csv"]),
    ),
    ("markets", "ccxt", "import data_sources.registry as r; r.exchange_titles()"),
    (
        "finetune",
        "peft",
        "from kronos.finetune.lora import LoraSettings, add_lora\n"
        "add_lora(None, LoraSettings(), events=False)",
    ),
    (
        "finetune",
        "accelerate",
        "import os; os.environ['WORLD_SIZE'] = '2'\n"
        "from kronos.training.processes import process_group\n"
        "with process_group('cpu'): pass",
    ),
    (
        "ensemble",
        "lightgbm",
        "from types import SimpleNamespace\nimport numpy as np\n"
        "from kronos.ensemble.weights import predict\n"
        "learned = SimpleNamespace(members=('ewma',), boosters={'all': 'trees'},\n"
        "    constants={'all': np.zeros(1)})\n"
        "predict(learned, np.array(['']), np.zeros((1, 2)))",
    ),
    (
        "ensemble",
        "lightgbm",
        "import numpy as np; from kronos.ensemble.learning import _dataset\n"
        "_dataset(np.zeros((1, 2)), np.zeros(1))",
    ),
    (
        "postgres",
        "psycopg",
        "from kronos.store.database import store_url; store_url('postgresql://x/y')",
    ),
    (
        "chronos",
        "chronos-forecasting",
        "from kronos.models.loading import require_chronos_package as r; r()",
    ),
    ("ray", "ray", COMMAND.format(["cluster"])),
    (
        "ray",
        "ray",
        COMMAND.format(
            ["finetune", "lora", "--data", ".", "--out", "x", "--cluster", "ray://auto"]
        ),
    ),
    ("sktime", "sktime", "import kronos.sktime"),
    ("plot", "matplotlib", "from kronos.plot import require_matplotlib as r; r()"),
]
# Each case in a process of its own, forked from one that has imported what all of them need.
FORKED = """
import json, os, sys
import pandas, torch, kronos.cli
folder, cases = json.loads(sys.stdin.read())
codes = []
for n, (blocked, script) in enumerate(cases):
    child = os.fork()
    if child:
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        continue
    errors = os.open(f"{folder}/{n}", os.O_WRONLY | os.O_CREAT)
    os.dup2(errors, 1), os.dup2(errors, 2)
    sys.modules |= dict.fromkeys(blocked)
    exec(script)
    sys.exit(0)
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Exit status and printed text of each case where its extra is missing."""
    folder = tmp_path_factory.mktemp("errors")
    cases = [(PACKAGES[extra], script) for extra, _, script in NEEDS]
    done = subprocess.run(
        [sys.executable, "-c", FORKED], input=json.dumps([str(folder), cases]),
        cwd=folder, env={"PYTHONPATH": str(ROOT), "HOME": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout)
    return [(code, (folder / str(n)).read_text()) for n, code in enumerate(codes)]


@pytest.mark.parametrize(
    "n", range(len(NEEDS)), ids=[f"{e}-{p}-{n}" for n, (e, p, _) in enumerate(NEEDS)]
)
def test_a_missing_extra_is_named_by_what_needs_it(n, answers):
    extra, package, _ = NEEDS[n]
    code, printed = answers[n]
    assert code != 0
    assert f"the package {package}" in printed
    assert f"pip install 'kronos-fan[{extra}]'" in printed
