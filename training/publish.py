"""`build/model/` → a commit in the model's repository and a tag: a release.

Sixth stage: asks the gate, publishes all in one commit, and writes `build/published.json`, which
`deploy.py` reads. Nothing happens where the same release is there already.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError

from training.card import render_card
from training.gate import judge, require_passed, table
from training.hub import commit_folder, explained, find_or_create
from training.stage import read_json, sha256, write_json, write_text

EVALUATE = "python -m training evaluate"
VERSION = re.compile(r"v\d{4}\.\d\d\.\d\d\.\d+")
ROOT = Path(__file__).parents[1]
COMPARED = ("metrics.json", "predictions.npz")
MEASURED = ("model.tflite", "preprocessing.py")  # a change in these, or in the sources,
SOURCES = ("model_card.md", "space/requirements.txt")  # is another release

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
    folder, hub = build / "model", HfApi()
    metrics = read_json(folder / "metrics.json", EVALUATE)
    with explained(id):
        head = find_or_create(hub, id, "model")
        published = fetch_compared(hub, id, head, build / "before")
        before = released(published)
        tags = {
            tag.name: tag.target_commit
            for tag in hub.list_repo_refs(id).tags
            if VERSION.fullmatch(tag.name)
        }
        if before and before["identity"] == identity(metrics):
            version = before["version"]
            head = tags.get(version, head)
            log.info("%s holds this release already: %s", id, version)
        else:
            version = next_version(tags, datetime.now(UTC))
            decide(build, published, force)
            stamp(build, id, version, len(tags) + 1, force)
            message = f"{version}\n\nForced: {force}" if force else version
            head = commit_folder(hub, id, "model", folder, head, message)
        if version not in tags:
            hub.create_tag(id, tag=version, revision=head, tag_message=force or None)
    release = {"id": id, "commit": head, "version": version}
    write_json(build / "published.json", release)
    log.info("Published: %s %s at %.7s", id, version, head)
    return release


def fetch_compared(hub: HfApi, id: str, commit: str, place: Path) -> Path | None:
    """Fetch what a new release is compared with; None where nothing was released."""
    try:
        for name in COMPARED:
            hub.hf_hub_download(id, name, revision=commit, local_dir=place)
    except EntryNotFoundError:
        return None
    return place


def released(published: Path | None) -> dict[str, Any] | None:
    """Return what a published release says of itself; None where there is none."""
    if published is None:
        return None
    release: dict[str, Any] | None = read_json(published / "metrics.json", EVALUATE).get("release")
    return release


def identity(metrics: dict[str, Any]) -> dict[str, str]:
    """Return what makes a release another one: weights, preprocessing, template and pins."""
    measured = {name: metrics["files"][name]["sha256"] for name in MEASURED}
    return measured | {name: sha256(ROOT / name) for name in SOURCES}


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


def stamp(build: Path, id: str, version: str, number: int, force: str) -> None:
    """Write into metrics and card which release this is: the `number`th scored on the test set."""
    file = build / "model" / "metrics.json"
    metrics = read_json(file, EVALUATE)
    metrics["release"] = {
        "id": id,
        "version": version,
        "number": number,
        "forced": force,
        "identity": identity(metrics),
    }
    write_json(file, metrics)
    render_card(build)
