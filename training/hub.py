"""What publishing and deploying ask of the Hub: a repository, one commit, and plain refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from httpx2 import HTTPError  # what its clients raise: it comes with huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from training.stage import StageError

Kind = Literal["model", "space"]
KEPT = frozenset({".gitattributes"})  # the Hub's own
NEW_PAGE = {"model": "new", "space": "new-space"}


class RefusedError(StageError):
    """The Hub refused, or could not be reached; the message says what to do."""


def find_or_create(hub: HfApi, id: str, kind: Kind) -> str:
    """Return the commit that main is at; create the repository where there is none."""
    try:
        return str(hub.repo_info(id, repo_type=kind).sha)
    except RepositoryNotFoundError:
        hub.create_repo(id, repo_type=kind, space_sdk="gradio" if kind == "space" else None)
        return str(hub.repo_info(id, repo_type=kind).sha)


def commit_folder(hub: HfApi, id: str, kind: Kind, folder: Path, head: str, message: str) -> str:
    """Make a folder the repository's whole content in one commit on `head`.

    Args:
        hub: With the right to write.
        id: The repository, "name/repository".
        kind: What it is.
        folder: Its files; hidden ones stay here.
        head: The commit that main is at; the Hub refuses if that has changed.
        message: Its first line is the title.

    Returns:
        The new commit; `head` where nothing differs.
    """
    files = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }
    gone = set(hub.list_repo_files(id, revision=head, repo_type=kind)) - files.keys() - KEPT
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(path, str(file)) for path, file in files.items()),
        *(CommitOperationDelete(path) for path in sorted(gone)),
    ]
    title, _, description = message.partition("\n")
    made = hub.create_commit(
        id,
        operations,
        commit_message=title,
        commit_description=description.strip(),
        parent_commit=head,
        repo_type=kind,
    )
    return str(made.oid)


@contextmanager
def explained(id: str, kind: Kind = "model") -> Iterator[None]:
    """Turn the Hub's refusals into one sentence that says what to do.

    Raises:
        RefusedError: In the place of the client's errors.
    """
    page = f"{constants.ENDPOINT}/{'spaces/' if kind == 'space' else ''}{id}"
    by_hand = f"{constants.ENDPOINT}/{NEW_PAGE[kind]}"
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = {
            401: f"Set HF_TOKEN to a token that may write it, or, if there is no {kind} {id} yet, "
            f"create it by hand at {by_hand}: a token for one repository cannot",
            402: "A Gradio Space on this hardware needs a PRO account; create one on ZeroGPU, "
            f"which is free, by hand at {by_hand}",
            403: "The token may not write it: give the token this repository, or take another",
            404: f"There is no such {kind}: create it by hand at {by_hand}",
            412: "Someone else changed it at the same moment, and nothing was done: run it again",
        }.get(status, "Run it again: it goes on where it stopped")
        raise RefusedError(f"{page} refused (HTTP {status}). {advice}.") from error
    except (HTTPError, OSError) as error:
        raise RefusedError(
            f"{page} could not be reached ({type(error).__name__}). "
            "Check the connection and run it again: it goes on where it stopped."
        ) from error
