"""The measuring commands: what they count is what the network does, and their tables add up."""

import tomllib
import zipfile

import pandas as pd
import pytest
import torch
from torch import nn

from benchmarks import bundled_table, installs
from benchmarks.speed.__main__ import main
from benchmarks.speed.limits import Rates, floor, products, step_cost
from benchmarks.speed.workload import Workload, prepare
from kronos.nn.config import SIZES
from kronos.nn.model import Kronos
from tests.source_tree import ROOT

# The report is made by three processes, each of which imports torch.
pytestmark = pytest.mark.timeout(300)

GOLDEN = ROOT / "tests" / "golden"


def cells(report: str, first_header: str) -> list[dict[str, str]]:
    """Rows of the report's table whose header begins like that; repeated columns keep the first."""
    lines = iter(report.splitlines())
    header = next(line for line in lines if line.startswith(f"| {first_header} |"))
    names = [name.strip() for name in header.strip("|").split("|")]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        values = [value.strip() for value in line.strip("|").split("|")]
        assert len(values) == len(names)
        rows.append(dict(reversed(list(zip(names, values, strict=True)))))
    return rows[1:]


def number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.fixture(scope="module")
def speed_report(tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("speed") / "speed.md"
    arguments = ["--context", "24", "--paths", "3", "--horizon", "4", "--quick"]
    assert main(["--sizes", str(GOLDEN), *arguments, "--out", str(file)]) == 0
    return file.read_text(encoding="utf-8")


@pytest.mark.slow
def test_speed_compares_the_engines_of_a_size(speed_report):
    rows = cells(speed_report, "model | engine")
    assert [(row["model"], row["engine"]) for row in rows] == [
        ("golden", "ours"),
        ("golden", "recompute everything"),
    ]
    ours, recompute = rows
    assert number(ours["step, times ours"]) == number(ours["total, times ours"]) == 1
    for column in ("step (ms)", "total (s)"):
        ratio = number(recompute[f"{column.split()[0]}, times ours"])
        assert ratio == pytest.approx(number(recompute[column]) / number(ours[column]), rel=0.02)
    assert number(recompute["total (s)"]) == pytest.approx(
        4 * number(recompute["step (ms)"]) / 1e3, rel=0.02
    )
    assert number(ours["first step (s)"]) <= number(ours["total (s)"])
    assert number(ours["memory (MB)"]) > 0


@pytest.mark.slow
def test_speed_states_the_floor_it_compares_with(speed_report):
    (limits,) = cells(speed_report, "model | products (GFLOP)")
    ours, _ = cells(speed_report, "model | engine")
    least = number(limits["floor (ms)"])
    assert 0 < number(limits["without attention (ms)"]) <= least
    assert number(ours["times the floor"]) == pytest.approx(
        number(ours["step (ms)"]) / least, rel=0.02
    )
    rate = max(number(limits["GEMM (GFLOP/s)"]), number(limits["GEMM cold (GFLOP/s)"]))
    operations = number(limits["products (GFLOP)"]) + number(limits["attention (GFLOP)"])
    assert least >= 0.98e3 * operations / rate


@pytest.mark.slow
def test_speed_says_what_was_measured_and_where(speed_report):
    assert "Context 24, 3 paths, 4 steps" in speed_report
    assert f"torch {torch.__version__}" in speed_report.splitlines()[-1]


@pytest.mark.parametrize("size", ["mini", "small"])
def test_a_step_multiplies_with_every_linear_layer_once(size):
    config = SIZES[size]
    model = Kronos(**config.to_dict())
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    assert sum(product.weights for product in products(config)) == linear
    cost = step_cost(config, paths=7, context=100, horizon=10, itemsize=4)
    assert cost.product_operations == 2 * 7 * linear
    assert cost.weight_bytes == 4 * linear


def test_attention_grows_with_paths_and_context_and_reads_the_context_once_for_all():
    one, two = (
        step_cost(SIZES["mini"], paths=paths, context=100, horizon=0, itemsize=4)
        for paths in (1, 2)
    )
    assert two.attention_operations == 2 * one.attention_operations
    assert two.cache_bytes == one.cache_bytes
    # Scores and mixtures, 4 blocks and the dependency layer, width 256.
    assert one.attention_operations == 2 * 2 * 5 * 100 * 256
    assert one.cache_bytes == 2 * 5 * 100 * 256 * 4


def test_the_floor_is_the_slower_of_computing_and_reading():
    cost = step_cost(SIZES["mini"], paths=1, context=100, horizon=0, itemsize=4)
    operations = cost.product_operations + cost.attention_operations
    n_bytes = cost.weight_bytes + cost.cache_bytes
    assert floor(cost, Rates(operations, 1.0, 1e30, 1.0)) == 1
    assert floor(cost, Rates(1.0, 1e30, 1.0, n_bytes / 2)) == 2


def test_every_series_of_a_workload_has_the_context_and_the_future_follows(tmp_path):
    workload = Workload(prepare(str(GOLDEN), tmp_path), 30, 2, 5, n_series=4)
    series = workload.series()
    assert [len(bars) for bars in series] == [30] * 4
    assert len({bars.index[0] for bars in series}) == 4
    for bars in series:
        assert len(workload.future(bars)) == 5
        assert workload.future(bars)[0] > bars.index[-1]


def test_random_weights_stand_in_for_a_checkpoint_that_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    checkpoint = prepare("mini", tmp_path)
    assert checkpoint.origin.startswith("random weights")
    assert checkpoint.max_context == 2048
    assert (checkpoint.model / "model.safetensors").is_file()


def test_speed_refuses_what_does_not_fit(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--sizes", str(GOLDEN), "--context", "513", "--horizon", "24"])
    assert stop.value.code == 2
    assert "reads at most 512 bars" in capsys.readouterr().err


def test_rivals_are_compared_on_the_same_windows_by_calendar_weeks():
    origins = pd.date_range("2025-10-06", periods=40, freq="D", tz="UTC").as_unit("ns").asi8
    table = pd.DataFrame(
        {
            "series": "A",
            "interval": ["1d", "1h"] * 20,
            "origin": origins,
            "step": 1,
            "anchored_crps": 0.9,
            "cone_crps": 1.0,
        }
    )
    rival = table.assign(anchored_crps=1.1)
    scores = {"bundled": table, "garch": rival, "fhs": table}
    lines = bundled_table.rivals_text(scores).splitlines()
    assert "| all | 40 | GARCH-t | 1.1000 | -0.2000 (-0.2000 to -0.2000) |" in lines
    assert (
        "| 1h | 20 | filtered historical simulation | 0.9000 | 0.0000 (0.0000 to 0.0000) |" in lines
    )
    with pytest.raises(ValueError, match="not scored on the same windows"):
        bundled_table.rivals_text(scores | {"fhs": table.assign(origin=origins + 1)})


def test_installations_are_of_each_extra_that_a_wheel_declares(tmp_path):
    wheel = tmp_path / "fan-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "fan-1.dist-info/METADATA",
            "Name: fan\nProvides-Extra: app\nProvides-Extra: dev\nProvides-Extra: plot\n\nText",
        )
    assert installs.extras(wheel) == ["none", "app", "plot"]


def test_every_extra_is_asked_for_its_work():
    asked = {work.extra for work in installs.WORKS} | set(installs.SERVERS)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert asked == set(declared["optional-dependencies"]) - {"all", "dev"}


@pytest.mark.parametrize(
    ("installed", "absent", "status", "printed", "wrong"),
    [
        ("plot", False, 0, "", None),
        ("all", False, 1, "kronos: something else", "failed"),
        ("plot", True, 2, "kronos: it cannot be reached", None),
        ("plot", True, 0, "", "does not say"),
        ("plot", True, 1, "Traceback (most recent call last):", "does not say"),
        ("plot", True, 1, "pip install 'kronos-fan[plot]'", "does not say"),
        ("api", False, 1, "Install it with pip install 'kronos-fan[plot]', then", None),
        ("api", False, 0, "pip install 'kronos-fan[plot]'", "does not name"),
        ("none", True, 1, "pip install 'kronos-fan[api]'", "does not name"),
    ],
)
def test_an_extra_works_says_what_is_absent_or_is_named(installed, absent, status, printed, wrong):
    work = installs.Work("plot", ("kronos",), absent=absent)
    found = installs.fault(work, installed, status, printed)
    assert found is None if wrong is None else found.startswith(wrong)


def test_installations_stand_with_the_smallest_first():
    times = {"install": 40.0, "import": 0.02, "forecast": 2.5}
    found = [
        installs.Installation("app", 70, 2_100_000_000, times | {"application": 1.8}),
        installs.Installation("none", 46, 1_725_000_000, times | {"application": None}),
    ]
    smallest, larger = cells(installs.table(found), "extra")
    assert (smallest["extra"], smallest["MB"], smallest["application (s)"]) == ("none", "1,725", "")
    assert (larger["packages"], larger["application (s)"]) == ("70", "1.80")
