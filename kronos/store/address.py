"""The address of a store without its secrets: the scheme, the host and the database alone.

Everything else of an address may be a secret: user, password, and parameters such as password,
sslpassword, passfile and options. Imports no database library.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, quote_plus, unquote

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["bare", "may_quote_a_secret", "require_unambiguous", "shown", "without_addresses"]

HARMLESS = frozenset({
    "application_name", "client_encoding", "connect_timeout", "dbname", "gssencmode", "host",
    "hostaddr", "keepalives", "port", "sslmode", "sslnegotiation", "target_session_attrs",
})  # fmt: skip
"""Parameters whose values a message of a driver may repeat. The address does not show them."""
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?=.*[@?]).*", re.DOTALL)
_CONNECTION_TEXT = re.compile(r"\b(?:(?:ssl)?password|passwd|user|host|dbname)\s*=", re.IGNORECASE)
# user:password@, but no drive letter and no colon in the name of a file within a folder.
_LOGIN = re.compile(r"(?![A-Za-z]:[/\\])[^/\\:]+:.*@", re.DOTALL)


def shown(url: URL) -> str:
    """An address for printing: a file's path, or scheme, host and database."""
    scheme = url.get_backend_name()
    if scheme == "sqlite":
        return str(url.database)
    host = url.host or ""
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}/{url.database}" if url.database else f"{scheme}://{host}"


def bare(url: URL) -> URL:
    """The URL without user, password and parameters, whose text and `repr` may be shown."""
    from sqlalchemy import URL

    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database)


def require_unambiguous(text: str, url: URL | None = None) -> None:
    """Refuse an address of which a part of a password could be taken for something else.

    Args:
        text: The address as it was given.
        url: What was read of it; None for a text without "://", which names a file.

    Raises:
        ValueError: It is ambiguous. The error does not repeat the text.
    """
    if url is None:
        # A file of this name would be made, and its path be shown.
        if _CONNECTION_TEXT.search(text) or _LOGIN.match(text):
            raise ValueError("an address without ://")
        return
    # A character of a password that is not percent-encoded ends the password too early.
    found = f"{url.host or ''}{url.database or ''}"
    if "@" in found or _CONNECTION_TEXT.search(found) or "\0" in unquote(text):
        raise ValueError("a character that is not percent-encoded")
    if "?" in text:
        parse_qsl(text.partition("?")[2], strict_parsing=True, keep_blank_values=True)


def may_quote_a_secret(url: URL, text: str) -> bool:
    """Whether a driver's message may repeat a secret of an address.

    A parameter may be quoted in part, so that no search would find it: with one, every message
    may. A password is searched for in every encoding, and by its letters and digits alone.
    """
    if any(name not in HARMLESS for name in url.query):
        return True
    password = "" if url.password is None else str(url.password)
    if not password:
        return False
    forms = {password, quote(password), quote_plus(password), quote(password, safe="")}
    forms |= {repr(password), repr(password)[1:-1], " ".join(password.split())} - {""}
    is_found = any(form in said for said in (text, unquote(text)) for form in forms)
    letters = _letters(password)
    return is_found or (bool(letters) and letters in _letters(unquote(text)))


def without_addresses(text: str) -> str:
    """A text up to the first address that may hold a secret, and the scheme of that address.

    What follows is left out: a password may contain any character.
    """
    return _URL.sub(r"\1://...", text)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))
