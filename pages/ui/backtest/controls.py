"""The widgets of the Backtest page: universe, plan and costs in, a checked request out."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from data_sources.samples import SAMPLES as BUNDLED
from kronos.errors import InvalidRequest
from kronos.forecast import SamplingParameters
from kronos.portfolio.backtest import Plan
from kronos.portfolio.book import Costs, Rules
from kronos.portfolio.market import MAX_INSTRUMENTS
from kronos.portfolio.signals import SIGNALS
from kronos.training.files import QLIB_INTERVALS, QlibFolder
from pages.ui.backtest.work import QLIB, BacktestRequest, QlibUniverse
from pages.ui.frame.glossary import meaning
from pages.ui.frame.text import counted
from pages.ui.inputs.controls import LARGEST_SEED
from pages.ui.inputs.instruments import (
    MAX_SYMBOLS,
    SAMPLES,
    Entry,
    choose_files,
    open_source,
    read_symbols,
    source_titles,
)
from pages.ui.inputs.model_choices import Choice, choices
from pages.ui.jobs.settings import MAX_HORIZON, MAX_PATHS

QLIB_TITLE = "Qlib data folder"
SAMPLE_INTERVAL = "1d"
SAMPLES_FROM = dt.date(2012, 6, 1)
"""Default start of the samples: a backtest of a year takes less than a minute."""
SIGNAL_TITLES = {
    "last": "Return at the horizon (last)",
    "mean": "Mean return on the way (mean)",
    "max": "Highest return on the way (max)",
    "min": "Lowest return on the way (min)",
    "p_up": "P(up)",
    "return_over_width": "Return over width",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The backtest of the controls.

    Attributes:
        request: The backtest; None while there are no instruments.
        contents: For every instrument the bytes of its file, None for symbols.
        downloads_model: Whether the model has to be fetched first.
        notes: What was skipped and why, as plain text.
    """

    request: BacktestRequest | None
    contents: tuple[bytes | None, ...]
    downloads_model: bool
    notes: tuple[str, ...]


def choose() -> Chosen:
    """All controls of the page.

    Raises:
        InvalidRequest: A value is out of range, which widgets prevent and links may not.
        KronosError: The source cannot be used.
    """
    source, named, notes, qlib = _choose_symbols()
    with st.expander("My own files", icon=":material/upload_file:"):
        files = choose_files()
    most = MAX_SYMBOLS if qlib is None else MAX_INSTRUMENTS
    entries = (*named, *(entry for entry, _ in files))[:most]
    contents = (*(None for _ in named), *(content for _, content in files))[:most]
    model = _choose_model()
    plan, limit = _choose_plan(model, of_samples=source == SAMPLES and not files)
    request = None
    if entries:
        request = BacktestRequest(entries, source, plan, model.revision, limit, qlib)
    return Chosen(request, contents, model.is_missing, notes)


_Universe = tuple[str, tuple[Entry, ...], tuple[str, ...], QlibUniverse | None]
"""Name of the source, instruments, notes, and the Qlib folder of the instruments."""


def _choose_symbols() -> _Universe:
    titles = source_titles() | {QLIB: QLIB_TITLE}
    source = st.selectbox(
        "Source", list(titles), format_func=titles.__getitem__, key="bt_source", bind="query-params"
    )
    if source == SAMPLES:
        daily = [each.symbol for each in BUNDLED.values() if each.interval == SAMPLE_INTERVAL]
        st.caption(f"Daily bars of {' and '.join(daily)}, as a demonstration.")
        with_samples = st.checkbox(
            "Use the samples", value=True, key="bt_samples", bind="query-params"
        )
        return source, tuple(Entry(s, SAMPLE_INTERVAL) for s in daily if with_samples), (), None
    if source == QLIB:
        return _choose_qlib()
    intervals = list(open_source(source).intervals)
    text = st.text_area(
        "Symbols", "", key="bt_symbols", height=120, bind="query-params",
        placeholder="Paste symbols",
        help=f"Separated by spaces, commas, semicolons or line breaks; up to {MAX_SYMBOLS}.",
    )  # fmt: skip
    at = intervals.index("1d") if "1d" in intervals else len(intervals) - 1
    interval = st.selectbox("Interval", intervals, at, key="bt_interval", bind="query-params")
    found = read_symbols(text or "")
    entries = tuple(Entry(symbol, interval) for symbol in found.symbols)
    return source, entries, found.notes, None


def _choose_qlib() -> _Universe:
    """Instruments of a folder of the server: this page is for those who may see its paths.

    Raises:
        InvalidRequest: The folder is not laid out as Qlib's, or has too many instruments.
        InvalidCandles: A file of it is damaged.
    """
    named = st.text_input(
        "Folder", key="bt_qlib_folder", placeholder="~/.qlib/qlib_data/cn_data",
        help="The folder on the server that holds calendars, instruments and features.",
    )  # fmt: skip
    if not (named or "").strip():
        return QLIB, (), (), None
    folder = Path(named.strip()).expanduser()
    markets, calendars = QlibFolder.offers(folder)
    left, right = st.columns(2)
    market = left.selectbox("Market", markets, key="bt_qlib_market")
    calendar = right.selectbox(
        "Interval", calendars, key="bt_qlib_interval", format_func=QLIB_INTERVALS.__getitem__
    )
    if market is None or calendar is None:
        raise InvalidRequest(
            f"{folder} has no list of instruments, or no calendar of a known interval "
            f"({', '.join(QLIB_INTERVALS)})."
        )
    found = QlibFolder(folder, market=market, frequency=calendar).instruments()
    if len(found) > MAX_INSTRUMENTS:
        raise InvalidRequest(
            f"The market {market} has {len(found):,} instruments; at most {MAX_INSTRUMENTS:,} make "
            "a universe. Choose a smaller market."
        )
    st.caption(
        f"{counted(len(found), 'instrument')}. Prices are used as the folder adjusts them, and "
        "bars only while an instrument belongs to the market."
    )
    entries = tuple(Entry(facts.file, facts.interval) for facts in found)
    return QLIB, entries, (), QlibUniverse(str(folder), market, calendar)


def _choose_model() -> Choice:
    found = choices()
    title = st.selectbox("Model", list(found), key="bt_model", bind="query-params")
    st.caption(found[title].remark)
    return found[title]


def _choose_plan(model: Choice, *, of_samples: bool) -> tuple[Plan, float | None]:
    signal = st.selectbox(
        "Signal", list(SIGNALS), format_func=SIGNAL_TITLES.__getitem__, key="bt_signal",
        bind="query-params", help=meaning("Signal"),
    )  # fmt: skip
    left, right = st.columns(2)
    top_k = left.number_input(
        "Top k", 1, MAX_SYMBOLS, 1 if of_samples else 5, bind="query-params",
        key="bt_k_samples" if of_samples else "bt_k",
        help=meaning("Top-k portfolio"),
    )  # fmt: skip
    n_drop = right.number_input(
        "Drop n", 0, MAX_SYMBOLS, 1, key="bt_drop", bind="query-params",
        help="Maximum number of positions replaced at one rebalance.",
    )  # fmt: skip
    every = left.number_input(
        "Rebalance (bars)",
        1,
        250,
        5,
        key="bt_every",
        bind="query-params",
        help=meaning("Rebalance"),
    )
    hold = right.number_input(
        "Min. hold (bars)", 1, 250, 1, key="bt_hold", bind="query-params",
        help="Minimum number of bars between a purchase and its sale.",
    )  # fmt: skip
    horizon = left.number_input(
        "Horizon (bars)",
        1,
        MAX_HORIZON,
        5,
        key="bt_horizon",
        bind="query-params",
        help=meaning("Horizon"),
    )
    paths = right.number_input(
        "Paths", 10, MAX_PATHS, 50, 10, key="bt_paths", bind="query-params", help=meaning("Paths")
    )
    start, end = _choose_days(of_samples=of_samples)
    with st.expander("Costs and rules", icon=":material/tune:"):
        costs, reweigh, limit, momentum_bars, n_trials, seed = _choose_rules()
    plan = Plan(
        model=model.name,
        signal=signal,
        horizon=int(horizon),
        every=int(every),
        rules=Rules(int(top_k), min(int(n_drop), int(top_k)), int(hold), reweigh),
        costs=costs,
        sampling=SamplingParameters(sample_count=int(paths), seed=seed),
        momentum_bars=momentum_bars,
        n_trials=n_trials,
        start=start,
        end=end,
    )
    return plan, limit


def _choose_days(*, of_samples: bool) -> tuple[dt.date | None, dt.date | None]:
    first = SAMPLES_FROM if of_samples else None
    suffix = "_samples" if of_samples else ""
    left, right = st.columns(2)
    days = [
        column.date_input(
            label, value, dt.date(1980, 1, 1), dt.date(2100, 1, 1), key=f"{key}{suffix}",
            bind="query-params", format="YYYY-MM-DD", help=text,
        )
        for column, label, value, key, text in (
            (left, "From", first, "bt_from", "First decision date. Empty: the earliest possible."),
            (right, "To", None, "bt_to", "Last day of the backtest. Empty: all bars."),
        )
    ]  # fmt: skip
    return days[0], days[1]


def _choose_rules() -> tuple[Costs, bool, float | None, int, int, int]:
    buy = st.number_input(
        "Purchase cost (%)",
        0.0,
        10.0,
        0.10,
        0.01,
        key="bt_buy",
        format="%.2f",
        bind="query-params",
    )
    sell = st.number_input(
        "Sale cost (%)",
        0.0,
        10.0,
        0.15,
        0.01,
        key="bt_sell",
        format="%.2f",
        bind="query-params",
    )
    limit = st.number_input(
        "Daily price limit (%)", 0.0, 50.0, 0.0, 0.5, key="bt_limit", bind="query-params",
        help="0: no limit. At an open this far above the previous close, nothing is bought; this "
        "far below, nothing is sold.",
    )  # fmt: skip
    reweigh = st.checkbox(
        "Reset to equal weights at every rebalance", key="bt_reweigh", bind="query-params",
        help="Otherwise weights drift, and only free cash is invested.",
    )  # fmt: skip
    momentum = st.number_input(
        "Momentum lookback (bars)", 1, 500, 20, key="bt_momentum", bind="query-params"
    )
    trials = st.number_input(
        "Trials", len(SIGNALS), 1_000_000, len(SIGNALS), key="bt_trials", bind="query-params",
        help=meaning("Deflated Sharpe ratio", "Count every setting that you tried on these bars."),
    )  # fmt: skip
    seed = st.number_input(
        "Seed", 0, LARGEST_SEED, 0, key="bt_seed", help=meaning("Seed"), bind="query-params"
    )
    costs = Costs(float(buy) / 100, float(sell) / 100)
    shares = float(limit) / 100 or None
    return costs, bool(reweigh), shares, int(momentum), int(trials), int(seed)
