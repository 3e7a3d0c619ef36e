"""The fan as a picture: for notebooks and commands, without a browser."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from kronos.candles import Candles
from kronos.cli import main
from kronos.errors import InvalidRequest
from kronos.forecast import Forecast
from kronos.plot import picture, price_writer
from tests.simulated import Simulate

HORIZON = 6
KNOWN = 4  # of the forecast bars


@pytest.fixture
def drawn(simulate: Simulate) -> tuple[Candles, Forecast]:
    return simulate(n_bars=80, horizon=HORIZON, n_paths=50, n_known=KNOWN)


@pytest.fixture
def candles(drawn: tuple[Candles, Forecast]) -> Candles:
    return drawn[0]


@pytest.fixture
def forecast(drawn: tuple[Candles, Forecast]) -> Forecast:
    """A fan from the fifth bar before the last."""
    return drawn[1]


def test_the_drawing_holds_bars_fan_and_what_came(candles: Candles, forecast: Forecast) -> None:
    ax = forecast.plot(candles, ax=Figure().add_subplot(), n_bars=20, n_paths=7)
    lines = {line.get_label(): line for line in ax.get_lines()}
    median = lines["median"].get_ydata()
    assert median[0] == forecast.last_close
    np.testing.assert_allclose(median[1:], forecast.quantile((0.5,))[0])
    assert lines["median"].get_xdata()[0] == 19  # the origin is the last of 20 bars
    np.testing.assert_array_equal(
        lines["actual close"].get_ydata(), candles.frame["close"].iloc[-KNOWN:]
    )
    assert sum(line.get_alpha() == 0.35 for line in ax.get_lines()) == 7
    assert len(ax.patches) == 20  # a body for every bar


def test_without_bars_the_fan_is_drawn_alone(forecast: Forecast) -> None:
    ax = forecast.plot(ax=Figure().add_subplot())
    assert len(ax.patches) == 0
    assert "actual close" not in [line.get_label() for line in ax.get_lines()]


def test_one_wild_path_does_not_squeeze_the_fan(candles: Candles, forecast: Forecast) -> None:
    paths = forecast.paths.copy()
    paths[0, -1] *= 100.0
    ax = replace(forecast, paths=paths).plot(candles, ax=Figure().add_subplot())
    assert ax.get_ylim()[1] < 2.0 * forecast.last_close


@pytest.mark.parametrize(("dark", "ground"), [(False, (255, 255, 255)), (True, (14, 20, 32))])
def test_a_picture_has_the_size_and_ground_asked_for(
    candles: Candles, forecast: Forecast, *, dark: bool, ground: tuple[int, int, int]
) -> None:
    content = picture(forecast, candles, width=640, height=360, dark=dark)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (640, 360)
        assert image.convert("RGB").getpixel((1, 1)) == ground
    assert content == picture(forecast, candles, width=640, height=360, dark=dark)


def test_bars_without_the_origin_are_refused(candles: Candles, forecast: Forecast) -> None:
    with pytest.raises(InvalidRequest, match="have none at that time"):
        forecast.plot(candles.slice(0, 60), ax=Figure().add_subplot())


def test_a_notebook_shows_chart_and_figures(forecast: Forecast) -> None:
    text = forecast._repr_html_()
    assert "<svg" in text
    assert "<?xml" not in text
    assert "50 paths" in text
    assert f"{forecast.to_frame((0.5,))['p50'].iloc[-1]:.6f}"[:6] in text


def test_without_matplotlib_the_figures_are_shown_and_the_extra_is_named(
    forecast: Forecast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = forecast._repr_html_()
    assert "kronos-fan[plot]" in text
    assert "<table" in text


def test_the_command_writes_a_picture(tmp_path: Path, candles: Candles) -> None:
    bars = tmp_path / "bars.csv"
    candles.frame.to_csv(bars)
    out = tmp_path / "fan.png"
    options = [
        "--model",
        "ewma",
        "--horizon",
        "6",
        "--paths",
        "20",
        "-q",
        "-o",
        str(tmp_path / "o"),
    ]
    assert main(["forecast", str(bars), *options, "--chart-out", str(out)]) == 0
    with Image.open(out) as image:
        assert image.size == (1120, 560)
    assert main(["forecast", str(bars), *options, "--chart-out", "fan.gif"]) != 0


def test_importing_the_library_loads_no_matplotlib() -> None:
    code = "import sys, kronos.forecast; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("like", "price", "text"),
    [(64231.5, 64231.5, "64,232"), (182.452, 9.5, "9.50"), (0.00012346, 0.0002, "0.00020000")],
)
def test_prices_share_their_decimals(like: float, price: float, text: str) -> None:
    assert price_writer(like)(price) == text
