"""What tokens keep of bars, against the tokenizer itself."""

import numpy as np
import pytest
import torch

from data_sources.samples import load_sample
from kronos import models
from kronos.context import CLOSE, PRICES, read_context
from kronos.errors import InvalidRequest
from kronos.forecast import SamplingParameters
from kronos.forecasters.reconstruction import CodeUse, Reconstruction
from kronos.serving.service import load_forecaster
from tests.event_adapter import WITHOUT_EVENTS

ETH = load_sample("ETHUSD_1h")


def context(n=128):
    return read_context(ETH.frame, ETH.local_index, n)


@pytest.mark.parametrize("name", ["bundled", WITHOUT_EVENTS])
def test_bars_are_what_the_tokenizer_makes_of_them(name):
    """Both normalisations: of the whole window, and in units of the volatility before a bar."""
    predictor, bars = models.load(name, device="cpu"), context()
    made = predictor.reconstruct(bars)
    pending = predictor.prepare_samples(
        [bars], [np.zeros((1, 5), np.int64)], SamplingParameters(sample_count=1)
    )
    tokens = pending.sequences[0].context
    with torch.inference_mode():
        z = predictor.tokenizer.decode(tokens.s1[None], tokens.s2[None])[0].double().numpy()
    wanted = predictor._normalised(bars).decoded(z)[:, CLOSE]
    np.testing.assert_allclose(made.full[:, CLOSE], wanted, rtol=1e-6)
    errors = [np.median(made.price_errors(part)) for part in (made.coarse, made.full)]
    assert 0 < errors[1] < errors[0] < 0.5
    assert (made.full[:, 1] >= made.full[:, PRICES].max(axis=1)).all()
    config = predictor.tokenizer.config
    assert made.s1 == CodeUse.of(tokens.s1.numpy(), 1 << config.s1_bits)
    assert made.s2 == CodeUse.of(tokens.s2.numpy(), 1 << config.s2_bits)


def test_a_bar_is_decoded_beside_its_own_history_and_no_later_one():
    predictor, bars = models.load("bundled", device="cpu"), context(100)
    whole = predictor.reconstruct(bars).full
    values = bars.values.copy()
    values[80:, :4] *= 1.5
    changed = predictor.reconstruct(type(bars)(values, bars.fields)).full
    np.testing.assert_allclose(changed[:80], whole[:80], rtol=1e-5)
    np.testing.assert_allclose(changed[81:, CLOSE] / whole[81:, CLOSE], 1.5, rtol=0.05)


def test_errors_are_in_moves_of_a_usual_bar():
    closes = 100 * np.exp(np.cumsum(np.tile([0.01, -0.01], 50)))
    bars = np.repeat(closes[:, None], 6, axis=1)
    off = bars * np.exp(0.005)
    made = Reconstruction(bars, off, bars, CodeUse.of(np.zeros(100, int), 4), CodeUse(1, 4, 1.0))
    assert made.sigma == pytest.approx(0.01)
    assert made.price_errors(made.coarse) == pytest.approx(np.full((100, 4), 0.5))
    assert (made.price_errors(made.full) == 0).all()
    assert made.s1 == CodeUse(1, 4, 1.0)
    still = Reconstruction(np.ones((9, 6)), np.ones((9, 6)), np.ones((9, 6)), made.s1, made.s2)
    assert np.isnan(still.price_errors(still.full)).all()


def test_equally_frequent_codes_have_their_number_as_perplexity():
    assert CodeUse.of(np.tile(np.arange(8), 5), 256).perplexity == pytest.approx(8.0)
    assert CodeUse.of(np.array([3, 3, 3, 1]), 256).distinct == 2


def test_models_without_tokens_say_so_and_long_contexts_are_refused():
    with pytest.raises(InvalidRequest, match="has no tokenizer"):
        load_forecaster("garch", lambda done, total: None).reconstruct(context())
    with pytest.raises(InvalidRequest, match="reads at most 512"):
        models.load("bundled", device="cpu").reconstruct(context(600))
