"""Six tasks of an analyst on the page: clicks and seconds of each.

`CHROMIUM=/usr/bin/chromium python -m benchmarks.desk` serves this checkout without a network and
with empty folders, performs the tasks in a browser of 1400x900 pixels, and prints a table.
`--checkout FOLDER` serves another revision as well, whose numbers come first: `git worktree add
FOLDER REVISION` makes the folder. A task that its pages do not offer is a dash.

A click, a drop of files, and a text typed into a field count as one click each. Seconds are of the
whole task, from the first click until the result is there; the browser of the benchmark does not
have to look for a control, as a person does. Each task begins in a tab of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Response, TimeoutError, sync_playwright

from benchmarks.revision import revision

ROOT = Path(__file__).resolve().parents[1]
_SAMPLE = ROOT / "assets" / "samples" / "GOOG_1d.csv"
_PATIENCE_MS = 180_000
_N_FILES = 20
_N_ROWS = 400
_CLOSED = "http://127.0.0.1:9"  # nothing listens at the port of discarded bytes


class NotOfferedThere(Exception):
    """The pages of that revision have no control for a task."""


@dataclass
class Visitor:
    """A tab, and the clicks made in it.

    Attributes:
        page: The tab.
        n_clicks: So far.
    """

    page: Page
    n_clicks: int = 0

    def click(self, target: Locator) -> None:
        """Click the first of these as soon as it is there."""
        self.n_clicks += 1
        target.first.click()

    def drop(self, files: list[Path], field: Locator) -> None:
        """Hand files to an uploader."""
        self.n_clicks += 1
        n_there = 0

        def count(response: Response) -> None:
            nonlocal n_there
            n_there += "/_stcore/upload_file/" in response.url

        self.page.on("response", count)
        field.set_input_files(files)
        while n_there < len(files):
            self.page.wait_for_timeout(50)
        self.page.remove_listener("response", count)
        self.settle()

    def type(self, field: Locator, text: str) -> None:
        """Type a text into a field and leave it."""
        self.n_clicks += 1
        field.first.click()
        self.page.keyboard.type(text, delay=20)
        self.page.keyboard.press("Tab")

    def open(self, page: str) -> None:
        """The link of a page in the bar."""
        self.click(self.page.get_by_role("link", name=page, exact=True))
        self.page.get_by_role("heading", level=1).first.wait_for()

    def run(self) -> None:
        """Press Run once it can be."""
        button = self.page.locator(
            'button[data-testid="stBaseButton-primary"]:enabled', has_text="Run"
        )
        self.settle()
        self.click(button)

    def settle(self) -> None:
        """Wait until the server has answered what was done last."""
        self.page.wait_for_timeout(300)  # what was done has to leave the browser first
        self.page.locator('[data-test-script-state="notRunning"]').first.wait_for()

    def await_fan(self) -> None:
        """Wait for a chart with a median and its numbers."""
        self.page.get_by_text("Expected move").first.wait_for()
        self.page.locator(".js-plotly-plot .annotation-text", has_text="p50").first.wait_for()
        self.settle()


def first_fan(visitor: Visitor, files: list[Path]) -> None:
    """Open the page; the fan is there."""
    visitor.await_fan()


def past_origin(visitor: Visitor, files: list[Path]) -> None:
    """A file of one's own, forecast from a day in its past, beside what came then."""
    page = visitor.page
    chips = page.locator(".st-key-chip_data").count() > 0
    if chips:
        visitor.click(page.locator(".st-key-chip_data button"))
    data = page.get_by_role("combobox", name="Data")
    data.wait_for()
    field = page.locator(".st-key-upload input[type=file]")
    if not field.count():  # earlier pages have the field beside that option alone
        visitor.click(data)
        visitor.click(page.get_by_role("option", name=re.compile("My own")))
    field.first.wait_for(state="attached")
    visitor.drop(files[:1], field.first)
    page.get_by_role("heading", level=1, name="own").wait_for()
    visitor.settle()
    if chips:
        visitor.click(page.locator(".st-key-chip_horizon button"))
    visitor.type(
        page.get_by_test_id("stDateInput").first.locator("[role=spinbutton], input"), "20060103"
    )
    visitor.run()
    page.get_by_text("inside the 80% band").first.wait_for()
    visitor.await_fan()


def four_models(visitor: Visitor, files: list[Path]) -> None:
    """The bundled model beside three baselines, with their scores."""
    page = visitor.page
    visitor.open("Compare")
    visitor.settle()
    chip = page.locator(".st-key-chip_models button")
    # Later pages compare four as they open.
    if not chip.count() or "4 models" not in chip.first.inner_text():
        if chip.count():
            visitor.click(chip)
        visitor.click(page.get_by_role("radio", name="4", exact=True))
        visitor.run()
    page.get_by_text("Cost and scores").first.wait_for()
    page.get_by_text("4 forecasts of").first.wait_for()
    visitor.settle()


def watchlist(visitor: Visitor, files: list[Path]) -> None:
    """Twenty files in one run, beside the samples that the page begins with."""
    page = visitor.page
    visitor.open("Watchlist")
    expander = page.get_by_text("My own files").or_(page.get_by_text("My own CSV files"))
    visitor.click(expander)
    field = page.locator(".st-key-watch_files input[type=file]")
    visitor.drop(files, field.first)
    visitor.run()
    page.get_by_text(f"of {len(files) + 5} done").first.wait_for()
    page.get_by_role("button", name="Cancel").first.wait_for(state="detached")
    page.get_by_role("button", name="Table (CSV)").wait_for()


def walk(visitor: Visitor, files: list[Path]) -> None:
    """Three files walked forward with the defaults of the page, ending on their scores."""
    page = visitor.page
    visitor.open("Track record")
    visitor.settle()
    visitor.click(page.get_by_text("Walk-forward test", exact=True))
    choice = page.get_by_role("radio", name="My files")
    try:
        choice.first.wait_for(timeout=10_000)
    except TimeoutError:
        raise NotOfferedThere from None
    visitor.click(choice)
    field = page.locator(".st-key-watch_files input[type=file]")
    field.first.wait_for(state="attached")
    visitor.drop(files[:3], field.first)
    visitor.click(page.get_by_role("button", name="Start test"))
    page.get_by_text("in this session only").first.wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    visitor.settle()


def found_again(visitor: Visitor, files: list[Path]) -> None:
    """The chart of a forecast that another visit made."""
    page = visitor.page
    if page.get_by_role("link", name="Forecasts", exact=True).count() == 0:
        raise NotOfferedThere
    visitor.open("Forecasts")
    visitor.click(page.get_by_role("button", name="Open chart"))
    page.locator(".js-plotly-plot .annotation-text", has_text="p50").first.wait_for()
    visitor.settle()


TASKS: dict[str, Callable[[Visitor, list[Path]], None]] = {
    "first fan on a server just started": first_fan,
    "own CSV with a past origin": past_origin,
    "four models": four_models,
    f"watchlist of {_N_FILES} files": watchlist,
    "walk of three own files": walk,
    "the forecast of another visit": found_again,
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkout", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    args = parser.parse_args()
    places = [*args.checkout, ROOT]
    columns = [perform(place.resolve(), args.tasks) for place in places]
    print("| task |" + "".join(f" clicks, {name(each)} | seconds |" for each in places))
    print("| --- |" + " ---: | ---: |" * len(places))
    for i, task in enumerate(args.tasks):
        cells = "".join(f" {clicks} | {seconds} |" for clicks, seconds in (c[i] for c in columns))
        print(f"| {task} |{cells}")


def name(checkout: Path) -> str:
    """Revision of a checkout."""
    if checkout == ROOT:
        return revision()
    done = subprocess.run(
        ["git", "-C", str(checkout), "describe", "--always"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def perform(checkout: Path, tasks: list[str]) -> list[tuple[str, str]]:
    """Clicks and seconds of every task, as text; dashes where the pages do not offer it."""
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(checkout, Path(folder)) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM"),
            args=["--no-sandbox", "--disable-gpu", "--disable-quic"],
        )
        files = own_files(Path(folder))
        for task in tasks:
            found.append(measure(browser, url, TASKS[task], files))
            print(f"{checkout.name}, {task}: {found[-1]}", file=sys.stderr)
        browser.close()
    return found


def measure(
    browser: Browser, url: str, task: Callable[[Visitor, list[Path]], None], files: list[Path]
) -> tuple[str, str]:
    """One task in a browser window of its own."""
    window = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-GB")
    page = window.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    visitor = Visitor(page)
    begun = time.perf_counter()
    page.goto(url)
    if task is not first_fan:  # the other tasks begin on the page that is there
        visitor.await_fan()
        begun = time.perf_counter()
    try:
        task(visitor, files)
    except NotOfferedThere:
        return "-", "-"
    except TimeoutError as error:
        print(f"{error}\n{page.inner_text('body')}", file=sys.stderr)
        return "failed", "failed"
    finally:
        window.close()
    return str(visitor.n_clicks), f"{time.perf_counter() - begun:.1f}"


def own_files(folder: Path) -> list[Path]:
    """Files of daily bars, each from another day on; the first has more history."""
    head, *rows = _SAMPLE.read_text(encoding="utf-8").splitlines()
    files = []
    for i in range(_N_FILES):
        first, n_rows = (0, 1000) if i == 0 else (i * 50, _N_ROWS)
        files.append(folder / f"own{i:02}.csv")
        text = "\n".join([head, *rows[first : first + n_rows]])
        files[-1].write_text(text + "\n", encoding="utf-8")
    return files


@contextmanager
def serve(checkout: Path, home: Path) -> Iterator[str]:
    """The application of a checkout on a loopback port, with every user folder below `home`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {"XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "data"}
    environment = {
        **os.environ,
        **{variable: str(home / folder) for variable, folder in folders.items()},
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _CLOSED),
        "HOME": str(home),
        "HF_ENDPOINT": _CLOSED,
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": str(checkout),
    }
    options = {"port": port, "address": "127.0.0.1", "headless": "true"}
    command = [sys.executable, "-m", "streamlit", "run", "app.py"]
    command += [f"--server.{option}={value}" for option, value in options.items()]
    url = f"http://127.0.0.1:{port}"
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=checkout, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
