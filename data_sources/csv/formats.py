"""A file of candles as lines of text, whatever its format: CSV, Parquet, Feather, Excel.

The contents decide, not the name. Tables with types become lines of tab-separated cells, so that
one reader judges the header, times, numbers and rows of all formats.
"""

from __future__ import annotations

from data_sources.csv.text import Text, decode, require_size

__all__ = ["FILE_TYPES", "read_text"]

FILE_TYPES = ("csv", "xlsx", "parquet", "feather", "txt", "tsv")
"""Endings of the files that are read."""
_ARROW = {b"PAR1": "parquet", b"ARROW1": "feather", b"FEA1": "feather"}
_EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_TEXTS = ("csv", "txt", "tsv", "dat")


def read_text(data: bytes, file_name: str) -> Text:
    """Lines of a file of any of the formats.

    Args:
        data: The file.
        file_name: Its name, for messages.

    Raises:
        InvalidCandles: It is empty, larger than the bounds, damaged, or of another format.
    """
    require_size(data, file_name)
    # Loaded only for such a file, as most are CSV.
    if arrow := next((kind for mark, kind in _ARROW.items() if data.startswith(mark)), None):
        from data_sources.csv.columnar import read_feather, read_parquet

        text = (read_parquet if arrow == "parquet" else read_feather)(data, file_name)
    elif data.startswith(_EXCEL):
        from data_sources.csv.workbook import read_workbook

        text = read_workbook(data, file_name)
    else:
        text = decode(data, file_name)
    ending = file_name.rpartition(".")[2].lower() if "." in file_name else ""
    is_text = not text.kind
    if ending in (*_TEXTS, *FILE_TYPES) and is_text != (ending in _TEXTS):
        found = "text" if is_text else f"{text.kind}"
        text.notes.append(f"the name ends in .{ending}, but the contents are {found}, read as such")
    return text
