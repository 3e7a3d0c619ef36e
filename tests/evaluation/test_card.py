"""The record of a model card: what is packed is read back, and no price with it."""

import io

import numpy as np
import pandas as pd
import pytest

from kronos.errors import InvalidRequest
from kronos.evaluation.bands import FEWEST, BandCount, bands_of_kind
from kronos.evaluation.card import SOURCE, STEPS, card_bands, pack_card, unpack_card
from kronos.evaluation.evidence import evidence
from kronos.models.facts import model_facts

FACTS = {"revision": "0123456789abcdef", "n_paths": 100, "seed": 0, "made_at": "2026-11-23T00:00Z"}
HORIZON = 24


def made_scores(n_windows=6, seed=0):
    rng = np.random.default_rng(seed)
    n = n_windows * HORIZON
    window, step = np.divmod(np.arange(n), HORIZON)
    first = pd.Timestamp("2025-10-06T14:30").value + window * 10**15
    scores = pd.DataFrame(
        {
            "series": np.where(window % 2, "files/SECRET_A.csv", "files/SECRET_B.csv"),
            "interval": np.where(window % 2, "5m", "1d"),
            "group": np.where(window % 2, "crypto/5m", "etf/1d"),
            "origin": first,
            "step": step + 1,
            # A weekend after the third bar.
            "time": first
            + np.where(window % 2, 300, 86400) * 10**9 * (step + np.where(step > 2, 2, 0)),
            "gain": rng.normal(size=n) / 10,
            "bound": rng.uniform(0.5, 1, n),
        }
    )
    for model in ("bundled", "ewma"):
        for name in ("crps", "width", "pit", "log_score"):
            scores[f"{model}_{name}"] = rng.uniform(size=n)
        scores[f"{model}_inside"] = rng.uniform(size=n) < 0.8
        scores[f"{model}_qlike"] = np.repeat(rng.uniform(size=n_windows), HORIZON)
    return scores


def test_scores_come_back_at_the_kept_steps():
    scores = made_scores()
    card = unpack_card(pack_card(scores, FACTS))
    kept = scores[scores["step"].isin(STEPS)].reset_index(drop=True)
    for model in ("bundled", "ewma"):
        rows = card.rows[card.rows["model"] == model].reset_index(drop=True)
        assert len(rows) == len(kept) == 6 * len(STEPS)
        for name in ("crps", "width", "pit", "log_score", "inside", "qlike"):
            np.testing.assert_allclose(rows[name], kept[f"{model}_{name}"], rtol=1e-3, atol=1e-4)
        assert rows["timestamp"].tolist() == pd.to_datetime(kept["time"], utc=True).tolist()
        assert rows["interval"].tolist() == kept["interval"].tolist()
    assert set(card.rows["source"]) == {SOURCE}
    assert set(card.rows["asset_class"]) == {"crypto", "equity"}
    assert card.rows["out_of_sample"].all()
    assert card.facts["windows"] == 6
    assert (card.facts["revision"], card.facts["series"]) == (FACTS["revision"], 2)


def test_the_pairs_are_those_of_the_evaluation():
    card = unpack_card(pack_card(made_scores(), FACTS))
    found = evidence(card.pairs)
    assert found.n_outcomes == 6 * len(STEPS)
    widths = card.pairs["interval"].map({"5m": pd.Timedelta("5min"), "1d": pd.Timedelta("1D")})
    assert (card.pairs["end"] - card.pairs["begin"] >= widths).all()
    assert 1 <= len(found.times) <= 6


def test_no_name_and_no_return_is_in_the_file():
    packed = pack_card(made_scores(), FACTS)
    with np.load(io.BytesIO(packed)) as file:
        content = b"".join(file[name].tobytes() for name in file.files)
    assert b"SECRET" not in content
    assert unpack_card(packed).rows["actual_return"].isna().all()
    assert packed == pack_card(made_scores(), FACTS)


@pytest.mark.parametrize("cut", [0, 100, -20])
def test_a_damaged_file_is_refused(cut):
    packed = pack_card(made_scores(), FACTS)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        unpack_card(packed[:cut])


def test_the_bundled_record_is_about_the_bundled_weights(root):
    """If this fails, the weights have changed: run `python -m benchmarks.card_record`."""
    card = unpack_card((root / "assets/bundled/record.npz").read_bytes())
    assert card.facts["revision"] == model_facts("bundled").revision
    assert (root / "assets/bundled/record.npz").stat().st_size <= 300_000
    ours, cone = (card.rows[card.rows["model"] == model] for model in ("bundled", "ewma"))
    assert len(ours) == card.facts["windows"] * len(STEPS)
    for rows in (ours, cone):
        assert np.isfinite(rows[["crps", "pit", "width"]]).all(axis=None)
        assert np.isfinite(rows["log_score"]).mean() > 0.99
    assert 0.9 < ours["crps"].mean() / cone["crps"].mean() < 1.1
    assert (card.pairs["gain"].abs() <= card.pairs["bound"] * 1.01 + 1e-3).all()


def test_bands_are_counted_without_the_rest_of_the_file():
    scores = made_scores()
    kept = scores[scores["step"].isin(STEPS)]
    counts = {(c.asset_class, c.interval): c for c in card_bands(pack_card(scores, FACTS))}
    assert set(counts) == {("crypto", "5m"), ("equity", "1d")}
    for (_, interval), count in counts.items():
        part = kept.loc[kept["interval"] == interval, "bundled_inside"]
        assert (count.n_forecasts, count.n_closes) == (3, 3 * len(STEPS))
        assert count.n_inside == part.sum()
        assert (count.model, count.version) == ("bundled", FACTS["revision"])
    with pytest.raises(InvalidRequest, match="cannot be read"):
        card_bands(b"no archive")


def test_bands_are_those_of_the_narrowest_kind_with_enough_forecasts():
    def count(n, *, kind="crypto", interval="1h", version="a"):
        return BandCount("bundled", version, kind, interval, n, 10 * n, 8 * n)

    def found(*records, kind="crypto", interval="1h"):
        place, at = bands_of_kind(records, "bundled", "a", kind, interval)
        return place, at.asset_class, at.interval, at.n_forecasts

    card = [count(40), count(30, kind="equity"), count(50, interval="1d"), count(90, version="b")]
    assert found([], card) == (1, "crypto", "1h", 40)
    assert found([count(FEWEST)], card) == (0, "crypto", "1h", FEWEST)
    assert found([count(FEWEST - 1)], card) == (1, "crypto", "1h", 40)
    assert found(card, kind="fx") == (0, "", "1h", 70)
    assert found(card, interval="5m") == (0, "", "", 120)
    assert bands_of_kind([card], "bundled", "c", "crypto", "1h") is None
    assert bands_of_kind([card], "bundled", "a", "crypto", "1h")[1].share == 0.8
