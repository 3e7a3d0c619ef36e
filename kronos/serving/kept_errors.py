"""Errors that outlive the call that raised them, and are raised again in other threads."""

from __future__ import annotations

import contextlib
import copy
import traceback


def release_frames(error: BaseException) -> None:
    """Turn the traceback of an error, and those of its causes, into a note of text.

    A traceback keeps its frames, each frame keeps the one that called it, and all of them keep
    what their variables name, tensors above all.
    """
    if error.__traceback__ is not None:
        error.add_note("Raised in the worker:\n" + "".join(traceback.format_exception(error)))
    pending: list[BaseException | None] = [error]
    known: set[int] = set()
    while pending:
        found = pending.pop()
        if found is None or id(found) in known:
            continue
        known.add(id(found))
        # Frames that caught an error and named it form a cycle with it, which clearing breaks.
        traceback.clear_frames(found.__traceback__)
        found.__traceback__ = None
        pending += [found.__cause__, found.__context__]


def raisable(error: Exception) -> Exception:
    """A copy of a kept error for one caller.

    Raising writes into the error, so one that several threads raised would collect the frames of
    all of them. An error that cannot be copied is given as it is.
    """
    twin = error
    # The constructor of an error may ask for more than its args: nothing says which way it fails.
    with contextlib.suppress(Exception):
        twin = copy.copy(error)
    if twin is error or type(twin) is not type(error):
        return error
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    twin.__suppress_context__ = error.__suppress_context__
    return twin
