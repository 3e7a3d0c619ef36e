"""What readers of users' files do with a cell is bounded, however the cell is written."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from re import _constants as codes
from re import _parser as parser

import pandas as pd
import pytest

from data_sources.csv.reader import read_csv
from kronos.errors import InvalidCandles, InvalidEvents
from kronos.events import read_events
from tests.source_tree import ROOT, module_name, python_files

READERS = [
    *(module_name(file) for file in python_files("data_sources/csv")),
    "kronos.events.csv_file",
    "kronos.training.files",
    "pages.ui.inputs.instruments",
    "pages.ui.watchlist.saved",
]
WIDE = 16
"""A repeat of more is no neighbour of another such repeat."""


def repeats(tree: parser.SubPattern) -> Iterator[tuple[int, bool]]:
    """(most repetitions, whether it repeats something that itself repeats) of every repeat."""
    for operation, given in tree:
        if operation in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            _, most, inner = given
            yield int(most), any(True for _ in repeats(inner))
            yield from repeats(inner)
        elif operation is codes.SUBPATTERN:
            yield from repeats(given[-1])
        elif operation is codes.BRANCH:
            for branch in given[1]:
                yield from repeats(branch)
        elif operation in (codes.ASSERT, codes.ASSERT_NOT):
            yield from repeats(given[1])


def has_wide_neighbours(tree: parser.SubPattern) -> bool:
    """Whether two wide repeats stand next to each other."""
    is_wide = [
        operation in (codes.MAX_REPEAT, codes.MIN_REPEAT) and int(given[1]) > WIDE
        for operation, given in tree
    ]
    return any(a and b for a, b in pairwise(is_wide))


def is_bounded(pattern: str) -> bool:
    """Whether a pattern repeats without a bound only as a whole, such as `[a-z]+`."""
    tree = parser.parse(pattern)
    if has_wide_neighbours(tree):
        return False
    found = list(repeats(tree))
    if len(found) == 1 and len(tree) == 1 and not found[0][1]:
        return True
    return all(most < int(codes.MAXREPEAT) and most <= 100 for most, _ in found)


def patterns(name: str) -> list[re.Pattern[str]]:
    values = list(vars(importlib.import_module(name)).values())
    values += [inner for value in values if isinstance(value, dict) for inner in value.values()]
    return [value for value in values if isinstance(value, re.Pattern)]


@pytest.mark.parametrize("name", READERS)
def test_no_pattern_for_users_files_repeats_without_a_bound(name):
    broken = [found.pattern for found in patterns(name) if not is_bounded(found.pattern)]
    assert not broken


@pytest.mark.parametrize("name", READERS)
def test_every_pattern_for_users_files_is_compiled_where_the_test_finds_it(name):
    tree = ast.parse(inspect.getsource(importlib.import_module(name)))
    calls = [
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
    ]
    in_functions = [
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "compile"
    ]
    assert set(calls) <= {"compile"}
    assert not in_functions


def test_the_law_finds_the_patterns_that_froze_a_server():
    assert not is_bounded(r"[(\[].*?[)\]]")
    assert not is_bounded(r"\d:\d\s*(?:am)?\s*(?:Z)?$")
    assert not is_bounded(r"a(?:[T\s]+\d\s*)?\s*$")
    assert not is_bounded(r" {0,64}x{0,64}")
    assert is_bounded(r"[_\s]+")
    assert sum(len(patterns(name)) for name in READERS) > 20
    assert ROOT.is_dir()


HEADER = "time,open,high,low,close,volume"
ROWS = [f"{day:%Y-%m-%d} 00:00,1,2,0.5,1.5,10" for day in pd.date_range("2024-01-01", periods=40)]


def table(header: str = HEADER, first: str = ROWS[0]) -> bytes:
    return "\n".join([header, first, *ROWS[1:]]).encode()


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (table(f"{HEADER},{'(' * 32_000}"), "Line 1, header of column 7"),
        (table(f"time,open{'(' * 101},high,low,close"), "Line 1, header of column 2"),
        (table(first=f"2024-01-01{' ' * 1600}x,1,2,0.5,1.5,10"), "Line 2, column time"),
        (table(first=f"{'1' * 65},1,2,0.5,1.5,10"), "Line 2, column time"),
        (table(first=f"2024-01-01 00:00,1,2,{'0' * 65},1.5,10"), "Line 2, column low"),
        (
            table("date,time,open,high,low,close", f"2024-01-01,15:30{' ' * 8000}x,1,2,.5,1.5"),
            "Line 2, column time|Line 2, time of day",
        ),
    ],
)
def test_a_cell_that_is_too_long_is_refused_with_line_and_column(data, where):
    with pytest.raises(InvalidCandles, match=f"(?:{where}).*the cell has"):
        read_csv(data, "hostile.csv")


@pytest.mark.parametrize("column", ["time", "actual"])
def test_a_figure_of_an_event_that_is_too_long_is_refused(column):
    row = {"kind": "cpi", "region": "US", "time": "2024-01-31", "actual": "1"}
    row[column] += " " * 400 + "x"
    data = ",".join(row) + "\n" + ",".join(row.values())
    with pytest.raises(InvalidEvents, match=f"line 2, column {column}: the cell has"):
        read_events(data.encode(), "events.csv")


def test_blanks_in_a_date_count_once():
    spaced = table().replace(b" 00:00", b"   00:00")
    read, usual = (read_csv(data, "x.csv") for data in (spaced, table()))
    assert read.candles.frame.equals(usual.candles.frame)


def test_a_separator_of_files_beside_a_number_is_a_blank():
    odd = table(first=ROWS[0].replace(",2,", ",\x1c2,"))
    assert read_csv(odd, "x.csv").candles.frame.equals(read_csv(table(), "x.csv").candles.frame)
