"""Numbers as people write them: 1,234.5 and 1.234,5, 1 234, $12, 12.3M.

Columns of plain numbers are converted at once. For others every cell is reduced to its shape
(1,234.50 becomes 9,999.99): a column has few shapes, so judging them is quick, and only
columns with odd shapes are read cell by cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_sources.csv.text import require_short
from kronos.errors import InvalidCandles

__all__ = ["MAX_NUMBER", "NumberFormat", "is_blank", "read_numbers"]

MAX_NUMBER = 64
"""Characters of a number."""
_BLANK = frozenset(
    ("", "-", "--", "---", ".", "nan", "null", "none", "n/a", "na", "#n/a", "n.a.", "nil", "?")
)
_GROUPING = str.maketrans("", "", " \u00a0\u202f\u2009'\u2019")
_SIGNS = re.compile(r"^[$€£¥₿₹]|[$€£¥₿₹]$|^(?:usd|eur|gbp)|(?:usd|eur|gbp)$", re.IGNORECASE)
_SCALES = {"k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9, "t": 1e12}
_SCALE = re.compile(r"(?<=[\d.,])(k|m|bn|b|t)$", re.IGNORECASE)
_LEADING_ZERO = re.compile(r"(?<![\d.,'])0(?=[.,])")
# Shapes that may be thousands or decimals, and shapes that float() reads once signs are replaced.
_OPEN = {sign: re.compile(rf"\D{{0,64}}9{{1,3}}[{sign}]999\D{{0,64}}") for sign in ".,"}
_REGULAR = {
    decimal: re.compile(
        rf"[+-]?([09]{{1,64}}|9{{1,3}}([{grouping}]9{{2,3}}){{0,32}}[{grouping}]999)"
        rf"([{decimal}]9{{0,64}})?"
    )
    for decimal, grouping in (".,", ",.")
}
_TO_SHAPE = str.maketrans("12345678", "99999999")
# Decoded text holds neither NUL, so it can stand between cells, nor half of a surrogate pair, so
# that can mark zeros for a moment.
_BETWEEN = "\x00"
_ZERO = "\ud800"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Which sign separates decimals; the other one groups thousands.

    Attributes:
        decimal: "." or ",".
        is_assumed: Whether every number could be read either way.
    """

    decimal: str = "."
    is_assumed: bool = False

    def __str__(self) -> str:
        return "a decimal point" if self.decimal == "." else "a decimal comma"


def is_blank(cell: str) -> bool:
    """Whether a cell stands for "no value"."""
    return cell.strip().lower() in _BLANK


def read_numbers(
    columns: Mapping[str, Sequence[str]],
    *,
    titles: Mapping[str, str],
    lines: Sequence[int],
    delimiter: str,
    scaled: frozenset[str],
) -> tuple[dict[str, np.ndarray], NumberFormat]:
    """Columns of text as float64, NaN where blank.

    Args:
        columns: Cells by the column's meaning; titles need not differ.
        titles: The columns' names in the file, by meaning, for messages.
        lines: Line number of each row, for messages.
        delimiter: A semicolon makes a comma that could be either a decimal one.
        scaled: Meanings of columns in which 12.3M means 12,300,000.

    Returns:
        (T,) values by meaning, and the number format shared by all columns.

    Raises:
        InvalidCandles: A cell is text, or decimal points and commas are mixed; names line and
            column.
    """
    for name, cells in columns.items():
        require_short(cells, MAX_NUMBER, f"column {titles[name]}", lines)
    plain = {name: _plain(cells) for name, cells in columns.items()}
    done = {name: values for name, values in plain.items() if values is not None}
    if len(done) == len(columns):
        return done, NumberFormat(".")
    shapes = {name: _shapes(cells) for name, cells in columns.items()}
    style = _detect(columns, shapes, titles, lines, delimiter)
    values = {}
    for name, cells in columns.items():
        if style.decimal == "." and name in done:
            values[name] = done[name]
        else:
            values[name] = _parse(
                cells, shapes[name], titles[name], lines, style.decimal, name in scaled
            )
    return values, style


def _plain(cells: Sequence[str]) -> np.ndarray | None:
    """Cells that Python reads as finite numbers; None if any needs a closer look."""
    try:
        values = np.fromiter(map(float, cells), float, len(cells))
    except ValueError:
        return None
    # float() also takes 1_000, nan and inf.
    if not np.isfinite(values).all() or "_" in "".join(cells):
        return None
    return values


def _shapes(cells: Sequence[str]) -> list[str]:
    """Every digit as 9, save a single 0 before the first sign: (T,)."""
    text = _BETWEEN.join(cells).translate(_TO_SHAPE)
    text = _LEADING_ZERO.sub(_ZERO, text)
    return text.replace("0", "9").replace(_ZERO, "0").split(_BETWEEN)


def _detect(
    columns: Mapping[str, Sequence[str]],
    shapes: Mapping[str, list[str]],
    titles: Mapping[str, str],
    lines: Sequence[int],
    delimiter: str,
) -> NumberFormat:
    seen: dict[str, tuple[str, int, str]] = {}
    has_open_comma = False
    for name, column in shapes.items():
        for shape in dict.fromkeys(column):
            sign = _decimal_sign(shape)
            if sign is None:
                has_open_comma |= "," in shape
            elif sign not in seen:
                row = column.index(shape)
                seen[sign] = (titles[name], lines[row], columns[name][row])
    if len(seen) == 2:
        (name_a, line_a, cell_a), (name_b, line_b, cell_b) = seen["."], seen[","]
        raise InvalidCandles(
            f"Decimal point and decimal comma are mixed: {cell_a.strip()[:40]!r} (line {line_a}, "
            f"column {name_a}) and {cell_b.strip()[:40]!r} (line {line_b}, column {name_b}). Use "
            "one of them."
        )
    if seen:
        return NumberFormat(next(iter(seen)))
    if has_open_comma:
        return NumberFormat("," if delimiter == ";" else ".", is_assumed=True)
    return NumberFormat(".")


def _decimal_sign(shape: str) -> str | None:
    """Decimal sign that a shape proves; None where there is none or it can be read either way."""
    if not any(sign in shape for sign in ".,") or "9" not in shape.replace("0", "9"):
        return None
    points, commas = shape.count("."), shape.count(",")
    if points and commas:
        return "." if shape.rfind(".") > shape.rfind(",") else ","
    if commas > 1:
        return "."
    if points > 1:
        return ","
    sign = "." if points else ","
    # 1.234 may be 1234; 0.234, 12.5 and 1234.567 are decimals.
    return None if _OPEN[sign].fullmatch(shape.strip()) else sign


def _parse(
    cells: Sequence[str],
    shapes: list[str],
    title: str,
    lines: Sequence[int],
    decimal: str,
    is_scaled: bool,
) -> np.ndarray:
    grouping = "," if decimal == "." else "."
    if all(_REGULAR[decimal].fullmatch(shape.strip()) for shape in dict.fromkeys(shapes)):
        text = _BETWEEN.join(cells).replace(grouping, "").replace(decimal, ".")
        # float() knows fewer blanks than str.strip(), which the shapes went through.
        bare = map(str.strip, text.split(_BETWEEN))
        return np.fromiter(map(float, bare), float, len(cells))
    values = np.empty(len(cells))
    for row, cell in enumerate(cells):
        try:
            values[row] = _number(cell, decimal, is_scaled)
        except ValueError:
            raise InvalidCandles(
                f"Line {lines[row]}, column {title}: {cell.strip()[:40]!r} is not a number."
            ) from None
    return values


def _number(cell: str, decimal: str, is_scaled: bool) -> float:
    text = cell.strip()
    if text.lower() in _BLANK:
        return np.nan
    text = _SIGNS.sub("", text.translate(_GROUPING))
    scale = 1.0
    if is_scaled and (match := _SCALE.search(text.rstrip())):
        text, scale = text[: match.start()].rstrip(), _SCALES[match[1].lower()]
    grouping = "," if decimal == "." else "."
    head, _, tail = text.partition(decimal)
    has_groups = grouping in head and _has_whole_groups(head, grouping)
    if grouping in tail or "_" in text or (grouping in head and not has_groups):
        raise ValueError(cell)
    value = float(text.replace(grouping, "").replace(decimal, "."))
    if not np.isfinite(value):
        raise ValueError(cell)
    return value * scale


def _has_whole_groups(head: str, sign: str) -> bool:
    """Whether the signs before the decimals group digits; Indian lakhs (2 digits) count."""
    first, *middle, last = head.lstrip("+-").split(sign)
    return 1 <= len(first) <= 3 and len(last) == 3 and all(len(part) in (2, 3) for part in middle)
