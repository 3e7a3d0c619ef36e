"""Adapters of this user, by name: one file each in the folder of the user's data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from kronos.errors import InvalidRequest
from kronos.models.adapters.adapter import read_facts
from kronos.system import atomic_write, user_data

__all__ = [
    "adapter_path",
    "adapters_folder",
    "check_name",
    "delete_adapter",
    "install_adapter",
    "installed",
    "rolling_folder",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ENDING = ".safetensors"


def adapters_folder() -> Path:
    """Folder of the installed adapters; it need not exist."""
    return _data() / "adapters"


def rolling_folder(name: str) -> Path:
    """Folder of what stands behind an adapter that is trained again and again."""
    return _data() / "rolling" / check_name(name)


def check_name(name: str) -> str:
    """A name for an adapter.

    Raises:
        InvalidRequest: It has other characters than a file name may have everywhere.
    """
    if not _NAME.fullmatch(name) or name.endswith((".", _ENDING)):
        raise InvalidRequest(
            f"{name!r:.80} cannot be the name of an adapter: give 1 to 63 lower-case letters, "
            "digits, dots, hyphens or underscores, beginning with a letter or digit."
        )
    return name


def adapter_path(name: str) -> Path | None:
    """The file of an installed adapter, or None where there is none of that name, in any case."""
    short = name.strip().casefold()
    if not _NAME.fullmatch(short):
        return None
    path = adapters_folder() / f"{short}{_ENDING}"
    return path if path.is_file() else None


def installed() -> dict[str, Path]:
    """Files of the installed adapters by name, in order."""
    found = sorted(adapters_folder().glob(f"*{_ENDING}"))
    return {path.name.removesuffix(_ENDING): path for path in found}


def install_adapter(file: Path, name: str) -> Path:
    """Copies an adapter to where it is found by name, in the place of an earlier one.

    Raises:
        InvalidRequest: The name cannot be one.
        CheckpointInvalid: The file is no adapter.
    """
    read_facts(file)
    target = adapters_folder() / f"{check_name(name)}{_ENDING}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target, flush=True) as partial:
        shutil.copyfile(file, partial)
    return target


def delete_adapter(name: str) -> int:
    """Deletes an installed adapter; returns the bytes freed, 0 where there was none."""
    path = adapter_path(name)
    if path is None:
        return 0
    freed = path.stat().st_size
    path.unlink()
    return freed


def _data() -> Path:
    return user_data()
