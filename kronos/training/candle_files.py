"""Reading a folder of candle files: which there are, what is known of them, and their bars."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.errors import InvalidCandles, InvalidRequest
from kronos.forecast import COLUMNS

__all__ = ["FileFacts", "clean_bars", "list_files", "read_bars"]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of one file of candles; "" where nothing is.

    Attributes:
        file: Path below the folder; of a Qlib folder, the instrument.
        interval: Width of a bar.
        group: Sampling cell, such as "crypto/1h"; what stands before the stroke is the class.
        family: Instruments of one family move together.
        clock: Zone of naive times.
        zone: The exchange's own zone.
        ticker: Of the instrument, where the name of the file does not say it.
    """

    file: str
    interval: str = ""
    group: str = ""
    family: str = ""
    clock: str = ""
    zone: str = ""
    ticker: str = ""

    @property
    def symbol(self) -> str:
        """Ticker, as given or as far as the name of the file says it."""
        return self.ticker or Path(self.file).name.partition(".")[0]


def list_files(folder: Path, manifest: str | Path | None) -> list[FileFacts]:
    """The files of a folder, or those of its manifest.

    Raises:
        InvalidRequest: The manifest cannot be read or names no files.
    """
    if manifest is None:
        files = sorted(p for p in folder.rglob("*") if p.suffix in {".csv", ".parquet"})
        return [FileFacts(str(p.relative_to(folder)), family=p.stem) for p in files]
    path = Path(manifest)
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as exc:
        raise InvalidRequest(f"The manifest {path} cannot be read: {exc}.") from exc
    if "file" not in table.columns:
        raise InvalidRequest(f"{path} has no column 'file'; found {list(table.columns)[:12]}.")
    names = [field.name for field in fields(FileFacts)]
    table = table.reindex(columns=names).astype(object).fillna("").astype(str)
    table["family"] = table["family"].where(table["family"] != "", table["file"])
    rows = table.sort_values("file").to_dict("records")
    return [FileFacts(**{str(key): str(value) for key, value in row.items()}) for row in rows]


def read_bars(path: Path) -> pd.DataFrame:
    """Bars of one CSV or parquet file, as from `clean_bars`.

    Raises:
        InvalidCandles: It cannot be read as candles; the message names it.
    """
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        frame = frame.rename(columns=lambda name: str(name).strip().lower())
        frame = frame.rename(columns=dict.fromkeys(("timestamps", "date", "datetime"), "timestamp"))
        missing = [c for c in ("timestamp", *COLUMNS[:4]) if c not in frame.columns]
        if missing:
            raise InvalidCandles(f"{path} lacks the columns {missing}; found {[*frame.columns]}.")
        if pd.api.types.is_numeric_dtype(frame["timestamp"]):
            raise InvalidCandles(f"{path} has numbers for times; write dates and times instead.")
        frame = frame.assign(timestamp=pd.to_datetime(frame["timestamp"]))
        frame[list(COLUMNS[:4])] = frame[list(COLUMNS[:4])].astype(float)
    except InvalidCandles:
        raise
    except (OSError, TypeError, ValueError) as exc:
        raise InvalidCandles(f"{path} cannot be read as candles: {exc}") from exc
    return clean_bars(frame)


def clean_bars(frame: pd.DataFrame) -> pd.DataFrame:
    """Bars in order, each time once, with prices above 0: columns timestamp and the six.

    A missing volume is 0; a missing amount is volume times the mean of the four prices.
    """
    frame = frame.sort_values("timestamp").drop_duplicates("timestamp", keep="last")
    frame = frame.reindex(columns=["timestamp", *COLUMNS]).dropna(subset=list(COLUMNS[:4]))
    prices = frame[list(COLUMNS[:4])]
    frame = frame[((prices > 0) & np.isfinite(prices)).all(axis=1)]
    frame["volume"] = frame["volume"].astype(float).fillna(0.0).clip(lower=0.0)
    typical = frame[list(COLUMNS[:4])].astype(float).mean(axis=1)
    frame["amount"] = frame["amount"].astype(float).fillna(frame["volume"] * typical)
    return frame
