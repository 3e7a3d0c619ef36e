"""Is 03/04/2024 the third of April or the fourth of March?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kronos.errors import InvalidCandles

__all__ = ["day_comes_first"]


def day_comes_first(
    year: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    is_open: np.ndarray,
    lines: Sequence[int],
    answer: bool | None,
) -> tuple[bool, str]:
    """Whether the first number is the day, and what was assumed in saying so ("" if nothing).

    A number above 12 settles it. Otherwise both readings are tried: the one in which the rows
    follow each other closely, in order, is taken and stated.

    Args:
        year: (T,) years.
        first: (T,) first numbers.
        second: (T,) second numbers.
        is_open: (T,) rows whose order is open.
        lines: Line number of each row.
        answer: The user's choice, if any.

    Raises:
        InvalidCandles: Some rows need one reading and some the other, the user's choice is
            impossible, or nothing in the data decides.
    """
    proves_day = is_open & (first > 12)
    proves_month = is_open & (second > 12)
    if proves_day.any() and proves_month.any():
        a, b = int(np.argmax(proves_day)), int(np.argmax(proves_month))
        raise InvalidCandles(
            f"Dates mix day-first (line {lines[a]}: {first[a]}/{second[a]}) and month-first "
            f"(line {lines[b]}: {first[b]}/{second[b]}). Write them as YYYY-MM-DD."
        )
    if answer is not None:
        against = proves_month if answer else proves_day
        if against.any():
            row = int(np.argmax(against))
            order = "day first" if answer else "month first"
            raise InvalidCandles(
                f"Line {lines[row]}: {first[row]}/{second[row]}/{year[row]} cannot be read with "
                f"the {order}. Choose the other order."
            )
        return answer, ""
    if proves_day.any() or proves_month.any():
        return bool(proves_day.any()), ""
    if (first == second)[is_open].all():
        return True, ""
    return _closest(year, first, second)


def _closest(year: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[bool, str]:
    day_cost, month_cost = _spread(year, second, first), _spread(year, first, second)
    if day_cost == month_cost:
        raise InvalidCandles(
            f"Dates such as {first[0]}/{second[0]}/{year[0]} can be read with the day first or "
            "with the month first, and the rows do not tell which. Choose the order of day and "
            "month, or write dates as YYYY-MM-DD."
        )
    answer = day_cost < month_cost
    order = "day first" if answer else "month first"
    return answer, f"dates such as {first[0]}/{second[0]}/{year[0]} are read with the {order}"


def _spread(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> tuple[int, int]:
    """How badly rows follow each other: widest gap in days, turns of direction."""
    days = (
        ((year - 1970) * 12 + month - 1).astype("datetime64[M]").astype("datetime64[D]") + day - 1
    ).astype(int)
    steps = np.diff(days)
    steps = steps[steps != 0]
    turns = int((np.diff(np.sign(steps)) != 0).sum())
    widest = int(np.diff(np.unique(days)).max(initial=0))
    return widest, turns
