"""What the workers do for a page: fetch, check, test or delete a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kronos import models
from kronos.serving.jobs import JobControl, Work

if TYPE_CHECKING:
    from kronos.self_test import SelfTest
    from kronos.serving.service import ForecastService


def work_key(action: str, model: str) -> str:
    """Key of work on a model; pages that need the same work share it."""
    return f"{action} {model}"


def download_work(model: str) -> Work:
    """The work that brings a published model onto this machine."""

    def work(control: JobControl) -> None:
        control.stage("Downloading")
        models.download(model, progress=control.progress)

    return work


def verify_work(model: str) -> Work:
    """The work that hashes every file of a model."""

    def work(control: JobControl) -> None:
        control.stage("Hashing every file")
        models.verify(model)

    return work


def delete_work(model: str) -> Work:
    """The work that deletes a downloaded model; returns the bytes freed."""

    def work(control: JobControl) -> int:
        control.stage("Deleting")
        return models.delete(model)

    return work


def self_test_work(model: str, service: Callable[[], ForecastService]) -> Work:
    """The work that tests a model by way of the service, which is started only then."""

    def work(control: JobControl) -> SelfTest:
        from kronos.self_test import TITLES, run_self_test

        control.stage("Testing")
        return run_self_test(
            service(), model, watch=lambda n_done: control.progress(n_done, len(TITLES))
        )

    return work
