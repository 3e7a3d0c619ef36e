"""A backtest as text: everything as JSON, curves and trades as CSV, a table for a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, NamedTuple

from kronos.export import cell_text
from kronos.portfolio.backtest import FEWEST_REBALANCES, STRATEGY, Backtest

__all__ = [
    "Doubt",
    "curves_csv",
    "doubts_of",
    "facts",
    "result_json",
    "rows_of",
    "summary_text",
    "trades_csv",
    "warnings_of",
]

_ROWS = (
    ("annual_return", "return a year", "{:.2%}"),
    ("annual_volatility", "volatility a year", "{:.2%}"),
    ("sharpe", "Sharpe ratio", "{:.2f}"),
    ("max_drawdown", "largest drawdown", "{:.2%}"),
    ("turnover", "turnover a year", "{:.2f}"),
    ("costs", "costs paid", "{:.2%}"),
    ("total_return", "total return", "{:.2%}"),
    ("n_trades", "trades", "{}"),
    ("n_lapsed", "orders lapsed", "{}"),
)
_YEARLY = {"annual_return", "sharpe"}
FEW = 10
"""Number of instruments below which a ranking is no evidence."""


class Doubt(NamedTuple):
    """A reason to doubt a result: in a few words, and as a sentence."""

    short: str
    text: str


def warnings_of(result: Backtest, cut_off: date | None) -> list[str]:
    """The sentences of `doubts_of`."""
    return [doubt.text for doubt in doubts_of(result, cut_off)]


def doubts_of(result: Backtest, cut_off: date | None) -> list[Doubt]:
    """Reasons to doubt a result.

    Args:
        result: The backtest.
        cut_off: First day after the model's training data; None where it is not known, `date.min`
            for a baseline.
    """
    found = []
    n_before, n = result.n_before(cut_off), len(result.dates)
    if cut_off is None:
        found.append(
            Doubt(
                "the training cut-off is not known",
                f"The training cut-off of {result.model_name} is not known: it may have learned "
                "from the very bars that it is tested on.",
            )
        )
    elif n_before:
        found.append(
            Doubt(
                f"{n_before} of {n} rebalances before the training cut-off",
                f"{n_before} of {n} rebalances lie before {cut_off:%Y-%m-%d}. Until then "
                f"{result.model_name} learned from market prices, perhaps from these: on them a "
                "backtest shows memory, not skill.",
            )
        )
    if not result.can_annualise:
        found.append(
            Doubt(
                f"fewer than {FEWEST_REBALANCES} rebalances",
                f"With {n} rebalances, fewer than {FEWEST_REBALANCES}, annual returns and Sharpe "
                "ratios are mostly chance. They are not shown; the total return is.",
            )
        )
    if len(result.names) < FEW:
        found.append(
            Doubt(
                f"{len(result.names)} instruments",
                f"With {len(result.names)} instruments this shows how a backtest works and is no "
                "evidence: a ranking needs dozens.",
            )
        )
    return found


def facts(result: Backtest, cut_off: date | None) -> dict[str, Any]:
    """Everything but curves and trades, JSON-ready; undefined figures are null."""
    plan = asdict(result.plan)
    values = {
        "model": result.model_name,
        "model_revision": result.model_revision,
        "plan": {key: str(each) if isinstance(each, date) else each for key, each in plan.items()},
        "instruments": list(result.names),
        "rebalances": len(result.dates),
        "first_decision": result.dates[0].isoformat(),
        "last_bar": result.books[STRATEGY].index[-1].isoformat(),
        "performance": {name: asdict(each) for name, each in result.performance.items()},
        "rank_ic": {
            name: {"mean": ic.mean, "icir": ic.icir, "t": ic.t, "n": ic.n}
            for name, ic in (("strategy", result.rank_ic), ("momentum", result.momentum_ic))
        },
        "break_even_cost": result.break_even,
        "deflated_sharpe": asdict(result.deflated),
        "signal_sharpe": result.signal_sharpe,
        "warnings": warnings_of(result, cut_off),
    }
    ready: dict[str, Any] = _finite(values)
    return ready


def result_json(result: Backtest, cut_off: date | None) -> str:
    """Facts, equity curves and trades as JSON."""
    curves = result.curves
    values = facts(result, cut_off) | {
        "times": [stamp.isoformat() for stamp in curves.index],
        "equity": {str(name): curves[name].tolist() for name in curves.columns},
        "trades": [
            row | {"time": row["time"].isoformat(), "decided": row["decided"].isoformat()}
            for row in result.books[STRATEGY].trades.to_dict("records")
        ],
    }
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def curves_csv(result: Backtest) -> str:
    """Equity of every book, as a multiple of the capital, one row a bar."""
    curves = result.curves.rename_axis("time")
    curves.index = [stamp.isoformat() for stamp in curves.index]
    return str(curves.to_csv(index_label="time", lineterminator="\n"))


def trades_csv(result: Backtest) -> str:
    """The strategy's fills, one row each."""
    trades = result.books[STRATEGY].trades.copy()
    trades["instrument"] = trades["instrument"].map(cell_text)
    for name in ("time", "decided"):
        trades[name] = [stamp.isoformat() for stamp in trades[name]]
    return str(trades.to_csv(index=False, lineterminator="\n"))


def summary_text(result: Backtest, cut_off: date | None) -> str:
    """A table for a terminal."""
    names = list(result.performance)
    lines = [
        f"{result.model_name}, revision {result.model_revision[:12]}: {len(result.names)} "
        f"instruments, {len(result.dates)} rebalances from {result.dates[0]:%Y-%m-%d} to "
        f"{result.dates[-1]:%Y-%m-%d}, signal {result.plan.signal}",
        "",
        f"{'':20}" + "".join(f"{name:>14}" for name in names),
    ]
    for key, label, form in rows_of(_ROWS, result):
        cells = (form.format(getattr(result.performance[name], key)) for name in names)
        lines.append(f"{label:20}" + "".join(f"{cell:>14}" for cell in cells))
    ic, past = result.rank_ic, result.momentum_ic
    lines += [
        f"{'RankIC (t)':20}{ic.mean:>8.3f} ({ic.t:.1f}){'':14}{past.mean:>8.3f} ({past.t:.1f})",
        f"{'ICIR':20}{ic.icir:>14.3f}{'':14}{past.icir:>14.3f}",
        f"{'break-even cost':20}{break_even_text(result):>14}",
    ]
    if result.can_annualise:
        lines.append(
            f"{'deflated Sharpe':20}{result.deflated.probability:>14.2f}  "
            f"({result.deflated.n_trials} trials)"
        )
    lines += [f"\nwarning: {text}" for text in warnings_of(result, cut_off)]
    return "\n".join(lines) + "\n"


def rows_of(rows: Sequence[tuple[str, str, str]], result: Backtest) -> list[tuple[str, str, str]]:
    """The rows of a table of measures that a backtest is long enough for.

    Args:
        rows: Field of `Performance`, label and format of each.
        result: The backtest.

    Returns:
        All rows; of a short backtest none that speaks of years, the total return first.
    """
    if result.can_annualise:
        return list(rows)
    left = [row for row in rows if row[0] not in _YEARLY]
    return sorted(left, key=lambda row: row[0] != "total_return")


def break_even_text(result: Backtest) -> str:
    """The break-even cost, for a table cell."""
    if math.isnan(result.break_even):
        return "none"
    return "above 5%" if math.isinf(result.break_even) else f"{result.break_even:.3%}"


def _finite(value: Any) -> Any:
    """A value with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
