"""A Qlib data folder as the universe of `kronos backtest`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kronos.cli import main
from tests.portfolio.universe import made, write_qlib

PLAN = ["--model", "ewma", "--horizon", "2", "--paths", "10", "--top-k", "2", "--no-cache"]


def run(data: Path, out: Path, *more: str) -> dict[str, object]:
    assert main(["backtest", "--data", str(data), *PLAN, "--json", str(out), *more]) == 0
    return json.loads(out.read_text())


def test_adjusted_prices_earn_what_the_prices_that_were_paid_earn(tmp_path, capsys):
    universe = made(4, 100)
    write_qlib(tmp_path / "qlib", universe)
    for name, candles in universe.items():
        (tmp_path / "csv").mkdir(exist_ok=True)
        candles.frame.to_csv(tmp_path / "csv" / f"{name}.csv")
    found = run(tmp_path / "qlib", tmp_path / "a.json")
    assert "no factor" not in capsys.readouterr().err
    expected = run(tmp_path / "csv", tmp_path / "b.json")
    assert found["instruments"] == expected["instruments"] == ["S0", "S1", "S2", "S3"]
    for book in ("equal weight", "momentum"):
        np.testing.assert_allclose(found["equity"][book], expected["equity"][book], rtol=1e-5)


def test_what_is_missing_is_said(tmp_path, capsys):
    write_qlib(tmp_path / "qlib", made(3, 90), with_factor=False)
    (tmp_path / "qlib/features/s1/low.day.bin").unlink()
    found = run(tmp_path / "qlib", tmp_path / "a.json")
    assert found["instruments"] == ["S0", "S2"]
    said = capsys.readouterr().err
    assert "S1 is left out:" in said
    assert "2 of 2 instruments have no factor (S0, S2)" in said
    for option, words in (
        (["--market", "csi300"], "There is no market 'csi300'"),
        (["--interval", "1h"], "There is no calendar '60min'"),
        (["--interval", "1w"], "Qlib data has no bars of 1w"),
    ):
        assert main(["backtest", "--data", str(tmp_path / "qlib"), *PLAN, *option]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["calendars", "features"])
def test_a_folder_that_lacks_a_part_is_one_of_files(tmp_path, capsys, folder):
    write_qlib(tmp_path / "qlib", made(2, 90))
    (tmp_path / "qlib" / folder).rename(tmp_path / "moved")
    assert main(["backtest", "--data", str(tmp_path / "qlib"), *PLAN]) == 2
    assert "No instrument has usable bars" in capsys.readouterr().err
