"""Requests whose answers a test scripts, and forecasters that do nothing but step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from kronos.forecasters.base import Forecaster, Pending
from kronos.serving.requests import ModelRequest


@dataclass(frozen=True)
class Scripted(ModelRequest):
    """A request that prepares what a function says."""

    model: str
    begin: Callable[[Any], Pending[Any]]
    revision: str = ""
    key: str = field(default_factory=lambda: uuid4().hex)

    @property
    def digest(self) -> str:
        return self.key

    def prepare(self, forecaster: Forecaster) -> Pending[Any]:
        return self.begin(forecaster)


def named(key: str, request: Scripted) -> Scripted:
    """The request under a digest of the test's choice."""
    return replace(request, key=key)


def nothing(model: str) -> Scripted:
    """A request that needs its model loaded and answers None."""
    return Scripted(model, lambda _: Pending([], lambda: None))


class Stepping(Forecaster):
    """A loaded model of which a test needs the decoder alone."""

    name, revision = "stepping", ""

    @property
    def facts(self):
        raise NotImplementedError

    def prepare(self, request):
        raise NotImplementedError

    def prepare_samples(self, contexts, futures, sampling, *, events=None):
        raise NotImplementedError
