"""GARCH(1,1) with Student t shocks: fitted by maximum likelihood, simulated step by step.

    h[t+1] = omega + alpha r[t]^2 + beta h[t],   r[t] = sqrt(h[t]) z[t],   var z = 1

(Bollerslev 1987). Filtered historical simulation (Barone-Adesi and others 1999) draws from the
standardised past shocks instead of a Student t distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, gammaln, logit, stdtrit

from kronos.errors import InvalidCandles
from kronos.forecasters.baselines.history import History, Moves, similar_bars
from kronos.forecasters.baselines.random_walk import SMALLEST

MOST_PERSISTENT = 0.999
"""Bound of alpha + beta: at 1 the variance has no long-run level."""
_STARTS = ((0.95, 0.10, 0.33), (0.80, 0.30, 0.50))
"""Starting points of the search: persistence, alpha's share of it, 2 / degrees of freedom."""
_BOUNDS = ((-8.0, 8.0), (-8.0, 8.0), (-1.4, 1.4), (-6.0, 4.0))
_DECIMALS = 6
"""Digits of the standardised returns that are fitted: more than prices have, fewer than float64."""
_BLOCK = 32
_LAGS = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)


@dataclass(frozen=True, slots=True, eq=False)
class Garch:
    """A fitted model.

    Attributes:
        omega: Constant of the variance, in squared returns.
        alpha: Weight of the last squared return.
        beta: Weight of the last variance.
        freedom: Degrees of freedom of the shocks, above 2; infinite for normal ones.
        variances: (T + 1,) of every return, and of the next one.
    """

    omega: float
    alpha: float
    beta: float
    freedom: float
    variances: np.ndarray


def fit_garch(returns: np.ndarray, *, targeted: bool = False) -> Garch:
    """Fit by maximum likelihood with a mean of 0.

    Args:
        returns: (T,) log-returns.
        targeted: Fix the long-run variance at that of the returns and assume normal shocks, which
            is consistent for any distribution of them. Otherwise the long-run variance and the
            tails of the shocks are fitted too.

    Raises:
        InvalidCandles: All returns are 0.
    """
    unit = float(np.sqrt(np.mean(np.square(returns))))
    if unit <= 0.0:
        raise InvalidCandles(
            f"All {len(returns) + 1} closes are equal, so there is no volatility to fit. Choose "
            "another series, or the random walk."
        )
    # Rounding of prices, which differs from unit to unit, would end the search elsewhere.
    squares = np.square(np.round(returns / unit, _DECIMALS))
    n_searched = 2 if targeted else 4
    found = [
        minimize(
            _loss,
            (logit(persistence / MOST_PERSISTENT), logit(share), 0.0, logit(tail))[:n_searched],
            args=(squares,),
            method="L-BFGS-B",
            bounds=_BOUNDS[:n_searched],
        )
        for persistence, share, tail in _STARTS
    ]
    best = min(found, key=lambda result: float(result.fun))
    omega, alpha, beta, freedom = _parameters(best.x)
    variances = _variances(squares, omega, alpha, beta) * unit**2
    return Garch(omega * unit**2, alpha, beta, freedom, variances)


def garch_t(history: History, noise: np.ndarray) -> Moves:
    """Paths of a fitted GARCH with its own Student t shocks."""
    fit = fit_garch(history.returns)
    uniforms = np.maximum(noise[..., 0], SMALLEST)
    shocks = stdtrit(fit.freedom, uniforms) * np.sqrt((fit.freedom - 2.0) / fit.freedom)
    sigmas = np.sqrt(fit.variances[:-1])
    bars = similar_bars(history.returns / sigmas, shocks, noise[..., 1])
    return _moves(fit, shocks, bars, sigmas)


def filtered_historical(history: History, noise: np.ndarray) -> Moves:
    """Paths of a fitted GARCH with shocks drawn from the standardised past ones."""
    fit = fit_garch(history.returns, targeted=True)
    sigmas = np.sqrt(fit.variances[:-1])
    past = history.returns / sigmas
    past = (past - past.mean()) / past.std()
    bars = np.floor(noise[..., 0] * len(past)).astype(int)
    return _moves(fit, past[bars], bars, sigmas)


def _moves(fit: Garch, shocks: np.ndarray, bars: np.ndarray, sigmas: np.ndarray) -> Moves:
    """Returns and volatilities along the shocks: all (N, H)."""
    returns, volatility = np.empty_like(shocks), np.empty_like(shocks)
    variance = np.full(len(shocks), fit.variances[-1])
    for step in range(shocks.shape[1]):
        volatility[:, step] = np.sqrt(variance)
        returns[:, step] = volatility[:, step] * shocks[:, step]
        variance = fit.omega + fit.alpha * returns[:, step] ** 2 + fit.beta * variance
    return Moves(returns, bars, volatility / sigmas[bars])


def _parameters(x: np.ndarray) -> tuple[float, float, float, float]:
    """omega, alpha, beta and degrees of freedom at a point of the search.

    Its coordinates: logits of persistence and of alpha's share of it; then, unless the variance
    is targeted, log of the long-run variance and logit of 2 / degrees of freedom.
    """
    persistence = MOST_PERSISTENT * float(expit(x[0]))
    alpha = persistence * float(expit(x[1]))
    if len(x) == 2:
        return 1.0 - persistence, alpha, persistence - alpha, np.inf
    omega = float(np.exp(x[2])) * (1.0 - persistence)
    return omega, alpha, persistence - alpha, 2.0 / float(expit(x[3]))


def _variances(squares: np.ndarray, omega: float, alpha: float, beta: float) -> np.ndarray:
    """(T + 1,) variances, from squares (T,) whose mean is 1; the first is that mean.

    The recursion goes block by block: within one it is a product with powers of beta.
    """
    n_blocks = -(-len(squares) // _BLOCK)
    inputs = np.zeros(n_blocks * _BLOCK)
    inputs[: len(squares)] = omega + alpha * squares
    decay = np.where(_LAGS >= 0, beta ** np.abs(_LAGS), 0.0)
    within = inputs.reshape(n_blocks, _BLOCK) @ decay.T
    fading = beta ** np.arange(1, _BLOCK + 1)
    ends = accumulate(within[:-1, -1], lambda h, end: end + fading[-1] * h, initial=1.0)
    h = within + np.array(list(ends))[:, None] * fading
    return np.concatenate([[1.0], h.ravel()[: len(squares)]])


def _loss(x: np.ndarray, squares: np.ndarray) -> float:
    """Mean negative log-likelihood, without the normal's constant."""
    omega, alpha, beta, nu = _parameters(x)
    h = _variances(squares, omega, alpha, beta)[:-1]
    if nu == np.inf:
        return float(np.mean(0.5 * np.log(h) + 0.5 * squares / h))
    constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * (nu - 2))
    tails = (nu + 1) / 2 * np.log1p(squares / (h * (nu - 2)))
    return float(np.mean(0.5 * np.log(h) + tails) - constant)
