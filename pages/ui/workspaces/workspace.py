"""What a workspace is: addresses of pages and the visitor's own events, checked and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kronos.errors import InvalidRequest
from kronos.system import parse_json, shown
from pages.ui.frame.parameters import find, is_readable

__all__ = ["MAX_BYTES", "MAX_EVENTS", "MAX_NAME", "Workspace", "read_fields", "read_file"]

MAX_NAME = 40
MAX_EVENTS = 200_000
"""Characters of the table of own events, some 2,000 rows."""
MAX_BYTES = 1_000_000
"""Of a file."""
_MOST_PARAMETERS = 200  # of a page
_FORMAT, _VERSION = "kronos-fan workspace", 1


@dataclass(frozen=True, slots=True)
class Workspace:
    """Pages with their settings, and own events.

    Attributes:
        pages: Parameters of the link by page; a page is known by its address.
        page: The page that it opens with.
        events: Own events as a CSV table; "" for none.
    """

    pages: dict[str, dict[str, str]]
    page: str
    events: str = ""

    def fields(self) -> dict[str, Any]:
        """As data, for the storage of the browser."""
        return {
            "version": _VERSION, "pages": self.pages, "page": self.page, "events": self.events,
        }  # fmt: skip

    def file(self, name: str) -> bytes:
        """As a file."""
        text = json.dumps({"format": _FORMAT, "name": name, **self.fields()}, indent=1)
        return f"{text}\n".encode()


def read_file(content: bytes, addresses: frozenset[str]) -> tuple[str, Workspace, list[str]]:
    """A workspace from a file.

    Args:
        content: Its bytes.
        addresses: Addresses of the pages there are.

    Returns:
        The name, the workspace, and what of it this version does not know and leaves out.

    Raises:
        InvalidRequest: It is no file of a workspace, or of a later version.
    """
    if len(content) > MAX_BYTES:
        raise InvalidRequest(
            f"The file has {len(content):,} bytes; a workspace has at most {MAX_BYTES:,}."
        )
    try:
        fields = parse_json(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            "The file is not JSON. Workspaces are exported from this list, as files that end in "
            ".json."
        ) from error
    if not isinstance(fields, dict) or fields.get("format") != _FORMAT:
        raise InvalidRequest("The file holds no workspace. Export one from this list.")
    name = fields.get("name")
    name = " ".join(name.split()) if isinstance(name, str) else ""
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidRequest(
            f"The name of the workspace must have 1 to {MAX_NAME} characters, found {shown(name)}."
        )
    workspace, unknown = read_fields(fields, addresses)
    return name, workspace, unknown


def read_fields(fields: object, addresses: frozenset[str]) -> tuple[Workspace, list[str]]:
    """A workspace from data, and what of it is left out.

    Raises:
        InvalidRequest: It is none, or of a later version.
    """
    if not isinstance(fields, dict):
        raise InvalidRequest("The workspace is damaged: it has no fields.")
    version = fields.get("version")
    if version != _VERSION:
        raise InvalidRequest(
            f"The workspace is of version {shown(version)}; this program reads version {_VERSION}. "
            "Update the program."
        )
    pages, events = fields.get("pages"), fields.get("events", "")
    if not isinstance(pages, dict) or not isinstance(events, str) or len(events) > MAX_EVENTS:
        raise InvalidRequest("The workspace is damaged: its pages or events cannot be read.")
    found: dict[str, dict[str, str]] = {}
    unknown: list[str] = []
    for address, query in list(pages.items())[: len(addresses)]:
        if address in addresses and isinstance(query, dict):
            found[address] = _parameters(address, query, unknown)
        else:
            unknown.append(f"page {address}")
    if not found:
        raise InvalidRequest("The workspace has no page that this program knows.")
    page = fields.get("page")
    if not isinstance(page, str) or page not in found:
        page = next(iter(found))
    return Workspace(found, page, events), unknown


def _parameters(address: str, query: Mapping[str, object], unknown: list[str]) -> dict[str, str]:
    """The parameters that the page can read."""
    kept = {}
    for name, text in list(query.items())[:_MOST_PARAMETERS]:
        parameter = find(name)
        is_known = parameter is not None and address in parameter.pages
        if is_known and isinstance(text, str) and is_readable(name, text):
            kept[name] = text
        else:
            unknown.append(f"{name[:40]} of {address.replace('_', ' ')}")
    return kept
