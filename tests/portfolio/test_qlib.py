"""The book against Qlib's TopkDropoutStrategy, where an environment with pyqlib is at hand.

QLIB_PYTHON=path/to/python make test PYTEST_ARGS='-m qlib'
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kronos.portfolio import Costs, Market, Rules, simulate
from tests.portfolio.universe import made, of

pytestmark = [pytest.mark.qlib, pytest.mark.timeout(600)]
SCRIPT = Path(__file__).with_name("qlib_run.py")
CAPITAL = 1e6


@pytest.fixture(scope="module")
def qlib_python() -> str:
    """A Python that can import pyqlib."""
    python = os.environ.get("QLIB_PYTHON", "")
    command = [python, "-c", "import qlib.contrib.strategy"]
    if not python or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.fail(
            f"QLIB_PYTHON is {python or 'not set'}: it must name a Python that can import pyqlib. "
            "Make an environment of its own (python -m venv, pip install pyqlib==0.9.7) and set "
            "QLIB_PYTHON to its bin/python."
        )
    return python


@pytest.mark.parametrize(("top_k", "n_drop"), [(4, 1), (6, 3)])
def test_the_same_scores_give_the_same_portfolio(qlib_python, tmp_path, top_k, n_drop):
    # Qlib stores float32: both read the same numbers.
    bars = {
        name: of(each.frame.astype("float32").astype(float), name)
        for name, each in made(15, 90, seed=4).items()
    }
    market = Market.of(bars)
    n_days = len(market.index)
    scores = np.random.default_rng(2).normal(size=(n_days, 15))
    np.savez(
        tmp_path / "bars.npz",
        names=np.array(market.names),
        days=np.array([f"{day:%Y-%m-%d}" for day in market.index]),
        opens=market.opens,
        closes=market.closes,
        volumes=np.stack([each.frame["volume"] for each in bars.values()], axis=1),
        scores=scores,
    )
    settings = {"top_k": top_k, "n_drop": n_drop, "capital": CAPITAL}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [qlib_python, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads((tmp_path / "qlib.json").read_text())

    book = simulate(
        market,
        np.arange(n_days - 1),
        scores[:-1],
        Rules(top_k, n_drop),
        Costs(0.0, 0.0),
        capital=CAPITAL,
    )
    ours = [sorted(np.array(market.names)[row > 0]) for row in book.shares]
    assert theirs["days"] == [f"{day:%Y-%m-%d}" for day in book.index[1:-1]]
    assert theirs["held"] == [list(names) for names in ours[1:-1]]
    np.testing.assert_allclose(theirs["value"], book.equity[1:-1], rtol=1e-6)
    assert len(set(map(tuple, theirs["held"]))) > 40
