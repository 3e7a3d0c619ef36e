"""Reads the workbooks that pages write."""

from __future__ import annotations

import io

import python_calamine as calamine

Cells = list[list[object]]


def sheets(data: bytes) -> dict[str, Cells]:
    """The cells of a workbook by sheet, in the order of the sheets."""
    opened = calamine.load_workbook(io.BytesIO(data))
    return {name: opened.get_sheet_by_name(name).to_python() for name in opened.sheet_names}


def settings(data: bytes) -> dict[object, object]:
    """The second sheet."""
    name, cells = list(sheets(data).items())[1]
    assert (name, cells[0]) == ("Settings", ["Setting", "Value"])
    return {row[0]: row[1] for row in cells[1:]}
