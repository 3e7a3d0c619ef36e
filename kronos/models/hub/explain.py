"""The hub client's errors as CheckpointUnavailable, each saying what to do."""

from __future__ import annotations

import errno

from kronos.errors import CheckpointUnavailable
from kronos.models.hub.repository import Repository
from kronos.models.hub.settings import DEFAULT_ENDPOINT, cache_folder, endpoint

__all__ = ["disk_full", "explain", "not_a_hub", "offline", "unreachable"]


def _way_out() -> str:
    return (
        'The model "bundled" needs no network. For this one check the network and proxy, set '
        'HF_ENDPOINT to a mirror, or run "kronos models download" on a connected machine and copy '
        f"its hub cache to {cache_folder()}."
    )


def unreachable(repo: Repository, reason: str) -> CheckpointUnavailable:
    """The hub gave no answer."""
    return CheckpointUnavailable(
        f"{repo.repo_id} is not on this machine and {endpoint()} cannot be reached: {reason}. "
        f"{_way_out()}"
    )


def offline(repo: Repository) -> CheckpointUnavailable:
    """Requests are forbidden and the cache lacks the files."""
    return CheckpointUnavailable(
        f"{repo.repo_id} at {repo.revision[:8]} is not in {cache_folder()} and HF_HUB_OFFLINE "
        'forbids asking the hub. Unset HF_HUB_OFFLINE, or use the model "bundled".'
    )


def not_a_hub(repo: Repository, found: str) -> CheckpointUnavailable:
    """Something answered, but not in the hub's protocol."""
    return CheckpointUnavailable(
        f"{endpoint()} answered for {repo.repo_id}, but {found}. That is a login page, a proxy or "
        "a mirror that is no faithful copy of the hub. Check HF_ENDPOINT and the proxy settings, "
        'or use the model "bundled".'
    )


def disk_full(repo: Repository, needed: int, free: int) -> CheckpointUnavailable:
    """There is no room for the download."""
    return CheckpointUnavailable(
        f"{repo.repo_id} needs {needed / 1e6:,.0f} MB in {cache_folder()}, where "
        f"{free / 1e6:,.0f} MB are free. Free some space, or point HF_HUB_CACHE elsewhere."
    )


def explain(error: BaseException, repo: Repository) -> CheckpointUnavailable:
    """Puts an error of the client, of its transport or of the disk into plain words.

    Args:
        error: What was raised while asking for or downloading a file of `repo`.

    Returns:
        The error to raise `from` the original one.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return explain(error.__cause__, repo)
    if isinstance(error, HfHubHTTPError):
        return _refused(error.response.status_code, error, repo)
    if isinstance(error, httpx2.TimeoutException):
        return unreachable(repo, "it did not answer in time")
    if isinstance(error, httpx2.HTTPError):
        return unreachable(repo, str(error) or type(error).__name__)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return CheckpointUnavailable(
            f"The disk filled up while {repo.repo_id} was written to {cache_folder()}. "
            "Free some space, or point HF_HUB_CACHE elsewhere."
        )
    if isinstance(error, OSError) and error.errno is not None:
        return CheckpointUnavailable(
            f"{repo.repo_id} cannot be written to {cache_folder()}: {error.strerror}. Make that "
            "folder writable, or point HF_HUB_CACHE to one that is."
        )
    return unreachable(repo, str(error).strip().split("\n")[0] or type(error).__name__)


def _refused(status: int, error: BaseException, repo: Repository) -> CheckpointUnavailable:
    from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError

    at = endpoint()
    mirror = "" if at == DEFAULT_ENDPOINT else " The mirror in HF_ENDPOINT may lack it."
    if isinstance(error, RevisionNotFoundError):
        text = (
            f"{at} has {repo.repo_id} but not its revision {repo.revision}, the one this version "
            f"is tested with.{mirror} Unset HF_ENDPOINT, or update this package."
        )
    elif isinstance(error, RemoteEntryNotFoundError):
        text = (
            f"{at} has {repo.repo_id} at {repo.revision[:8]} but not the file that is needed."
            f"{mirror} Unset HF_ENDPOINT, or update this package."
        )
    elif status in {401, 403}:
        text = (
            f"{at} refused access to {repo.repo_id} (HTTP {status}). The repository is public, so "
            "a wrong HF_TOKEN or a mirror that wants a login is the likely cause: unset or "
            "correct HF_TOKEN, or check HF_ENDPOINT."
        )
    elif status == 404:
        text = (
            f"{at} has no repository {repo.repo_id} (HTTP 404).{mirror} Check HF_ENDPOINT, or use "
            "the model `bundled`."
        )
    elif status == 429:
        text = (
            f"{at} limits the rate of requests (HTTP 429) and did not relent. Wait some minutes "
            'and try again, or use the model "bundled".'
        )
    else:
        text = (
            f"{at} failed with HTTP {status} for {repo.repo_id}. Try again later, set HF_ENDPOINT "
            'to a mirror, or use the model "bundled".'
        )
    return CheckpointUnavailable(text)
