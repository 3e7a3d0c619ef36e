"""The registry of sources under its earlier name, for programs that import it from here."""

from data_sources.registry import exchange_titles, open_source, register_source, source_titles

__all__ = ["exchange_titles", "open_source", "register_source", "source_titles"]
