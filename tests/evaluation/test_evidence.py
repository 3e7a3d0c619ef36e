"""Evidence that is valid at every look: small cases by hand, and records of ties."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from kronos.evaluation.evidence import (
    ENOUGH,
    STAKES,
    blocks_of_time,
    evidence,
    log_capital,
    paired_gains,
    quantile_gains,
)
from kronos.evaluation.scores import LEVELS, crps_of_errors
from tests.evaluation.test_track_record import made_record

LEVEL = np.array(LEVELS)
Z = ndtri(LEVEL)


def days(*numbers):
    return np.datetime64("2026-01-01", "ns") + (np.array(numbers) * 24).astype(
        int
    ) * np.timedelta64(1, "h")


def alone(*gains):
    """The capital of bets on single outcomes with a bound of 1."""
    n = len(gains)
    return np.exp(log_capital(np.array(gains), np.ones(n), np.arange(n), np.ones(n)))


def test_the_capital_of_bets_worked_by_hand():
    # More than all cannot be at risk.
    risked = np.minimum(STAKES, 1.0)
    first, second = np.mean(1 + 0.5 * risked), np.mean((1 + 0.5 * risked) * (1 - risked))
    np.testing.assert_allclose(alone(0.5, -1.0), [first, second])
    assert alone().shape == (0,)


def test_bets_of_a_block_are_made_until_everything_is_at_risk():
    gain, bound = np.array([0.1, -0.2, 0.2]), np.array([0.1, 0.2, 0.2])
    found = np.exp(log_capital(gain, bound, np.zeros(3, int), np.array([0.4])))
    parts = []
    for stake in STAKES:
        left, won = 0.4 / stake, 0.0
        for one, most in zip(gain, bound, strict=True):
            share = min(left / most, 1.0)
            won, left = won + stake * one * share / 0.4, left - share * most
        parts.append(1 + won)
    np.testing.assert_allclose(found, [np.mean(parts)])
    # All that is at risk is lost at worst.
    assert np.exp(log_capital(-bound, bound, np.zeros(3, int), np.array([0.1])))[0] > 0


def test_the_size_of_a_bet_does_not_depend_on_later_forecasts_of_its_block():
    """A forecast that is made after a large loss may be anything: the bets before it stay."""
    begin = days(0, 2, 3, 4, 4.5)
    table = pd.DataFrame(
        {
            "begin": begin,
            "end": days(2, 4, 3.5, 6, 6),
            "gain": [0.5, -0.5, 0.1, 0.2, 0.0],
            "bound": [1.0, 1.0, 0.5, 1.0, 0.2],
        }
    )
    found = evidence(table)
    assert len(found.better) == 3
    louder = table.assign(bound=[1.0, 1.0, 0.5, 1.0, 50.0])
    np.testing.assert_allclose(evidence(louder).better[:2], found.better[:2])
    assert evidence(louder).better[2] == pytest.approx(found.better[2])


def test_the_expected_capital_of_a_fair_bet_is_what_it_was():
    """Over all outcomes of four fair bets with unequal sides."""
    sides = ((0.25, 0.8), (-1.0, 0.2))
    total = 0.0
    for places in np.ndindex(2, 2, 2, 2):
        gains, chances = zip(*(sides[place] for place in places), strict=True)
        total += np.prod(chances) * alone(*gains)[-1]
    assert total == pytest.approx(1.0)


def test_blocks_begin_when_the_outcomes_before_are_known():
    # Daily origins, forecasts of three days: the fourth day is the first after the first block.
    begin = np.repeat(days(*range(6)), 3)
    end = begin + np.tile(np.arange(1, 4), 6) * np.timedelta64(1, "D")
    found = blocks_of_time(begin, end).reshape(6, 3)
    expected = [[0, 0, 0], [0, 0, -1], [0, -1, -1], [1, 1, 1], [1, 1, -1], [1, -1, -1]]
    assert found.tolist() == expected


def test_blocks_do_not_depend_on_the_order_of_rows_and_a_longer_record_keeps_them():
    rng = np.random.default_rng(0)
    begin = days(*rng.integers(0, 300, 400))
    end = begin + rng.integers(1, 9, 400) * np.timedelta64(1, "D")
    block = blocks_of_time(begin, end)
    shuffled = rng.permutation(400)
    np.testing.assert_array_equal(blocks_of_time(begin[shuffled], end[shuffled]), block[shuffled])
    for known in days(60, 150, 290):
        seen = end <= known
        early = blocks_of_time(begin[seen], end[seen])
        settled = [b for b in np.unique(block[block >= 0]) if end[block == b].max() <= known]
        # Windows that begin late in a block are not scored yet; all that are settled agree.
        for b in settled[:-1]:
            assert (block[seen] == b).sum() == (early == early[block[seen] == b][0]).sum()
    for b in range(block.max()):
        assert end[block == b].max() <= begin[block == b + 1].min()


def test_no_outcome_exceeds_the_bound_and_one_reaches_it():
    rng = np.random.default_rng(1)
    ours = np.sort(rng.normal(size=(40, len(LEVELS))), axis=1)
    theirs = np.sort(0.3 + 1.5 * rng.normal(size=(40, len(LEVELS))), axis=1)
    _, bound = quantile_gains(np.zeros(40), ours, theirs, LEVEL)
    outcomes = np.linspace(-9, 9, 4001)
    sizes = []
    for y in outcomes:
        gain, _ = quantile_gains(np.full(40, y), ours, theirs, LEVEL)
        direct = crps_of_errors(y - theirs, LEVEL) - crps_of_errors(y - ours, LEVEL)
        np.testing.assert_allclose(gain, direct)
        sizes.append(np.abs(gain))
    assert (np.max(sizes, axis=0) <= bound + 1e-12).all()
    np.testing.assert_allclose(np.max(sizes, axis=0), bound, rtol=0.01)
    equal = quantile_gains(np.zeros(40), ours, ours, LEVEL)
    np.testing.assert_allclose(equal, 0.0, atol=1e-15)


def tie(seed, n_blocks=120, n_windows=4):
    """Pairs of a narrow and a wide cone that score alike on average: many small gains, few large
    losses, which is what clipping would get wrong."""
    rng = np.random.default_rng(seed)
    # Outcomes of one date move together.
    common, own = rng.normal(size=(n_blocks, 1)), rng.normal(size=(n_blocks, n_windows))
    actual = 0.7 * common + np.sqrt(1 - 0.49) * own
    narrow, wide = 0.75, 1.286821
    shape = (actual.size, len(LEVELS))
    gain, bound = quantile_gains(
        actual.ravel(), np.broadcast_to(narrow * Z, shape), np.broadcast_to(wide * Z, shape), LEVEL
    )
    begin = np.repeat(days(*range(n_blocks)), n_windows)
    return pd.DataFrame(
        {"begin": begin, "end": begin + np.timedelta64(1, "D"), "gain": gain, "bound": bound}
    )


def test_the_tie_is_one():
    table = pd.concat([tie(seed, 2000) for seed in range(20)])
    error = table["gain"].std() / np.sqrt(len(table) / 4)
    assert abs(table["gain"].mean()) < 3 * error
    assert error < 0.003


def test_of_ties_that_are_watched_at_every_block_at_most_a_twentieth_is_claimed():
    found = [evidence(tie(seed)) for seed in range(300)]
    for name in ("better", "worse"):
        false = sum(getattr(one, name).max() >= np.log(ENOUGH) for one in found)
        # 15 of 300 are allowed; 24 would be seen in less than one of fifty tests of 15.
        assert false <= 24
    capital = np.array([one.e_value for one in found])
    assert capital.mean() < 1.0 + 4 * capital.std() / np.sqrt(len(capital))


def test_a_true_gain_is_claimed_and_stays_claimed():
    rng = np.random.default_rng(3)
    actual = rng.normal(size=400)
    shape = (400, len(LEVELS))
    gain, bound = quantile_gains(
        actual, np.broadcast_to(Z, shape), np.broadcast_to(1.8 * Z, shape), LEVEL
    )
    begin = days(*range(400))
    table = pd.DataFrame(
        {"begin": begin, "end": begin + np.timedelta64(1, "D"), "gain": gain, "bound": bound}
    )
    found = evidence(table)
    assert (found.claim, len(found.times)) == ("better", 400)
    assert found.since in found.times
    assert found.e_value > ENOUGH > 1 > found.e_value_worse
    turned = evidence(table.assign(gain=-table["gain"]))
    assert (turned.claim, turned.since) == ("worse", found.since)
    early = evidence(table[table["end"] <= found.since.tz_localize(None)])
    assert early.claim == "better"
    assert evidence(table[table["end"] < found.since.tz_localize(None)]).claim == ""


def test_two_records_are_paired_and_the_first_forecast_of_a_window_counts():
    ours = made_record(8, 2).assign(created_at=pd.Timestamp("2026-01-01", tz="UTC"))
    later = ours.assign(created_at=pd.Timestamp("2026-02-01", tz="UTC"))
    scale = ours["scale"].to_numpy()[:, None]
    both = pd.concat([later, ours], ignore_index=True)
    good, bad = Z * scale, 2 * Z * scale
    pairs = paired_gains(both, np.concatenate([bad, good]), ours, 1.5 * good, LEVEL)
    assert len(pairs) == len(ours)
    expected, bound = quantile_gains(ours["actual_return"].to_numpy(), good, 1.5 * good, LEVEL)
    np.testing.assert_allclose(np.sort(pairs["gain"]), np.sort(expected / scale[:, 0]))
    np.testing.assert_allclose(np.sort(pairs["bound"]), np.sort(bound / scale[:, 0]))
    # A daily bar is known a day after it opens.
    assert pairs["begin"].min() == pd.Timestamp("2026-01-02")
    assert pairs["end"].max() == ours["timestamp"].max().tz_localize(None) + pd.Timedelta(days=1)


def test_equal_forecasts_and_an_empty_record_say_nothing():
    ours = made_record(8, 2).assign(created_at=pd.Timestamp("2026-01-01", tz="UTC"))
    quantiles = Z * ours["scale"].to_numpy()[:, None]
    alike = evidence(paired_gains(ours, quantiles, ours, quantiles, LEVEL))
    assert (alike.e_value, alike.claim, alike.since) == (1.0, "", None)
    none = evidence(paired_gains(ours[:0], quantiles[:0], ours, quantiles, LEVEL))
    assert (none.e_value, none.claim, none.n_outcomes) == (1.0, "", 0)
