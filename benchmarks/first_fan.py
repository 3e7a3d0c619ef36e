"""How long the Forecast page makes a browser wait: for its first fan, and for a rerun.

    CHROMIUM=/usr/bin/chromium python -m benchmarks.first_fan [--runs 5] [--reruns 8]

A run starts a server with an empty home, opens the page in a browser without a cache once the
server is healthy, and does the same again with a new server and a new browser in the home that the
first one leaves, where `make setup` brings every user: there the opening forecast is cached. Then
it switches the paths of the chart off and on.

Seconds are those of the browser's clock: from the opening until a frame shows what is named, and
from a click until the page has changed and until the chart has. Processor time is that of the
server and of all processes of the browser until the fan is there and the page is at rest; it
hardly depends on what else the machine does. Nothing is fetched from the internet.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from benchmarks.gates import own_home
from benchmarks.gates.session import serve
from benchmarks.revision import revision
from data_sources.calendar import SETTING

_PATIENCE_MS = 120_000
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
# The first frame in which each thing is in the page, in seconds since the page was opened.
_WATCH = """
window.seen = {};
const texts = (selector, text) =>
    [...document.querySelectorAll(selector)].some((each) => each.textContent.includes(text));
const marks = {
    "name of the instrument": () => document.querySelector(".st-key-name h1"),
    "read-outs": () => texts(".st-key-readouts", "Expected move"),
    "Plotly's script": () => window.Plotly,
    "first fan": () => texts(".st-key-fan .annotation-text", "p50"),
};
const look = () => {
    for (const [name, is_there] of Object.entries(marks))
        if (!(name in window.seen) && is_there()) window.seen[name] = performance.now() / 1000;
    requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
# Seconds from a click on "Paths" until anything in the page's main part has changed, and until
# the legend has gained or lost the paths; each once a frame shows it.
_RERUN = """() => new Promise((done) => {
    const paths = () => [...document.querySelectorAll(".st-key-fan .legendtext")]
        .some((each) => each.textContent.includes("sample paths"));
    const button = [...document.querySelectorAll(".st-key-look button")]
        .find((each) => each.textContent.trim() === "Paths");
    const before = paths(), begun = performance.now();
    let first = null, changed = false;
    const observer = new MutationObserver(() => { changed = true; });
    button.click();
    requestAnimationFrame(() => {  // the button's own change of colour is none of the rerun
        observer.observe(document.querySelector(".st-key-desk"),
            { subtree: true, childList: true, characterData: true });
        const look = () => {
            const now = (performance.now() - begun) / 1000;
            if (changed && first === null) first = now;
            if (paths() !== before) { observer.disconnect(); done([first ?? now, now]); }
            else requestAnimationFrame(look);
        };
        look();
    });
})"""
_AT_REST = '[data-test-script-state="notRunning"]'

Figures = dict[str, list[float]]


def visit(playwright: Playwright, home: Path, reruns: int, label: str, found: Figures) -> None:
    """Open the page of a new server in a new browser, and note what it took.

    Args:
        playwright: Starts the browser.
        home: Folder of all user files of the server.
        reruns: Reruns that are timed.
        label: Names the visit.
        found: Receives the figures, by name.
    """
    environment = {**os.environ, **own_home(home), SETTING: "off"}
    with serve(environment, home / "server.log") as (url, process):
        server = psutil.Process(process.pid)
        started = sum(server.cpu_times()[:2])
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM"), args=list(_ARGUMENTS)
        )
        before = browser_seconds()
        page = open_page(browser, url)
        for name, seconds in page.evaluate("window.seen").items():
            found[f"{label}: {name}"].append(float(seconds))
        found[f"{label}: processor, server"].append(sum(server.cpu_times()[:2]) - started)
        found[f"{label}: processor, browser"].append(browser_seconds() - before)
        for _ in range(reruns):
            time.sleep(0.5)  # the page is at rest
            busy, drawing = sum(server.cpu_times()[:2]), browser_seconds()
            first, chart = page.evaluate(_RERUN)
            page.locator(_AT_REST).first.wait_for()
            found["rerun: first paint"].append(first)
            found["rerun: chart"].append(chart)
            found["rerun: processor, server"].append(sum(server.cpu_times()[:2]) - busy)
            found["rerun: processor, browser"].append(browser_seconds() - drawing)
        browser.close()


def open_page(browser: Browser, url: str) -> Page:
    """The page at an address, once its fan is there and it is at rest."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(_PATIENCE_MS)
    page.add_init_script(_WATCH)
    page.goto(url)
    end = time.monotonic() + _PATIENCE_MS / 1000
    while not page.evaluate("'first fan' in window.seen"):  # `wait_for_function` may not evaluate
        if time.monotonic() > end:
            raise SystemExit(f"No fan is there, but: {page.inner_text('body')}")
        time.sleep(0.1)
    page.locator(_AT_REST).first.wait_for()
    return page


def browser_seconds() -> float:
    """Processor time of the browser that this process started."""
    total = 0.0
    for each in psutil.Process().children(recursive=True):
        try:
            if "chrom" in each.name():
                total += sum(each.cpu_times()[:2])
        except psutil.Error:  # it has ended since
            continue
    return total


def measure(runs: int, reruns: int) -> str:
    """The table, as Markdown."""
    load = os.getloadavg()[0]
    found: Figures = defaultdict(list)
    with sync_playwright() as playwright:
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                visit(playwright, Path(folder), 0, "empty home", found)
                visit(playwright, Path(folder), reruns, "cold server", found)
    lines = ["| seconds | least | median | most |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {name} | {min(held):.2f} | {statistics.median(held):.2f} | {max(held):.2f} |"
        for name, held in found.items()
    ]
    machine = f"{runs} runs of two servers, {reruns} reruns each, {os.cpu_count()} cores"
    return "\n".join([*lines, "", f"{machine}, load before {load:.1f}, revision {revision()}"])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--reruns", type=int, default=8)
    options = parser.parse_args()
    if min(options.runs, options.reruns) < 1:
        parser.error("Every number must be at least 1.")
    print(measure(options.runs, options.reruns))


if __name__ == "__main__":
    main()
