"""The numbers beside the chart."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronos.evaluation.bands import BandCount
from kronos.forecast import SamplingParameters
from pages.ui.fan import readouts


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_sampling_error_is_that_of_a_share(p, n):
    error = readouts.sampling_error(p, n)
    assert error == pytest.approx(np.sqrt(p * (1 - p) / n))
    assert error <= 0.5 / np.sqrt(n) + 1e-12


def test_a_share_tells_its_error():
    assert readouts.share_text(0.5, 100) == ("50%", "± 5.0 points from 100 paths")
    assert readouts.share_text(0.0, 100) == ("0%", "none of 100 paths")


def test_main_readouts_are_read_at_the_horizon(simulate):
    candles, forecast = simulate()
    up, span, median, move = readouts.main_readouts(candles, forecast)
    assert up.value == f"{forecast.probability_up()[-1]:.0%}"
    low, high = forecast.quantile((0.1, 0.9))[:, -1]
    assert span.value == f"{low:,.2f} to {high:,.2f}"
    assert median.value == f"{forecast.quantile((0.5,))[0, -1]:,.2f}"
    assert move.value == f"{forecast.expected_move()[-1]:.2%}"


def test_the_strip_says_how_often_bands_of_this_kind_have_held(simulate):
    candles, forecast = simulate()
    count = BandCount("bundled", "e726", "crypto", "1h", 120, 960, 767)
    held = readouts.HeldBands(count, "the model card")
    last = readouts.verdicts(candles, forecast, (), held)[-1]
    assert (last.label, last.value) == ("80% bands of this kind held", "79.9%")
    assert last.remark == "on 120 forecasts"
    assert "1h bars of asset class crypto: 767 of 960 closes" in last.more
    calibrated = dataclasses.replace(forecast, calibration_hash="0" * 64)
    assert readouts.verdicts(candles, calibrated, (), held)[-1].label.startswith("Raw 80% bands")
    wide = readouts.HeldBands(dataclasses.replace(count, interval=""), "the model card")
    assert "of this model" in readouts.verdicts(candles, forecast, (), wide)[-1].label
    assert "held" not in readouts.verdicts(candles, forecast, ())[-1].label
    candles, forecast = simulate(n_known=24)
    last = readouts.verdicts(candles, forecast, (), held)[-1]
    assert last.label == "80% band held"
    assert last.remark == "79.9% on record"
    assert re.match(r"\d+ expected\. On record of ", last.more)


def with_actual_close(candles, forecast, level):
    """Candles whose real bars all lie flat at a level."""
    frame = candles.frame.copy()
    frame.loc[frame.index > forecast.origin, ["open", "high", "low", "close"]] = level
    return dataclasses.replace(candles, frame=frame)


def test_the_outcome_judges_the_whole_path_and_claims_no_hit(simulate):
    """Inside at the last bar, outside at most others: no success."""
    candles, forecast = simulate(n_known=24, n_paths=200)
    low = forecast.quantile((0.02,))[0]
    frame = candles.frame.copy()
    closes = np.where(np.arange(24) < 20, low, forecast.quantile((0.5,))[0])
    frame.loc[frame.index > forecast.origin, "close"] = closes
    frame["low"] = frame[["low", "close"]].min(axis=1)
    frame["high"] = frame[["high", "close"]].max(axis=1)
    text = readouts.outcome_text(dataclasses.replace(candles, frame=frame), forecast)
    assert text.startswith("4 of 24 closes inside the 80% band. Expected: 19; plausible: ")
    assert "At the last bar of 24, the close is" in text
    assert "inside the band; " in text
    assert not re.search(r"\b(hit|miss|success)", text)


def test_an_outcome_beside_the_fan_is_fewer_than_plausible(simulate):
    candles, forecast = simulate(n_known=24, n_paths=200)
    high = float(forecast.column("close").max()) * 1.1
    text = readouts.outcome_text(with_actual_close(candles, forecast, high), forecast)
    assert "0 of 24 closes inside" in text
    assert "Fewer than plausible" in text
    assert "outside the band; 100% of paths closed below it" in text
    median = float(forecast.quantile((0.5,))[0, -1])
    text = readouts.outcome_text(with_actual_close(candles, forecast, median), forecast)
    assert "does not prove skill" in text


def test_one_bar_is_too_little_to_judge(simulate):
    candles, forecast = simulate(n_known=1)
    text = readouts.outcome_text(candles, forecast)
    assert "of 1 close inside the 80% band. Any number from 0 to 1 is plausible" in text
    assert "At bar 1 of 24" in text


def test_no_outcome_without_real_bars(simulate):
    assert readouts.outcome_text(*simulate(n_known=0)) is None


def test_narrowing_settings_are_pointed_out(simulate):
    candles, honest = simulate()
    assert not readouts.cautions(candles, honest, is_published=False)
    _, narrow = simulate(parameters=SamplingParameters(T=0.6, top_p=0.9, sample_count=60))
    (note,) = readouts.cautions(candles, narrow, is_published=False)
    assert "T = 0.6 and top-p = 0.9" in note
    assert "narrower" in note


def test_bars_that_never_move_are_pointed_out(simulate):
    candles, forecast = simulate(volatility=0.0, start=1234567.5)
    (note,) = readouts.cautions(candles, forecast, is_published=False)
    assert "1,234,567.50 in all 256 bars that the model read" in note


@pytest.mark.parametrize(
    ("begin", "phrase"), [("2019-07-30", "proves nothing"), ("2025-02-03", "not seen the outcome")]
)
def test_published_models_are_judged_by_their_cut_off(simulate, begin, phrase):
    candles, forecast = simulate(begin=begin)
    (note,) = readouts.cautions(candles, forecast, is_published=True)
    assert "June 2024" in note
    assert phrase in note


def test_provenance_is_enough_to_repeat_a_forecast(simulate):
    candles, forecast = simulate()
    facts = readouts.provenance(candles, forecast, "because")
    text = " ".join(f"{f.label} {f.value} {f.remark}" for f in facts)
    for part in ("bundled", "0123456789ab", "seed 0", "T 1", "256 bars", "24/7, UTC", "because"):
        assert part in text


def test_table_has_a_row_a_bar_with_rising_quantiles(simulate):
    table, scene = readouts.quantile_table(*simulate())
    assert table["time"].tolist() == scene.labels[-24:]
    assert (np.diff(table[["p10", "p25", "p50", "p75", "p90"]].to_numpy(), axis=1) >= 0).all()
    assert table["P(up)"].between(0, 100).all()


def test_the_calendar_is_named_once_and_no_fact_is_a_word_of_the_code(simulate):
    candles, forecast = simulate()
    always = dataclasses.replace(candles, calendar="24/7")
    found = readouts.provenance(always, forecast, "day and night (24/7)")
    facts = {fact.label: fact for fact in found}
    assert facts["Calendar"].value.startswith("24/7")
    assert facts["Calendar"].remark == "day and night"
    assert "anchored" not in facts["Computed in"].remark
