"""Packages that an installation may lack: imported on first use, named by the error otherwise."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from kronos.errors import MissingExtra

__all__ = ["require", "require_installed"]


def require(module: str, extra: str, what: str) -> ModuleType:
    """Import a package of an optional extra.

    Args:
        module: Name of the module, such as "matplotlib".
        extra: The extra of this project that installs it, such as "plot".
        what: What needs it, as the beginning of a sentence.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        # A package that is there and lacks a part of its own is another fault.
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise _missing(module, extra, what) from error


def require_installed(module: str, extra: str, what: str) -> None:
    """Check that a package of an optional extra is there, without an import; see `require`."""
    if find_spec(module) is None:
        raise _missing(module, extra, what)


def _missing(module: str, extra: str, what: str) -> MissingExtra:
    return MissingExtra(
        f"{what} needs the package {module}, which is not installed. Install it with "
        f"pip install 'kronos-fan[{extra}]', then start again."
    )
