"""An error that is kept: a copy for each who asks, and no frames of the worker."""

from __future__ import annotations

import gc
import weakref

import pytest

from tests.serving.asking import submit


def test_errors_are_raised_to_each_owner_as_a_copy(queue):
    class Picky(Exception):
        def __init__(self, *, detail):
            super().__init__("picky")
            self.detail = detail

    for key, error in (("a", ZeroDivisionError("boom")), ("b", Picky(detail=3))):
        submit(queue, key)
        submit(queue, key, owner="second")
        queue.fail(queue.take(0), error)
        raised = []
        for owner in (f"owner of {key}", "second"):
            with pytest.raises(type(error), match=str(error)) as info:
                queue.result(key, owner=owner)
            raised.append(info.value)
        assert vars(raised[1]) == vars(error)
        # An error that cannot be copied is shared.
        assert (raised[0] is raised[1]) == isinstance(error, Picky)
    assert queue.status("a").error.__traceback__ is None


def test_kept_errors_hold_nothing_their_frames_held(queue):
    class Tensor:
        pass

    def work(tensor):
        try:
            raise KeyError("handled")
        except KeyError as handled:
            cycle = handled
        raise ValueError("boom") from LookupError(str(cycle))

    def step():
        tensor = Tensor()
        try:
            work(tensor)
        except ValueError as error:
            queue.fail(queue.take(0), error)
        return weakref.ref(tensor)

    submit(queue, "a")
    gc.disable()
    try:
        assert step()() is None
    finally:
        gc.enable()
    error = queue.status("a").error
    assert error.__traceback__ is None
    assert isinstance(error.__cause__, LookupError)
    assert "in work" in error.__notes__[0]
