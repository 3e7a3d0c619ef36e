"""How long a fan chart takes from a finished forecast to the last pixel.

`CHROMIUM=/usr/bin/chromium python -m benchmarks.chart` prints, as medians: building the figure and
writing it as JSON, which the server does, and drawing it, which the browser does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

from playwright.sync_api import Page, sync_playwright
from plotly.offline import get_plotlyjs

from data_sources.samples import load_sample
from kronos.baselines import baseline
from kronos.candles import Candles
from kronos.forecast import Forecast
from pages.ui.chart.figure import fan_figure

# Twice a frame: once to have it laid out, once to have it painted.
_DRAW = """async (figure) => {
    const { data, layout } = JSON.parse(figure);
    const begun = performance.now();
    await Plotly.newPlot("chart", data, layout);
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
    built, drawn, size = [], [], 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM"), args=["--no-sandbox", "--disable-gpu"]
        )
        for _ in range(args.repetitions):
            begun = time.perf_counter()
            text = fan_figure(candles, forecast).to_json()
            built.append(time.perf_counter() - begun)
            size = len(text)
            drawn.append(draw(browser.new_page(viewport={"width": 1400, "height": 900}), text))
        browser.close()
    parts = statistics.median(built), statistics.median(drawn)
    print(f"{args.paths} paths, 500 bars, {args.horizon} ahead, {size / 1e6:.2f} MB of JSON")
    print(f"figure {parts[0]:.3f} s, drawing {parts[1]:.3f} s, together {sum(parts):.3f} s")


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


def draw(page: Page, figure: str) -> float:
    """Seconds a fresh page takes to draw a figure, Plotly's script being there already."""
    page.set_content('<div id="chart" style="width: 1000px"></div>')
    page.add_script_tag(content=get_plotlyjs())
    seconds = float(page.evaluate(_DRAW, figure)) / 1000.0
    page.close()
    return seconds


if __name__ == "__main__":
    main()
