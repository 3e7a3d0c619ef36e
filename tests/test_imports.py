"""Imports point down only, and importing the library costs next to nothing."""

import json
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import pytest

from tests.source_tree import (
    LIBRARIES,
    ROOT,
    SHELL,
    Import,
    imports,
    module_graph,
    module_name,
    python_files,
)

# What each part of kronos may use of the other parts. A new part is entered here first.
MAY_USE = {
    "errors": set(),
    "system": set(),
    "extras": {"errors"},
    "frames": {"errors"},
    "plot": {"errors", "extras"},
    "forecast": {"errors", "plot", "risk"},
    "risk": {"errors"},
    "calendars": {"errors"},
    "candles": {"calendars", "errors", "forecast", "frames", "risk"},
    "export": {"candles", "errors", "forecast", "risk", "system"},
    "events": {"calendars", "candles", "errors", "system"},
    "evaluation": {"calendars", "candles", "errors"},
    "joint": {"candles", "errors", "evaluation", "forecast"},
    "nn": {"errors", "system"},
    "context": {"errors", "forecast", "frames", "nn"},
    "normalisation": {"context", "nn"},
    "request": {
        "calendars", "candles", "context", "errors", "events", "forecast", "frames",
    },
    "decoding": {"forecast", "nn"},
    "forecasters": {
        "context", "decoding", "errors", "evaluation", "forecast", "frames", "nn",
        "normalisation", "request",
    },
    "models": {"decoding", "errors", "forecasters", "nn", "request", "system"},
    "store": {
        "calendars", "candles", "errors", "evaluation", "events", "export", "forecast", "system",
    },
    "calibration": {
        "calendars", "candles", "errors", "evaluation", "forecast", "forecasters", "store",
        "system",
    },
    "ensemble": {
        "calendars", "calibration", "context", "errors", "evaluation", "events", "extras",
        "forecast", "forecasters", "models", "request", "store", "system",
    },
    "serving": {
        "context", "decoding", "ensemble", "errors", "events", "extras", "forecast",
        "forecasters", "models", "request", "system",
    },
    "training": {
        "calendars", "candles", "context", "errors", "evaluation", "events", "extras",
        "forecast", "forecasters", "nn", "normalisation", "system",
    },
    "finetune": {
        "errors", "evaluation", "events", "extras", "forecasters", "models", "nn", "serving",
        "system", "training",
    },
    "tasks": {"context", "errors", "evaluation", "forecast", "forecasters", "training"},
    "portfolio": {
        "calendars", "candles", "errors", "evaluation", "events", "export", "forecast", "request",
        "serving",
    },
    "synthetic": {"candles", "errors", "forecast", "forecasters", "request"},
    "walk_forward": {
        "candles", "errors", "evaluation", "events", "forecast", "request", "serving", "store",
    },
    "api": {
        "calendars", "calibration", "candles", "errors", "evaluation", "events", "export",
        "forecast", "forecasters", "models", "plot", "request", "serving", "store", "system",
    },
    "sktime": {"extras", "forecasters", "models"},
    "agents": {
        "api", "calendars", "calibration", "candles", "errors", "evaluation", "events", "forecast",
        "models", "serving", "store",
    },
    "follow": {"calendars", "candles", "errors", "forecast", "request", "risk", "serving"},
    "self_test": {
        "candles", "decoding", "errors", "forecast", "forecasters", "models", "request", "serving",
        "system",
    },
}  # fmt: skip
WITHOUT_TORCH = {
    "calendars", "calibration", "candles", "context", "errors", "evaluation", "events", "export",
    "follow", "forecast", "frames", "normalisation", "request", "store", "system",
}  # fmt: skip
# Of packages that hold both kinds, the modules that need no torch.
MODULES_WITHOUT_TORCH = {
    "forecasters.base", "forecasters.baselines", "forecasters.paths", "forecasters.upstream",
    "models.facts", "models.hub", "serving.requests", "serving.service",
}  # fmt: skip
# The command line stands above everything, like the pages.
COMMANDS = {"cli", "__main__"}
DATA_SOURCES_MAY_USE = {"calendars", "candles", "errors", "extras", "events", "system"}
# What each room of pages/ui may use of the other rooms. No page uses the room of another page.
SHARED_ROOMS_MAY_USE = {
    "frame": set(),
    "jobs": {"frame"},
    "inputs": {"frame", "jobs"},
    "chart": {"frame", "inputs"},
    "fan": {"chart", "frame", "inputs", "jobs"},
    "workspaces": {"frame", "inputs", "jobs"},
}
PAGE_ROOMS = {
    "backtest", "compare", "forecast", "forecasts", "models", "synthetic", "track_record",
    "training", "watchlist", "what_if",
}  # fmt: skip
ROOMS_MAY_USE = SHARED_ROOMS_MAY_USE | {
    room: {*SHARED_ROOMS_MAY_USE} for room in sorted(PAGE_ROOMS)
}
INTERFACE = {"streamlit", "plotly", "altair", "matplotlib", "pages", "app"}
REACHES_THE_NETWORK = (
    "kronos.models.hub", "kronos.serving.client", "kronos.serving.cluster.connection",
)  # fmt: skip
NETWORK = {
    "aiohttp", "ftplib", "http", "httpx", "httpx2", "huggingface_hub", "requests", "smtplib",
    "socket", "socketserver", "urllib", "urllib3", "websockets",
}  # fmt: skip


def part_of(name: str) -> str:
    """The part of kronos a dotted name belongs to; "" for the package itself."""
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 else ""


def needs_no_torch(name: str) -> bool:
    """Whether a module of kronos does its work without torch."""
    inner = name.removeprefix("kronos.")
    return part_of(name) in WITHOUT_TORCH or any(
        inner == module or inner.startswith(f"{module}.") for module in MODULES_WITHOUT_TORCH
    )


def listing(broken: list[Import]) -> str:
    return "\n".join(map(str, broken))


KRONOS_FILES = python_files("kronos")
LIBRARY_FILES = python_files(*LIBRARIES)
PARTS = sorted({part_of(module_name(file)) for file in KRONOS_FILES} - {"", *COMMANDS})


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_kronos_import_only_what_lies_below_them(part):
    assert part in MAY_USE, f"kronos.{part} is new: enter what it may use in MAY_USE."
    broken = [
        found
        for file in KRONOS_FILES
        if part_of(module_name(file)) == part
        for found in imports(file)
        if found.package == "kronos" and part_of(found.name) not in MAY_USE[part] | {part}
    ]
    assert not broken, listing(broken)


@pytest.mark.parametrize("table", [MAY_USE, ROOMS_MAY_USE], ids=["kronos", "pages"])
def test_the_tables_have_no_cycle(table):
    assert {*TopologicalSorter(table).static_order()} == {*table}  # raises CycleError


def test_no_modules_import_each_other_in_a_circle():
    """Imports in functions and in TYPE_CHECKING blocks count like those at the top of a file."""
    graph = module_graph(*SHELL, *LIBRARIES)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        circle = [graph[above][below] for below, above in pairwise(exc.args[1])]
        pytest.fail(f"circle:\n{listing(circle)}")


def test_the_neural_network_is_torch_and_nothing_else():
    allowed = {"torch", "safetensors", "kronos"} | sys.stdlib_module_names
    broken = [
        found
        for file in python_files("kronos/nn")
        for found in imports(file)
        if found.package not in allowed
    ]
    assert not broken, listing(broken)


def imported_by(*roots: str) -> set[str]:
    """Modules of kronos that some modules import, directly or through others, lazily as well."""
    files = {module_name(file): file for file in KRONOS_FILES}
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        while name not in files and "." in name:  # a name within a module
            name = name.rpartition(".")[0]
        if name in found or name not in files or name == "kronos":
            continue
        found.add(name)
        package = name.rpartition(".")[0]  # its __init__ runs first
        waiting += [package, *(each.name for each in imports(files[name]))]
    return found


def test_no_forecaster_reads_the_store():
    forecasters = [module_name(file) for file in python_files("kronos/forecasters")]
    applied = ["kronos.ensemble", "kronos.ensemble.predictor", "kronos.calibration"]
    found = imported_by(*forecasters, *applied)
    assert "kronos.forecasters.kronos" in found
    assert not {name for name in found if part_of(name) == "store"}


def test_libraries_know_nothing_of_the_interface():
    broken = [
        found
        for file in LIBRARY_FILES
        for found in imports(file)
        if (found.package in INTERFACE or found.package == "tests")
        and (module_name(file), found.package) != ("kronos.plot", "matplotlib")
    ]
    assert not broken, listing(broken)


@pytest.mark.parametrize("room", ROOMS_MAY_USE)
def test_rooms_of_the_pages_import_only_what_lies_below_them(room):
    allowed = ROOMS_MAY_USE[room] | {room}
    broken = [
        found
        for file in python_files(f"pages/ui/{room}")
        for found in imports(file)
        if found.package in {"pages", "app"}
        and not any(f"{found.name}.".startswith(f"pages.ui.{below}.") for below in allowed)
    ]
    assert not broken, listing(broken)


def test_every_room_of_the_pages_is_in_the_table():
    assert {file.parent.name for file in python_files("pages/ui")} - {"ui"} == {*ROOMS_MAY_USE}


def test_only_the_command_line_joins_kronos_and_data_sources():
    broken = [
        found
        for file in KRONOS_FILES
        if part_of(module_name(file)) not in COMMANDS
        for found in imports(file)
        if found.package == "data_sources"
    ]
    assert not broken, listing(broken)


def test_data_sources_use_the_schema_and_no_model():
    broken = [
        found
        for file in python_files("data_sources")
        for found in imports(file)
        if (found.package == "kronos" and part_of(found.name) not in DATA_SOURCES_MAY_USE)
        or found.package in {"torch", "safetensors"}
    ]
    assert not broken, listing(broken)


def test_parts_that_need_no_model_import_no_torch():
    broken = [
        found
        for file in KRONOS_FILES
        if needs_no_torch(module_name(file))
        for found in imports(file)
        if found.package == "torch" or found.name.startswith("safetensors.torch")
    ]
    assert not broken, listing(broken)


def test_only_the_hub_part_and_the_client_use_the_network():
    broken = [
        found
        for file in KRONOS_FILES
        if not module_name(file).startswith(REACHES_THE_NETWORK)
        for found in imports(file)
        # urllib.parse takes addresses apart and opens nothing.
        if found.package in NETWORK and not found.name.startswith("urllib.parse")
    ]
    assert not broken, listing(broken)


def loaded_by(statement: str) -> set[str]:
    """Top-level packages a fresh interpreter holds after a statement."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("name", ["kronos", "kronos.system"])
def test_importing_it_loads_no_other_package(name):
    extra = loaded_by(f"import {name}") - loaded_by("pass") - sys.stdlib_module_names - {"kronos"}
    assert not extra


def test_reading_candles_loads_neither_torch_nor_the_hub_client():
    loaded = loaded_by("import kronos.candles, kronos.forecast, kronos.errors, data_sources")
    assert not loaded & {"torch", "safetensors", "huggingface_hub", "streamlit", "plotly"}


def test_importing_the_store_loads_no_database_library():
    assert not loaded_by("import kronos.store") & {"alembic", "pandas", "sqlalchemy"}


def test_the_help_of_the_command_loads_no_other_package():
    said = "from kronos.cli import parser; parser().format_help()"
    assert not loaded_by(said) - loaded_by("pass") - sys.stdlib_module_names - {"kronos"}


def test_bars_that_keep_no_exchange_load_no_calendar_library():
    said = "from data_sources.samples import load_sample; load_sample('BTCUSD_30m').future(24)"
    assert not loaded_by(said) & {
        "exchange_calendars", "huggingface_hub", "plotly", "streamlit", "torch",
    }  # fmt: skip


def test_public_names_are_importable_and_listed():
    import kronos

    for name in kronos.__all__:
        assert getattr(kronos, name) is not None
        assert name in dir(kronos)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        kronos.missing  # noqa: B018
