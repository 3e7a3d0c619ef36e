"""The page's code starts fast: torch waits for the worker, the web layer stays on top."""

from __future__ import annotations

import subprocess
import sys

import pytest

DRAWING = "chart.figure", "fan.exports", "fan.readouts", "jobs.settings", "jobs.work"
PAGES = (
    "forecast.view", "inputs.controls", "jobs.forecast_runs", "fan.results", "jobs.queues",
    "frame.shell", "inputs.candles", "inputs.ticker",
)  # fmt: skip


@pytest.fixture(scope="module")
def loaded() -> list[set[str]]:
    """Modules a fresh interpreter holds after importing DRAWING, and after PAGES on top."""
    code = ["import sys"]
    for names in (DRAWING, PAGES):
        code += [f"import pages.ui.{name}" for name in names]
        code += ["print(*sys.modules)"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], check=True, capture_output=True, text=True
    )
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_charts_and_read_outs_need_no_web_server(loaded):
    assert "plotly" in loaded[0]
    assert not {"torch", "streamlit"} & loaded[0]


def test_importing_the_pages_imports_no_torch(loaded):
    assert "streamlit" in loaded[1]
    assert not {"torch", "huggingface_hub", "exchange_calendars"} & loaded[1]


def test_server_is_healthy_before_anything_heavy_is_imported():
    code = "import sys, app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names = set(done.stdout.split())
    assert "streamlit" in names
    assert not {"pandas", "torch"} & names
