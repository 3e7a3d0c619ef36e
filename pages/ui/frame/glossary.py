"""The words of the pages: what tooltips say, and the glossary that has them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True, slots=True)
class Term:
    """One word: how it is written on the pages, and what it means there."""

    name: str
    meaning: str


_SETTING_UP = (
    Term("Origin", "The last bar the model may see. Everything after it is simulated."),
    Term("Horizon", "Number of bars that are simulated, counted from the origin."),
    Term("Lookback", "Number of bars before the origin that the model reads."),
    Term("Paths", "Simulated futures. More paths make smoother, better known probabilities."),
    Term(
        "Seed",
        "Starting point of the random draws. The same seed gives the same paths, another seed "
        "other paths of the same distribution.",
    ),
    Term(
        "Temperature T",
        "1 is the model's own distribution. Below 1 the fan becomes too narrow, above 1 too wide; "
        "0 always takes the likeliest step.",
    ),
    Term("Top-p", "Keeps only the likeliest steps that make up this share. 1 keeps all."),
    Term("Top-k", "Keeps only so many of the likeliest steps. 0 keeps all."),
)
_TRAINING = (
    Term("Base", "The model that training starts from. It stays as it is."),
    Term(
        "Adapter",
        "What training adds to a base: a small file of its own that changes some of its matrices. "
        "Base and adapter together are a model.",
    ),
    Term(
        "LoRA",
        "Low-rank adaptation: to a matrix the product of two narrow ones is added, and only these "
        "are trained, about one in a hundred of the parameters.",
    ),
    Term(
        "Cut-off",
        "Bars before it teach. Bars behind it choose the best step, and no window crosses it.",
    ),
    Term("Window", "The bars of one exercise: those that are read and, behind them, the horizon."),
    Term("Step", "One change of the trained parameters, learned from some windows together."),
    Term(
        "Learning rate",
        "Size of the changes. Too high and training gets worse, too low and it gets nowhere.",
    ),
    Term(
        "Validation",
        "Scoring forecasts on bars behind the cut-off. The step with the lowest CRPS is kept.",
    ),
    Term(
        "Training loss",
        "How surprising the bars that teach are to the model. It may fall while forecasts get "
        "worse, so it chooses nothing.",
    ),
)
_EVENTS = (
    Term(
        "Event",
        "A release, rate decision or report of known date. It is marked on charts, and told to "
        "models that read events.",
    ),
    Term(
        "Reads events",
        "Said of a model that was trained with the calendar of releases, and of Chronos-2, which "
        "takes the calendar as covariates. All others see candles and times only.",
    ),
    Term(
        "Surprise",
        "How far a release came out above or below its consensus, in sigmas of the 20 before. Of "
        "the FOMC: the change of rates in steps of 0.25 points.",
    ),
    Term(
        "Change of width",
        "By how much the distance from p10 to p90 differs between two fans, in percent of the last "
        "close.",
    ),
)
_READING = (
    Term(
        "p10, p50, p90",
        "The prices below which 10%, 50% and 90% of the paths close. p50 is the median.",
    ),
    Term("80% range", "From p10 to p90: four of five paths close in it."),
    Term("P(up)", "Share of paths that close above the last known close."),
    Term("Expected move", "Mean size of the paths' return from the origin, up or down alike."),
    Term("Touches the level", "Share of paths whose high-low range reaches a price on the way."),
    Term(
        "Sampling error",
        "How far a share may be off because only so many paths were drawn: its standard error. "
        "Errors of the model itself come on top.",
    ),
    Term(
        "Anchored",
        "Prices are scaled so that the fan begins exactly at the last close; the model's tokens "
        "alone would miss it by a little.",
    ),
)
_JUDGING = (
    Term(
        "Coverage",
        "Share of bars whose real close came to lie inside the band. For an 80% band it should "
        "be about 80%.",
    ),
    Term(
        "Calibrated",
        "Said of probabilities that come true as often as they say: what is given 30% happens in "
        "3 of 10 cases.",
    ),
    Term(
        "Calibrated fan",
        "Every quantile moved by how far off it was in the model's record: in the long run the 80% "
        "band holds about 80% of closes. Nothing is promised of a single forecast.",
    ),
    Term(
        "CRPS",
        "Continuous ranked probability score: how far the whole distribution was from what came. "
        "Lower is better; a fan that is too wide pays as well as one that is too narrow.",
    ),
    Term(
        "Ensemble",
        "Several models asked at once, with one seed. Their quantiles are averaged, by weights "
        "that were learned from their record, or by equal ones.",
    ),
    Term(
        "Baseline",
        "A simple forecast without a neural network, such as a random walk with recent "
        "volatility. A model that does not beat it adds nothing.",
    ),
    Term(
        "CRPS skill",
        "By how much the mean CRPS is below that of a baseline on the same bars. Above 0 the model "
        "was better; an interval that holds 0 leaves it open.",
    ),
    Term(
        "Reliability",
        "Share of outcomes that came to lie below each quantile. On the diagonal the fan is right; "
        "an S lying on its side tells of one too narrow.",
    ),
    Term(
        "PIT",
        "Probability integral transform: where in the fan an outcome fell. Even bars are right, a "
        "U tells of a fan too narrow, a hump of one too wide.",
    ),
    Term(
        "Out of sample",
        "From origins behind the last bar the model learned from. What lies before says little: it "
        "may have seen the answer.",
    ),
    Term(
        "Walk-forward",
        "Forecasting from many past origins, each with the bars up to it alone, and scoring "
        "against what followed.",
    ),
    Term(
        "RankIC",
        "Correlation of the ranks of forecast (its median, or a signal made of it) and outcome "
        "across instruments, the mean over dates. 0 means that the order was chance.",
    ),
)
_PORTFOLIO = (
    Term("Signal", "The one number of a forecast that instruments are ranked by."),
    Term(
        "Rebalance",
        "A bar at whose close instruments are ranked; orders are filled at the next open.",
    ),
    Term(
        "Top-k portfolio",
        "The k instruments ranked highest are held; at every rebalance at most n of them are "
        "sold for better ones.",
    ),
    Term(
        "Sharpe ratio",
        "Mean over standard deviation of the returns, scaled to a year; no interest is taken off.",
    ),
    Term("Drawdown", "Fall from the highest value so far."),
    Term(
        "Turnover",
        "Half of what is bought and sold in a year, as a multiple of the mean equity.",
    ),
    Term("ICIR", "RankIC over its own standard deviation from rebalance to rebalance."),
    Term(
        "Break-even cost",
        "Cost of each trade at which the strategy ends where equal weight does.",
    ),
    Term(
        "Deflated Sharpe ratio",
        "Probability that the true Sharpe ratio is above what the best of so many attempts shows "
        "by chance (Bailey and López de Prado).",
    ),
)
_SYNTHETIC = (
    Term(
        "Synthetic series",
        "Candles that a model made up behind real ones. They never happened, and say nothing of "
        "what will.",
    ),
    Term(
        "Block bootstrap",
        "Real bars drawn in blocks, as often as one likes: how far a measure varies by chance.",
    ),
    Term("Kurtosis", "How heavy the tails of the returns are; 3 for a normal distribution."),
    Term(
        "KS distance",
        "Largest difference between the shares of returns below any value, from 0 to 1 "
        "(Kolmogorov and Smirnov).",
    ),
    Term(
        "Memory of moves",
        "Correlation of the size of a return with that of some bars before. In real markets large "
        "moves follow large ones.",
    ),
)
SECTIONS = {
    "Settings": _SETTING_UP,
    "Reading the fan": _READING,
    "Judging it": _JUDGING,
    "Events": _EVENTS,
    "Portfolio": _PORTFOLIO,
    "Synthetic": _SYNTHETIC,
    "Training": _TRAINING,
}
_MEANINGS = {term.name: term.meaning for terms in SECTIONS.values() for term in terms}


def meaning(name: str, more: str = "") -> str:
    """What a tooltip says of a term, and what is to be added in its place.

    Raises:
        KeyError: The glossary has no such term.
    """
    return f"{_MEANINGS[name]} {more}".strip()


@st.fragment
def show_glossary() -> None:
    """The glossary behind a button; its text is sent only when it is opened."""
    glossary = st.popover(
        "Glossary",
        key="glossary",
        type="tertiary",
        icon=":material/menu_book:",
        on_change="rerun",
    )
    if glossary.open:
        # Tabs take the focus, so that arrow keys scroll what does not fit into a small window.
        for tab, terms in zip(glossary.tabs(list(SECTIONS)), SECTIONS.values(), strict=True):
            tab.markdown(_definitions(terms))


def _definitions(terms: Sequence[Term]) -> str:
    return "\n".join(f"- **{term.name}**: {term.meaning}" for term in terms)
