"""Several uploaded files of candles at once, as entries of a watchlist."""

from __future__ import annotations

import hashlib

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from kronos.errors import InvalidRequest
from pages.ui.watchlist.request import Entry
from pages.ui.watchlist.symbols import MAX_SYMBOLS

MAX_FILE_MB = 5
MAX_ALL_MB = 20


def choose_files() -> list[tuple[Entry, bytes]]:
    """The uploader; an entry and the bytes for every file.

    Raises:
        InvalidRequest: There are too many, or they are too large together.
    """
    files = st.file_uploader(
        "CSV files of candles",
        type=["csv", "txt", "tsv"],
        accept_multiple_files=True,
        key="watch_files",
        max_upload_size=MAX_FILE_MB,
        help="Each file is a line of its own. The files stay in this session and are no part of "
        "the link.",
    )
    n_bytes = sum(file.size for file in files)
    if n_bytes > MAX_ALL_MB * 1_000_000:
        raise InvalidRequest(
            f"The files have {n_bytes / 1e6:,.1f} MB together; at most {MAX_ALL_MB} MB are read. "
            "Remove some."
        )
    if len(files) > MAX_SYMBOLS:
        raise InvalidRequest(
            f"{len(files):,} files were given; at most {MAX_SYMBOLS} are read. Remove some."
        )
    known: dict[str, str] = st.session_state.setdefault("watch_digests", {})
    return [
        (Entry(file.name[:120], digest=_digest(file, known)), file.getvalue()) for file in files
    ]


def _digest(file: UploadedFile, known: dict[str, str]) -> str:
    """SHA-256 of a file's bytes, computed once for every upload."""
    if file.file_id not in known:
        known[file.file_id] = hashlib.sha256(file.getbuffer()).hexdigest()
    return known[file.file_id]
