"""`build/model/` → a commit in the model's repository and a tag: a release.

Sixth stage: asks the gate, publishes all in one commit, and writes `build/published.json`, which
`deploy.py` reads. Nothing happens where the same release is there already.
"""

from __future__ import annotations

import hashlib
import logging
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError

from training.breakdown import compare
from training.card import render_card
from training.gate import judge, require_passed, table
from training.hub import commit_folder, find_or_create, persist
from training.stage import EVALUATE_COMMAND, read_json, sha256, write_json, write_text

VERSION = re.compile(r"v\d{4}\.\d\d\.\d\d\.\d+")
ROOT = Path(__file__).parents[1]
COMPARED = ("metrics.json", "predictions.npz")
MEASURED = ("model.tflite", "preprocessing.py")  # a change in these, or in the sources,
SOURCES = (  # is another release
    "training/*.py",
    "training/metric_modules/*.py",
    "training/reference.json",
    "space/reader/*.py",
    "space/requirements.txt",
    "requirements.lock",
    "model_card.md",
)

log = logging.getLogger(__name__)


def publish(build: Path, id: str, force: str = "") -> dict[str, str]:
    """Publish `build/model/` unless it is what the repository's main branch holds.

    Args:
        build: The build folder.
        id: The model's repository, "name/space"; it is created if the token may.
        force: Why it is published although the gate refuses it; empty to obey the gate.

    Returns:
        What `published.json` holds: the release's id, commit and version.

    Raises:
        GateError: If the release must not be published.
        RefusedError: If the Hub refuses.
    """
    release = persist(partial(publish_once, build, id, force), id)
    write_json(build / "published.json", release)
    return release


def publish_once(build: Path, id: str, force: str) -> dict[str, str]:
    """Go on from what the Hub holds: nothing, the commit without its tag, or all of it."""
    folder, hub = build / "model", HfApi()
    metrics = read_json(folder / "metrics.json", EVALUATE_COMMAND)
    head = find_or_create(hub, id, "model")
    published = fetch_compared(hub, id, head)
    before, tags = released(published), list_versions(hub, id)
    if before and before["version"] not in tags:  # it ended there, or is about to do it
        tag(hub, id, head, before)
        tags[before["version"]] = head
    if before and before["identity"] == identity(metrics):
        version = before["version"]
        head = tags[version]
        log.info("%s holds this release already: %s at %.7s", id, version, head)
    else:
        version = next_version(tags, datetime.now(UTC))
        decide(build, published, force)
        release = stamp(build, id, version, len(tags) + 1, force, published)
        message = f"{version}\n\nForced: {force}" if force else version
        head = commit_folder(hub, id, "model", folder, head, message)
        tag(hub, id, head, release)
        log.info("Published: %s %s at %.7s", id, version, head)
    return {"id": id, "commit": head, "version": version}


def dry_run(build: Path, id: str, force: str = "") -> None:
    """Ask the gate what `publish` would, and change nothing on the Hub.

    Raises:
        GateError: If the release would not be published.
        RefusedError: If the Hub refuses.
    """
    published = persist(partial(fetch_published, HfApi(), id), id)
    decide(build, published, force)
    log.info("A dry run: nothing was published")


def find_release(build: Path, id: str) -> dict[str, str] | None:
    """Write `build/published.json` if the newest release was made from the sources that are here.

    Returns:
        What it holds; None if there is no such release, or it has not been published to the end.

    Raises:
        RefusedError: If the Hub refuses.
    """
    hub = HfApi()
    newest = released(persist(partial(fetch_published, hub, id), id))
    if not newest or newest["identity"].get("sources") != hash_sources():
        return None
    version = newest["version"]
    versions = persist(partial(list_versions, hub, id), id)
    if version not in versions:
        return None
    release = {"id": id, "commit": versions[version], "version": version}
    write_json(build / "published.json", release)
    return release


def tag(hub: HfApi, id: str, commit: str, release: dict[str, Any]) -> None:
    """Name a release's commit; somebody else may have done it meanwhile."""
    hub.create_tag(
        id,
        tag=release["version"],
        revision=commit,
        tag_message=release["forced"] or None,
        exist_ok=True,
    )


def list_versions(hub: HfApi, id: str) -> dict[str, str]:
    """Return the commit of every release by its tag."""
    tags = hub.list_repo_refs(id).tags
    return {tag.name: tag.target_commit for tag in tags if VERSION.fullmatch(tag.name)}


def fetch_published(hub: HfApi, id: str) -> Path | None:
    """Fetch what a new release is compared with, of main; None where nothing was released."""
    try:
        return fetch_compared(hub, id, str(hub.model_info(id).sha))
    except RepositoryNotFoundError:
        return None


def fetch_compared(hub: HfApi, id: str, commit: str) -> Path | None:
    """Fetch what a new release is compared with; None where nothing was released.

    By the commit's id: by a name, a download that fails would end in an older copy.
    """
    try:
        files = [hub.hf_hub_download(id, name, revision=commit) for name in COMPARED]
    except RemoteEntryNotFoundError:
        return None
    return Path(files[0]).parent


def released(published: Path | None) -> dict[str, Any] | None:
    """Return what a published release says of itself; None where there is none."""
    if published is None:
        return None
    metrics = read_json(published / "metrics.json", EVALUATE_COMMAND)
    release: dict[str, Any] | None = metrics.get("release")
    return release


def identity(metrics: dict[str, Any]) -> dict[str, str]:
    """Return what makes a release another one: weights, preprocessing, and what it is made from."""
    measured = {name: metrics["files"][name]["sha256"] for name in MEASURED}
    return measured | {"sources": hash_sources()}


def hash_sources() -> str:
    """Hash all that a release is made from, names and contents."""
    files = sorted(file for pattern in SOURCES for file in ROOT.glob(pattern))
    lines = [f"{sha256(file)} {file.relative_to(ROOT).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def next_version(tags: dict[str, str], now: datetime) -> str:
    """Return vYYYY.MM.DD.N: the day's next number."""
    day = now.strftime("%Y.%m.%d")
    numbers = [int(tag.rpartition(".")[2]) for tag in tags if tag.startswith(f"v{day}.")]
    return f"v{day}.{max(numbers, default=0) + 1}"


def decide(build: Path, published: Path | None, force: str) -> None:
    """Ask the gate; write and log its table.

    Raises:
        GateError: If it refuses, and nobody forces it.
    """
    checks = judge(build / "model", published)
    write_text(build / "gate.md", table(checks))
    log.info("%s", table(checks))
    if not force:
        require_passed(checks)


def stamp(
    build: Path, id: str, version: str, number: int, force: str, published: Path | None
) -> dict[str, Any]:
    """Write into metrics and card which release this is: the `number`th scored on the test set."""
    file = build / "model" / "metrics.json"
    metrics = read_json(file, EVALUATE_COMMAND)
    release = {
        "id": id,
        "version": version,
        "number": number,
        "forced": force,
        "identity": identity(metrics),
        "before": describe_change(build / "model", published),
    }
    write_json(file, metrics | {"release": release})
    render_card(build)
    return release


def describe_change(folder: Path, published: Path | None) -> dict[str, Any] | None:
    """Compare a release with the one before, by name; None where there is nothing to compare."""
    before = released(published)
    if published is None or before is None:
        return None
    return {"version": before["version"], "change": compare(folder, published)}
