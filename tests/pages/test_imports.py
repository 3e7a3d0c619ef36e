"""The page's code starts fast: torch waits for the worker, the web layer stays on top."""

from __future__ import annotations

import subprocess
import sys


def modules_after(code: str) -> set[str]:
    """Names of all modules loaded by a fresh interpreter that ran `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_importing_the_pages_imports_no_torch():
    loaded = modules_after(
        "import pages.ui.asked, pages.ui.controls, pages.ui.progress, pages.ui.results, "
        "pages.ui.services, pages.ui.shell, pages.ui.source"
    )
    assert "streamlit" in loaded
    assert not {"torch", "huggingface_hub", "exchange_calendars"} & loaded


def test_charts_and_read_outs_need_no_web_server():
    loaded = modules_after(
        "import pages.ui.chart, pages.ui.exports, pages.ui.readouts, pages.ui.request, "
        "pages.ui.work"
    )
    assert not {"torch", "streamlit"} & loaded
