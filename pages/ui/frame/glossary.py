"""The terms of the pages: tooltips explain one, the glossary lists all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the pages and its meaning."""

    name: str
    meaning: str


_SETTINGS = (
    Term("Origin", "The last bar that the model reads. The forecast starts after it."),
    Term("Horizon", "Number of bars to forecast."),
    Term("Lookback", "Number of bars up to the origin that the model reads."),
    Term("Paths", "Simulated futures. More of them give smaller sampling errors."),
    Term(
        "Seed",
        "Start of the random numbers. The same number gives the same paths; another one gives "
        "other paths of the same distribution.",
    ),
    Term(
        "Temperature T",
        "1 samples from the model's own distribution. Below 1 the fan is narrower, above 1 wider; "
        "0 always takes the most likely step.",
    ),
    Term(
        "Top-p", "Samples only from the most likely steps with this total probability. 1 keeps all."
    ),
    Term("Top-k", "Samples only from this many of the most likely steps. 0 keeps all."),
)
_TRAINING = (
    Term("Base", "The model that training starts from. Training does not change it."),
    Term(
        "Adapter",
        "The result of training: a small file that changes some matrices of the base. Base and "
        "adapter together are a model.",
    ),
    Term(
        "LoRA",
        "Low-rank adaptation: adds the product of two narrow matrices to a matrix of the base and "
        "trains only these two, about 1% of the parameters.",
    ),
    Term(
        "Cut-off",
        "Training uses the bars before this time, validation the bars after it. No window crosses "
        "it.",
    ),
    Term("Window", "One training example: the bars that the model reads and the horizon."),
    Term("Step", "One update of the trained parameters, from a batch of windows."),
    Term(
        "Learning rate",
        "Size of an update. Training diverges if it is too high and stalls if it is too low.",
    ),
    Term(
        "Validation",
        "Scores forecasts of the bars after the cut-off. Training keeps the step with the lowest "
        "CRPS.",
    ),
    Term(
        "Training loss",
        "Cross-entropy on the training bars. It can fall while forecasts get worse, so it does "
        "not select the step.",
    ),
)
_EVENTS = (
    Term(
        "Event",
        "A release, rate decision or earnings report with a known date. Charts mark it, and some "
        "models read it.",
    ),
    Term(
        "Reads events",
        "Adapters trained with the event calendar use it, and so does Chronos-2, as covariates. "
        "All other models see candles and times only.",
    ),
    Term(
        "Surprise",
        "Release minus consensus, in standard deviations of the previous 20 differences. For the "
        "FOMC: the rate change in steps of 0.25 points.",
    ),
    Term(
        "Wide bars",
        "Bars with a scheduled event whose own move (p10 to p90 of the paths) is significantly "
        "wider than that of the median bar without one in the same fan.",
    ),
    Term(
        "Change of width",
        "Difference between the p10 to p90 ranges of two fans, in percent of the last close.",
    ),
)
_READING = (
    Term(
        "p10, p50, p90",
        "10%, 50% and 90% of the paths close below these prices. The 50% price is the median.",
    ),
    Term("80% range", "From p10 to p90: 80% of the paths close inside."),
    Term("P(up)", "Share of paths that close above the last known close."),
    Term("Expected move", "Mean absolute return of the paths from the origin."),
    Term(
        "P(touch)", "Share of paths whose high-low range reaches a price level within the horizon."
    ),
    Term(
        "Value at risk",
        "Loss over the horizon that only the rest of the paths exceed: 5% of them at 95%. Expected "
        "shortfall is the mean of the losses beyond it.",
    ),
    Term(
        "Sampling error",
        "Standard error of a number that is estimated from a finite number of paths. The error of "
        "the model itself is not included.",
    ),
    Term(
        "Anchored",
        "Prices are scaled so that the fan starts exactly at the last close. The model's tokens "
        "alone would start slightly beside it.",
    ),
)
_QUALITY = (
    Term(
        "Coverage",
        "Share of bars whose actual close is inside the band. An 80% band should reach about 80%.",
    ),
    Term(
        "Calibrated",
        "Probabilities match frequencies: what has a probability of 30% happens in 3 of 10 cases.",
    ),
    Term(
        "Calibrated fan",
        "Corrects drift and quantiles by their past errors in the model's record. In the long run "
        "the 80% band holds about 80% of closes. A single forecast has no guarantee.",
    ),
    Term(
        "Drift",
        "Mean log-return of a fan from the origin. A calibrated fan keeps the share of it that "
        "past outcomes support: 0% where they did not follow the model's drift, 100% where they "
        "did.",
    ),
    Term(
        "CRPS",
        "Continuous ranked probability score: distance between the forecast distribution and the "
        "actual close. Lower is better. Fans that are too wide or too narrow score worse.",
    ),
    Term(
        "Ensemble",
        "Several models with one seed. Their quantiles are averaged, with weights learned from "
        "their record or with equal weights.",
    ),
    Term(
        "Baseline",
        "A simple forecast without a neural network, such as a random walk with recent "
        "volatility. A useful model beats it.",
    ),
    Term(
        "CRPS skill",
        "How far the mean CRPS is below that of a baseline on the same bars. Above 0 the model is "
        "better. If the interval contains 0, the difference may be chance.",
    ),
    Term(
        "Log score",
        "Minus the logarithm of the probability density that the fan had at the outcome. Lower is "
        "better. It sees the tails and the width of a fan more sharply than the CRPS.",
    ),
    Term(
        "QLIKE",
        "Loss of a forecast of the variance over the horizon: realised over expected variance, "
        "less its logarithm and 1. 0 is perfect.",
    ),
    Term(
        "E-value",
        "Capital of a gambler who starts with 1 and bets on the model. If the model is no better, "
        "it ever reaches 20 in at most 1 of 20 records, however often one looks.",
    ),
    Term(
        "Reliability",
        "Share of outcomes below each quantile. A calibrated fan lies on the diagonal; a flat S "
        "means that the fan is too narrow.",
    ),
    Term(
        "PIT",
        "Probability integral transform: the quantile at which each outcome falls. Even bars: "
        "calibrated. U shape: fan too narrow. Hump: fan too wide.",
    ),
    Term(
        "Out of sample",
        "Forecasts from origins after the model's last training bar. Earlier origins prove "
        "little: the model may have seen the outcome.",
    ),
    Term(
        "Walk-forward",
        "Forecasts from many past origins, each from the bars up to its origin alone, scored "
        "against the actual bars.",
    ),
    Term(
        "RankIC",
        "Rank correlation between a forecast (its median or a signal) and the outcome across "
        "instruments, averaged over dates. 0 means no skill.",
    ),
)
_PORTFOLIO = (
    Term("Signal", "The number of a forecast that ranks the instruments."),
    Term(
        "Rebalance", "A bar whose close ranks the instruments. Orders are filled at the next open."
    ),
    Term(
        "Top-k portfolio",
        "Holds the k instruments with the highest ranks. Every rebalance replaces at most n of "
        "them.",
    ),
    Term(
        "Sharpe ratio",
        "Mean return divided by its standard deviation, scaled to a year, without a risk-free "
        "rate.",
    ),
    Term("Drawdown", "Fall from the highest value so far."),
    Term("Turnover", "Half of the value traded in a year, as a multiple of the mean equity."),
    Term("ICIR", "Mean RankIC divided by its standard deviation across rebalances."),
    Term(
        "Break-even cost",
        "Cost of each trade at which the strategy ends level with the equal-weight portfolio.",
    ),
    Term(
        "Deflated Sharpe ratio",
        "Probability that the true value exceeds the best value that so many trials would show by "
        "chance (Bailey and López de Prado).",
    ),
)
_SYNTHETIC = (
    Term(
        "Synthetic series",
        "Candles that a model generates after real ones. They never happened and predict nothing.",
    ),
    Term(
        "Block bootstrap",
        "Resamples real bars in blocks, many times. It shows how much a statistic varies by "
        "chance.",
    ),
    Term("Kurtosis", "How heavy the tails of the returns are; 3 for a normal distribution."),
    Term(
        "KS distance",
        "Largest difference between two cumulative distributions of returns, from 0 to 1 "
        "(Kolmogorov and Smirnov).",
    ),
    Term(
        "Memory of moves",
        "Correlation of absolute returns with those some bars earlier. In real markets large "
        "changes follow large ones.",
    ),
)
SECTIONS = {
    "Settings": _SETTINGS,
    "Reading the fan": _READING,
    "Forecast quality": _QUALITY,
    "Events": _EVENTS,
    "Portfolio": _PORTFOLIO,
    "Synthetic": _SYNTHETIC,
    "Training": _TRAINING,
}
_MEANINGS = {term.name: term.meaning for terms in SECTIONS.values() for term in terms}


def meaning(name: str, more: str = "") -> str:
    """The tooltip of a term.

    Args:
        name: The term.
        more: Text to add for this place.

    Raises:
        KeyError: The glossary has no such term.
    """
    return f"{_MEANINGS[name]} {more}".strip()


@st.fragment
def show_glossary() -> None:
    """The glossary behind a button; the browser gets its text when it opens."""
    glossary = st.popover(
        "Glossary",
        key="glossary",
        type="tertiary",
        icon=":material/menu_book:",
        on_change="rerun",
    )
    if glossary.open:
        # Tabs take the focus, so that arrow keys scroll the text in a small window.
        for tab, terms in zip(glossary.tabs(list(SECTIONS)), SECTIONS.values(), strict=True):
            tab.markdown(_definitions(terms))


def _definitions(terms: Sequence[Term]) -> str:
    return "\n".join(f"- **{term.name}**: {term.meaning}" for term in terms)
