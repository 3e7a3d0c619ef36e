"""Outcomes through streams: independent of one another, wide ones where a narrow one is thin."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kronos.calibration.state import ANY, BUCKETS, CalibrationState, Stream, bucket_of, bucket_title
from kronos.calibration.tracker import Outcomes, learned_state, replay, shifts_at_issue
from kronos.errors import InvalidRequest

LEVELS = np.array([0.1, 0.5, 0.9])
UNIT = 864 * 10**9
"""A hundredth of a day, in nanoseconds."""
Z = np.array([-1.2816, 0.0, 1.2816])


def made(
    n=1200, *, seed=0, asset_class="crypto", interval="1h", narrow=0.5, model="bundled", drift=0.0
):
    rng = np.random.default_rng(seed)
    issued = np.sort(rng.integers(0, 40_000, n)) * UNIT
    steps = rng.integers(1, 7, n)
    streams = pd.DataFrame(
        {
            "model": model, "revision": "r1", "asset_class": asset_class, "interval": interval,
            "bucket": bucket_of(steps),
        }
    )  # fmt: skip
    scores = rng.normal(size=(n, 1)) - narrow * Z
    means = rng.normal(0, drift, n)
    return Outcomes(
        streams, issued, issued + 10 * UNIT * steps, scores, means, np.arange(n), LEVELS
    )


def joined(*parts):
    return Outcomes(
        pd.concat([part.streams for part in parts], ignore_index=True),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("issued", "resolved", "scores", "means")
        ),
        np.arange(sum(map(len, parts))),
        LEVELS,
    )


def taken(outcomes, rows):
    return Outcomes(
        outcomes.streams.iloc[rows], outcomes.issued[rows], outcomes.resolved[rows],
        outcomes.scores[rows], outcomes.means[rows], outcomes.forecasts[rows], LEVELS,
    )  # fmt: skip


def test_streams_know_nothing_of_each_other_and_rows_come_in_any_order():
    one, two = made(seed=1), made(seed=2, asset_class="equity", narrow=2.0)
    both = joined(one, two)
    shuffled = taken(both, np.random.default_rng(0).permutation(len(both)))
    alone, together = replay(one), replay(shuffled)
    for stream in (stream for stream in alone if stream.asset_class == "crypto"):
        np.testing.assert_allclose(alone[stream].offsets, together[stream].offsets, atol=1e-12)


def test_what_is_shown_is_never_changed_by_what_comes_later():
    outcomes = made(drift=0.5)
    cut = 20_000 * UNIT
    early = outcomes.issued < cut
    other = outcomes.scores.copy()
    other[outcomes.resolved > cut] *= -7
    changed = replace(outcomes, scores=other)
    one, two = (shifts_at_issue(replay(o), o)[early] for o in (outcomes, changed))
    assert np.isfinite(one).any()
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_shown_coverage_reaches_the_nominal_one_on_every_stream():
    outcomes = joined(made(9000, seed=5), made(9000, seed=6, asset_class="fx", narrow=1.8))
    shown = shifts_at_issue(replay(outcomes), outcomes)
    known = np.isfinite(shown[:, 0]) & (outcomes.issued > 20_000 * UNIT)
    inside = (outcomes.scores[:, 0] > shown[:, 0]) & (outcomes.scores[:, 2] <= shown[:, 2])
    raw = (outcomes.scores[:, 0] > 0) & (outcomes.scores[:, 2] <= 0)
    for name, raw_is in (("crypto", 0.48), ("fx", 0.98)):
        rows = known & (outcomes.streams["asset_class"] == name).to_numpy()
        assert raw[rows].mean() == pytest.approx(raw_is, abs=0.03)
        assert inside[rows].mean() == pytest.approx(0.8, abs=0.03)


def test_a_thin_stream_takes_the_offsets_of_a_wider_one():
    outcomes = joined(made(3000, seed=1), made(60, seed=2, asset_class="fx"))
    trackers = replay(outcomes)
    state = learned_state(trackers, LEVELS)
    thin = state.of_steps("bundled", "r1", "fx", "1h", 3)
    assert [stream.asset_class for stream, _ in thin] == [ANY] * 3
    assert state.of_steps("bundled", "r1", "crypto", "1h", 1)[0][0].asset_class == "crypto"
    elsewhere = state.of_steps("bundled", "r1", "equity", "5m", 2)
    assert [stream.interval for stream, _ in elsewhere] == [ANY, ANY]
    assert state.of_steps("bundled", "r2", "crypto", "1h", 3) is None


def test_steps_beyond_the_record_take_the_farthest_one():
    state = learned_state(replay(made(3000)), LEVELS)
    found = state.of_steps("bundled", "r1", "crypto", "1h", 30)
    assert len(found) == 30
    assert {stream.bucket for stream, _ in found[6:]} == {6}


def test_learning_goes_on_where_it_was_left():
    outcomes = made(3000)
    cut = int(np.median(outcomes.resolved))
    first = learned_state(replay(taken(outcomes, outcomes.resolved <= cut)), LEVELS)
    later = replay(outcomes, start=first.streams)
    stream = Stream("bundled", "r1", "crypto", "1h", 1)
    rows = (outcomes.streams["bucket"] == 1).to_numpy()
    assert later[stream].n_outcomes == rows.sum()
    assert (later[stream].offsets != first.streams[stream].offsets).all()
    whole = replay(outcomes)[stream].offsets
    np.testing.assert_allclose(later[stream].offsets, whole, atol=0.1)


def test_outcomes_from_before_what_was_learned_change_nothing():
    outcomes = made()
    once = learned_state(replay(outcomes), LEVELS)
    again = learned_state(replay(outcomes, start=once.streams), LEVELS)
    assert again.digest == once.digest


def test_a_state_is_read_as_it_was_written_and_damage_is_told(tmp_path):
    state = learned_state(replay(made(2000, drift=0.5)), LEVELS, learned_from="simulated bars")
    file = tmp_path / "deep" / "calibration.json"
    state.save(file)
    again = CalibrationState.load(file)
    assert again.digest == state.digest
    assert again.learned_from == "simulated bars"
    assert again.streams.keys() == state.streams.keys()
    for stream, entry in state.streams.items():
        assert again.streams[stream].drift == entry.drift
        np.testing.assert_array_equal(again.streams[stream].offsets, entry.offsets)
        assert again.streams[stream].latest == entry.latest
    assert [path.name for path in file.parent.iterdir()] == ["calibration.json"]
    file.write_text(file.read_text().replace('"eta": 0.02', '"eta": 0.03'))
    with pytest.raises(InvalidRequest, match="digest"):
        CalibrationState.load(file)
    file.write_text("{")
    with pytest.raises(InvalidRequest, match="kronos calibrate"):
        CalibrationState.load(file)


def test_buckets_hold_every_step_once():
    steps = np.arange(1, 300)
    buckets = bucket_of(steps)
    assert (np.diff(buckets) >= 0).all()
    assert set(buckets) == set(BUCKETS)
    assert [bucket_title(bucket) for bucket in (1, 3, 24)] == ["1", "2-3", "13-24"]
    assert set(steps[buckets == 24]) == set(range(13, 25))
