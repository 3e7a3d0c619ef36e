"""How long a fan chart takes from a finished forecast to the last pixel.

`CHROMIUM=/usr/bin/chromium python -m benchmarks.chart` prints, as medians: building the figure and
writing it as JSON, which the server does, and drawing it, which the browser does: in the place of
the bars, which a page shows before its forecast is there, and as the first chart of a fresh page,
whose scripts have yet to be compiled.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import streamlit.elements.plotly_chart  # noqa: F401  (sets the template that figures have on a page)
from playwright.sync_api import Browser, sync_playwright
from plotly.offline import get_plotlyjs

from data_sources.samples import load_sample
from kronos.candles import Candles
from kronos.forecast import Forecast
from kronos.forecasters.baselines import baseline
from pages.ui.chart.figure import fan_figure

# Twice a frame: once to have it laid out, once to have it painted.
_DRAW = """async (figure) => {
    const { data, layout } = JSON.parse(figure);
    const begun = performance.now();
    await Plotly.react("chart", data, layout);
    for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
    return performance.now() - begun;
}"""


def main() -> None:
    """Prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--paths", type=int, default=60)
    parser.add_argument("--horizon", type=int, default=24)
    parser.add_argument("--repetitions", type=int, default=9)
    args = parser.parse_args()
    candles, forecast = simulated(args.paths, args.horizon)
    bars = fan_figure(candles, None).to_json()
    built, drawn, first, size = [], [], [], 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM"), args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(args.repetitions):
            begun = time.perf_counter()
            text = fan_figure(candles, forecast).to_json()
            built.append(time.perf_counter() - begun)
            size = len(text)
            drawn.append(draw(browser, bars, text))
            first.append(draw(browser, text))
        browser.close()
    figure = statistics.median(built)
    print(f"{args.paths} paths, 500 bars, {args.horizon} ahead, {size / 1e6:.2f} MB of JSON")
    for what, seconds in (("in the place of the bars", drawn), ("on a fresh page", first)):
        drawing = statistics.median(seconds)
        print(
            f"{what}: figure {figure:.3f} s, drawing {drawing:.3f} s, "
            f"together {figure + drawing:.3f} s"
        )


def simulated(n_paths: int, horizon: int) -> tuple[Candles, Forecast]:
    """500 bars of a bundled sample and a fan of a baseline, which needs no model."""
    candles = load_sample("BTCUSD_30m").slice(-500, None)
    forecast = baseline("ewma").forecast(
        candles.frame,
        x_timestamp=candles.local_index,
        y_timestamp=candles.future(horizon).tz_convert(candles.zone),
        sample_count=n_paths,
    )
    return candles, forecast


def draw(browser: Browser, *figures: str) -> float:
    """Seconds a new page takes to draw the last of some figures, Plotly's script being there."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_content('<div id="chart" style="width: 1000px"></div>')
    page.add_script_tag(content=get_plotlyjs())
    seconds = [float(page.evaluate(_DRAW, figure)) / 1000.0 for figure in figures]
    page.close()
    return seconds[-1]


if __name__ == "__main__":
    main()
