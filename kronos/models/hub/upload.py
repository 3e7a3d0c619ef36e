"""A checkpoint folder uploaded as one commit of a repository.

Nobody but its user asks for an upload, so the client does it as it does for any program: with the
login on this machine, and the protocol that the hub prefers.
"""

from __future__ import annotations

from pathlib import Path

from kronos.errors import CheckpointUnavailable
from kronos.models.hub.client import endpoint

__all__ = ["upload"]


def upload(
    folder: Path,
    repo_id: str,
    *,
    revision: str | None,
    private: bool | None,
    token: str | None,
    commit_message: str,
) -> str:
    """Upload the files of a folder; arguments and errors as of `Kronos.push_to_hub`.

    Returns:
        The commit, 40 hexadecimal digits.
    """
    import httpx2
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint(), token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=commit_message,
        )
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise CheckpointUnavailable(
            f"The checkpoint cannot be uploaded to {repo_id!r:.200} at {endpoint()}: "
            f"{str(error).strip() or type(error).__name__}. Log in with `hf auth login`, or set "
            "HF_TOKEN to a token that may write there."
        ) from error
    return str(commit.oid)
