"""The way back: to what the Space served before, or to any release by its version."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, hf_hub_download

from training.card import percent
from training.deploy import DeployError, deploy, deploy_once
from training.hub import fetch_folder, persist
from training.publish import list_versions
from training.stage import PUBLISH_COMMAND, StageError, read_json, write_json
from training.verify import VerifyError, check, read_deployed

PUT_BACK, RETURN = "Put back", "Return to"  # begin such a commit's title: by itself, by hand

log = logging.getLogger(__name__)


@contextmanager
def or_put_back(build: Path, id: str) -> Iterator[None]:
    """Put the Space's commit before back if it does not run, or not as the release did.

    Not where it is to serve another release by now, as after a rollback in the meantime.

    Args:
        build: The build folder; its `published.json` is the release.
        id: The Space.

    Raises:
        DeployError: If it did not run; the message says what it serves now.
        VerifyError: If it answered otherwise; likewise.
    """
    try:
        yield
    except (DeployError, VerifyError) as error:
        log.info("%s", error)
        try:
            release = put_back(id, read_json(build / "published.json", PUBLISH_COMMAND))
        except StageError as second:
            raise type(error)(f"{error} It was not put back: {second}") from error
        now = f"The Space {id} is back on {release['id']} {release['version']}, which answers."
        raise type(error)(f"{error}\n{now}") from error


def put_back(id: str, release: dict[str, str]) -> dict[str, str]:
    """Make the Space what it was before a release, and verify that; return what it serves.

    What was itself put back from is passed over.

    Raises:
        StageError: If it is to serve another release by now, if there was nothing before, or if
            that does not answer as its release did.
    """
    if (now := read_deployed(id)) != release:
        raise StageError(f"{id} is to serve {now['id']} {now['version']} by now.")
    commit = persist(partial(find_before, id), id, "space")
    if commit is None:
        raise StageError(f"The Space {id} has served nothing before.")
    return restore(id, commit, PUT_BACK)


def find_before(id: str) -> str | None:
    """Return the Space's newest commit but one that served a release; None without one."""
    hub = HfApi()
    for newer, older in pairwise(hub.list_repo_commits(id, repo_type="space")):
        files = hub.list_repo_files(id, revision=older.commit_id, repo_type="space")
        if "release.json" in files and not newer.title.startswith(PUT_BACK):
            return older.commit_id
    return None


def restore(id: str, commit: str, verb: str) -> dict[str, str]:
    """Make the Space what it was at a commit of it, and verify that; return what it serves."""
    release = read_deployed(id, commit)
    folder = fetch_folder(id, "space", commit)
    message = f"{verb} {release['id']} {release['version']}"
    persist(partial(deploy_once, folder, id, message), id, "space")
    check(release, id)
    return release


def roll_back(build: Path, model: str, space: str, version: str) -> None:
    """Make the Space serve an earlier release, as it did then, and verify that.

    Args:
        build: The build folder; its `published.json` becomes the earlier release's.
        model: The model's repository.
        space: The Space.
        version: The release's tag.

    Raises:
        StageError: If there is no such release, or it does not answer as it did.
    """
    versions = persist(partial(list_versions, HfApi(), model), model)
    if version not in versions:
        known = ", ".join(sorted(versions, reverse=True)) or "none"
        raise StageError(f"{model} has no release {version}; there are: {known}.")
    release = {"id": model, "commit": versions[version], "version": version}
    write_json(build / "published.json", release)
    history = persist(partial(HfApi().list_repo_commits, space, repo_type="space"), space, "space")
    with or_put_back(build, space):
        for commit in history:
            if commit.title.endswith(f" {model} {version}"):
                restore(space, commit.commit_id, RETURN)
                return
        deploy(build, space)  # it was never served: with the page of today
        check(release, space)


def list_releases(model: str) -> list[dict[str, Any]]:
    """Return the metrics of every release of a model, newest first."""
    versions = persist(partial(list_versions, HfApi(), model), model)
    found = []
    for version in versions:
        fetch = partial(hf_hub_download, model, "metrics.json", revision=version)
        found.append(read_json(Path(persist(fetch, model)), PUBLISH_COMMAND))
    return sorted(found, key=lambda metrics: metrics["release"]["number"], reverse=True)


def table(releases: list[dict[str, Any]]) -> str:
    """Print releases with their numbers."""
    lines = [f"{'release':<16} {'made':<12} {'redrawn':>9} {'test set':>9}"]
    for metrics in releases:
        release = metrics["release"]
        shares = (percent(metrics[name]["accuracy"]) for name in ("redrawn", "test"))
        redrawn, test = shares
        forced = f"  forced: {release['forced']}" if release["forced"] else ""
        made = metrics["created"][:10]
        lines.append(f"{release['version']:<16} {made:<12} {redrawn:>9} {test:>9}{forced}")
    return "\n".join(lines) if releases else "There is no release yet."
