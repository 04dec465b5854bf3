"""What publishing and deploying ask of the Hub: a repository, one commit, patience, plain words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from json import JSONDecodeError
from pathlib import Path
from typing import Literal, TypeVar

from httpx2 import Client, HTTPError, Request  # huggingface_hub's own, and what it raises
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    set_client_factory,
    snapshot_download,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OIDCError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from training.stage import StageError

T = TypeVar("T")
Kind = Literal["model", "space"]
KEPT = frozenset({".gitattributes"})  # the Hub's own
OURS = {"model": "metrics.json", "space": "release.json"}  # in all that a release has filled
NEW_PAGE = {"model": "new", "space": "new-space"}
ANSWER_SECONDS = 60.0  # for any answer, or the next part of it
RETRIED = frozenset({0, 408, 429, 500, 502, 503, 504})  # 0: nothing answered
UNANSWERED = (  # the last where a proxy answers in the Hub's place, in HTML
    HTTPError,
    LocalEntryNotFoundError,
    ConnectionError,
    TimeoutError,
    JSONDecodeError,
)
PAUSES, LONGEST_PAUSE = (1.0, 2.0, 4.0, 8.0, 16.0), 300.0  # seconds; the latter if asked for

log = logging.getLogger(__name__)


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

    Raises:
        StageError: If it holds what is not a release's.
        RefusedError: If the Hub finds a mistake in the README's metadata.
    """
    files = {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }
    there = hub.list_repo_files(id, revision=head, repo_type=kind)
    require_ours(there, id, kind)
    gone = set(there) - files.keys() - KEPT
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(path, str(file)) for path, file in files.items()),
        *(CommitOperationDelete(path) for path in sorted(gone)),
    ]
    title, _, description = message.partition("\n")
    try:
        made = hub.create_commit(
            id,
            operations,
            commit_message=title,
            commit_description=description.strip(),
            parent_commit=head,
            repo_type=kind,
        )
    except UNANSWERED:
        raise
    except ValueError as error:  # before anything is sent: as of a README's metadata
        raise RefusedError(f"{id} was not changed: {' '.join(str(error).split())}") from error
    return str(made.oid)


def require_ours(names: Iterable[str], id: str, kind: Kind) -> None:
    """See that a repository's files are a release's, or those of a new one: others would be lost.

    Raises:
        StageError: If there are others.
    """
    others = sorted(set(names) - KEPT - {"README.md"})
    if others and OURS[kind] not in others:
        raise StageError(
            f"The {kind} {id} holds something else, such as {others[0]}, which would be deleted. "
            f"Name another {kind}, or empty this one by hand."
        )


def fetch_folder(id: str, kind: Kind, commit: str, within: str = "") -> Path:
    """Download a repository's files at a commit, all of them or those in a folder.

    Returns:
        Where they lie: what the commit holds there, whatever the Hub failed at meanwhile.

    Raises:
        RefusedError: If they cannot be had.
    """

    def fetch() -> Path:
        names = HfApi().list_repo_files(id, revision=commit, repo_type=kind)
        wanted = [name for name in names if name.startswith(within)]
        folder = Path(
            snapshot_download(id, repo_type=kind, revision=commit, allow_patterns=f"{within}*")
        )
        # Where the Hub fails the library gives what an earlier download has left, if anything.
        if missing := [name for name in wanted if not (folder / name).is_file()]:
            raise LocalEntryNotFoundError(f"{missing[0]} did not come.")
        return folder

    return persist(fetch, id, kind)


def persist(stage: Callable[[], T], id: str, kind: Kind = "model") -> T:
    """Run what may be run again until the Hub takes it, with growing pauses; return its result.

    Args:
        stage: Asks something of the Hub; run again, it goes on from what is there.
        id: The repository this is about, "name/repository".
        kind: What that is.

    Raises:
        RefusedError: If the Hub refuses for good, or still does not answer after all pauses.
    """
    pauses = iter(PAUSES)
    while True:
        try:
            return stage()
        except OIDCError as error:
            raise RefusedError(
                "HF_OIDC_RESOURCE is set, but nothing vouches for this workflow "
                f"({error}). Give the job the permission id-token: write, or unset it."
            ) from error
        except UNANSWERED as error:
            status, asked = look_into(error)
            pause = next(pauses, None)
            if pause is None or status not in RETRIED:
                raise RefusedError(explain(error, status, id, kind)) from error
            log.info("No answer from the Hub (%s): again in %.0f s", status or "none", pause)
            time.sleep(max(pause, min(asked, LONGEST_PAUSE)))


def look_into(error: Exception) -> tuple[int, float]:
    """Return an error's HTTP status, 0 where nothing answered, and the seconds it asks to wait."""
    if isinstance(error, LocalEntryNotFoundError):  # a download's, in the place of the real one
        cause = error.__cause__
        return look_into(cause) if isinstance(cause, Exception) else (0, 0.0)
    if not isinstance(error, HfHubHTTPError):
        return 0, 0.0
    headers = error.response.headers
    asked, limit = headers.get("Retry-After", ""), parse_ratelimit_headers(headers)
    if asked.isdigit():
        return error.response.status_code, float(asked)
    return error.response.status_code, float(limit.reset_in_seconds if limit else 0)


def explain(error: Exception, status: int, id: str, kind: Kind) -> str:
    """Turn a refusal into one sentence that says what to do."""
    page = f"{constants.ENDPOINT}/{'spaces/' if kind == 'space' else ''}{id}"
    by_hand = f"{constants.ENDPOINT}/{NEW_PAGE[kind]}"
    if not status:
        return (
            f"{page} could not be reached ({type(error).__name__}). "
            "Check the connection and run it again: it goes on where it stopped."
        )
    advice = {
        401: f"Set HF_TOKEN to a token that may write it, or, if there is no {kind} {id} yet, "
        f"create it by hand at {by_hand}: a token for one repository cannot",
        402: "A Gradio Space on this hardware needs a PRO account; create one on ZeroGPU, "
        f"which is free, by hand at {by_hand}",
        403: "The token may not write it: give it this repository, or take another; in a workflow, "
        "add that to the repository's Trusted Publishers",
        404: f"There is no such {kind}: create it by hand at {by_hand}",
        412: "Someone else changed it at the same moment, and nothing was done: run it again",
    }.get(status, "Run it again: it goes on where it stopped")
    return f"{page} refused (HTTP {status}). {advice}."


def make_client() -> Client:
    """Make what the Hub's library asks through: as its own, but it does not wait for ever."""
    return Client(follow_redirects=True, timeout=None, event_hooks={"request": [limit_wait]})


def limit_wait(request: Request) -> None:
    """Limit a request that has no limit: for some the library itself asks for none."""
    limits = request.extensions["timeout"]
    request.extensions["timeout"] = {
        what: ANSWER_SECONDS if seconds is None else seconds for what, seconds in limits.items()
    }


set_client_factory(make_client)
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # warns where nothing changed
