"""The import path of scripts that earlier versions offered; see `data_sources.csv.reader`."""

from data_sources.csv.reader import CsvChoices, CsvReading, read_csv

__all__ = ["CsvChoices", "CsvReading", "read_csv"]
