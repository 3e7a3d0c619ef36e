"""Who may do what: everybody on a private server, administrators alone on a public one.

A server is public if `KRONOS_PUBLIC` says so, or `public` below `[kronos]` in Streamlit's
secrets.toml. Administrators are named there too and sign in by Streamlit's OIDC, which `[auth]`
configures. Every action that changes what visitors share, or computes for long, calls
`require_administrator` where it begins: a hidden button stops no crafted message.
docs/deployment.md has the table of actions.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from kronos.errors import NotOffered
from kronos.system import user_cache, user_data

VARIABLE = "KRONOS_PUBLIC"
_SECTION = "kronos"
_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_SHARED = {"redirect_uri", "cookie_secret", "expose_tokens", "client_kwargs"}
PATH = "[path]"
"""What visitors of a public server read in the place of a path."""


def public_setting() -> bool | None:
    """Whether the server is public; None where nobody chose.

    What cannot be read, a value or the file, counts as public.
    """
    named: Any = os.environ.get(VARIABLE, "").strip()
    if not named:
        named = "unreadable" if _is_unreadable() else _section(_SECTION).get("public")
    if named is None:
        return None
    return _WORDS.get(str(named).strip().casefold(), True)


def setting(variable: str, name: str) -> Any:
    """A setting of the environment, else of `[kronos]` in secrets.toml; None where neither has it.

    Args:
        variable: Name in the environment.
        name: Name in the file.
    """
    return os.environ.get(variable, "").strip() or _section(_SECTION).get(name)


def is_public() -> bool:
    """Whether visitors are strangers."""
    return public_setting() is True


def may_administer() -> bool:
    """Whether this session may change what all visitors share, and see paths of the server."""
    return not is_public() or is_administrator()


def require_administrator(action: str) -> None:
    """Refuse an action of a visitor of a public server.

    Args:
        action: In the plural, such as "Downloads of models".

    Raises:
        NotOffered: This session may not administer.
    """
    if not may_administer():
        raise NotOffered(not_offered(action))


def not_offered(action: str) -> str:
    """Why an action is missing, in one line."""
    return f"{action} are not offered to visitors of this public server."


def is_administrator() -> bool:
    """Whether this session is signed in as an administrator; False outside of a session.

    The address must be one that the provider has verified: some providers let users name any.
    """
    if get_script_run_ctx(suppress_warning=True) is None or not _section("auth"):
        return False
    user = st.user.to_dict()
    if user.get("is_logged_in") is not True:
        return False
    section = _section(_SECTION)
    known = {name.casefold() for name in _words(section.get("administrators"))}
    email = str(user.get("email") or "").strip().casefold()
    if email and email in known and user.get("email_verified") is True:
        return True
    role = str(section.get("administrator_role") or "")
    claim = str(section.get("role_claim") or "roles")
    return bool(role) and role in _words(user.get(claim))


def show_account() -> None:
    """Sign-in and sign-out, where secrets.toml configures a provider."""
    auth = _section("auth")
    if not auth:
        return
    if st.user.to_dict().get("is_logged_in"):
        user = st.user.to_dict()
        name = str(user.get("email") or user.get("name") or "a user without a name")
        role = ", administrator" if is_administrator() else ""
        st.caption(f"Signed in as {_escaped(name)}{role}.")
        st.button("Sign out", key="sign_out", icon=":material/logout:", on_click=st.logout)
        return
    for provider in _providers(auth):
        label = "Sign in" if provider is None else f"Sign in with {provider}"
        st.button(
            label, key=f"sign_in_{provider or ''}", icon=":material/login:",
            on_click=partial(st.login, provider),
        )  # fmt: skip


def without_paths(text: str) -> str:
    """A text without the paths of this machine, for visitors of a public server."""
    if ("/" not in text and "\\" not in text) or not is_public() or is_administrator():
        return text
    return _paths().sub(PATH, text)


@cache
def _paths() -> re.Pattern[str]:
    """Folders of this machine, which may have spaces in their names; and what looks like a path."""
    known = {
        Path.home(), Path.cwd(), Path(tempfile.gettempdir()), Path(__file__).parents[3],
        user_data(), user_cache(),
    }  # fmt: skip
    folders = sorted((str(path) for path in known if len(path.parts) > 1), key=len, reverse=True)
    tail = r"[^\s'\"`;,()<>|]*"
    forms = [rf"(?:file://)?{re.escape(folder)}(?![\w-]){tail}" for folder in folders]
    forms += [rf"file://{tail}", rf"(?<![\w:/.])~?/[\w.@+~-]+/{tail}", rf"\b[A-Za-z]:\\{tail}"]
    return re.compile("|".join(forms))


def _section(name: str) -> Mapping[str, Any]:
    """A section of secrets.toml; empty without one."""
    if not st.secrets.load_if_toml_exists():
        return {}
    found = st.secrets.get(name)
    return found if isinstance(found, Mapping) else {}


def _is_unreadable() -> bool:
    """Whether there is a secrets.toml that Streamlit cannot read."""
    exists = any(Path(file).is_file() for file in st.get_option("secrets.files"))
    return exists and not st.secrets.load_if_toml_exists()


def _providers(auth: Mapping[str, Any]) -> list[str | None]:
    """Names of the providers; None is the one that `[auth]` itself describes."""
    named = [name for name, value in auth.items() if isinstance(value, Mapping)]
    own: list[str | None] = [None] if "client_id" in auth else []
    return own + [name for name in named if name not in _SHARED]


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        return [value.strip()]
    if isinstance(value, Sequence):
        return [str(each).strip() for each in value]
    return []


def _escaped(text: str) -> str:
    return re.sub(r"([^\w\s])", r"\\\1", text)
