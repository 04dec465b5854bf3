"""`space/` and the published release → the Space that serves exactly that commit.

Seventh stage: reads `build/published.json`; one commit to the Space, and it waits until that runs.
"""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants, get_session
from huggingface_hub.repocard import metadata_load, metadata_save

from space.reader import SERVED
from training.hub import commit_folder, find_or_create, persist
from training.stage import PUBLISH_COMMAND, StageError, fresh_folder, read_json, write_json

SPACE = Path(__file__).parents[1] / "space"
WORKING = {"BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING"}
ASLEEP = {"SLEEPING", "STOPPED"}  # a visit wakes it
LIMIT_SECONDS, POLL_SECONDS = 900.0, 0.5  # of building and starting
LAST_LINES = 8
MADE_BY = f"{PUBLISH_COMMAND}; or, where the release is out: python -m training released"

log = logging.getLogger(__name__)


class DeployError(StageError):
    """The Space does not run; the message ends with its log's last lines."""


def deploy(build: Path, id: str) -> None:
    """Make the Space serve the release of `build/published.json`, and wait until it runs.

    Args:
        build: The build folder.
        id: The Space, "name/space"; it is created if the token may.

    Raises:
        DeployError: If it does not run in time.
        RefusedError: If the Hub refuses.
    """
    release = read_json(build / "published.json", MADE_BY)
    stage_space(build / "space", id, release)
    message = f"Serve {release['id']} {release['version']}"
    persist(partial(deploy_once, build / "space", id, message), id, "space")


def deploy_once(folder: Path, id: str, message: str) -> None:
    """Go on from what the Space holds: commit what differs, and wait until it runs."""
    hub = HfApi()
    head = find_or_create(hub, id, "space")
    commit = commit_folder(hub, id, "space", folder, head, message)
    log.info("Deployed: %s at %.7s", id, commit)
    wait_until_it_runs(hub, id, commit)


def stage_space(folder: Path, id: str, release: dict[str, Any]) -> None:
    """Lay out what the Space will hold: `space/`, and the release it serves, pinned.

    Args:
        folder: What to write.
        id: The Space, for the snippet on its page.
        release: Its id, commit and version.
    """
    with fresh_folder(folder) as place:
        shutil.copytree(
            SPACE, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
        write_json(place / "release.json", release)
        readme = place / "README.md"
        readme.write_text(readme.read_text("utf-8").replace("user/space", id), "utf-8")
        front_matter = (metadata_load(readme) or {}) | {
            "models": [release["id"]],
            "preload_from_hub": [f"{release['id']} {','.join(SERVED)} {release['commit']}"],
        }
        metadata_save(readme, front_matter)


def wait_until_it_runs(hub: HfApi, id: str, commit: str) -> None:
    """Wait until the Space runs this commit; one that sleeps is woken.

    Raises:
        DeployError: If it ends in another stage or is not there in time.
        StageError: If its owner has paused it.
    """
    deadline, said = time.monotonic() + LIMIT_SECONDS, ""
    while time.monotonic() < deadline:
        runtime = persist(partial(hub.get_space_runtime, id), id, "space")
        if runtime.stage != said:
            said = runtime.stage
            log.info("The Space is %s", said)
        is_this = runtime.raw.get("sha", commit) == commit  # else it is about to be replaced
        if is_this and runtime.stage == "RUNNING":
            return
        if is_this and runtime.stage == "PAUSED":
            page = f"{constants.ENDPOINT}/spaces/{id}/settings"
            raise StageError(f"The Space {id} is paused. Restart it at {page}, and run this again.")
        if is_this and runtime.stage in ASLEEP:
            visit(hub, id)
        elif is_this and runtime.stage not in WORKING:
            raise DeployError(f"The Space {id} ended in {said}. {last_lines(hub, id, said)}")
        time.sleep(POLL_SECONDS)
    raise DeployError(
        f"The Space {id} is still {said} after {LIMIT_SECONDS:.0f} s. {last_lines(hub, id, said)}"
    )


def visit(hub: HfApi, id: str) -> None:
    """Ask for the Space's page, whatever it answers."""
    with suppress(HTTPError):
        get_session().get(str(hub.space_info(id).host))


def last_lines(hub: HfApi, id: str, stage: str) -> str:
    """Return the end of the log that tells why; where it cannot be had, where to look."""
    try:
        lines = list(hub.fetch_space_logs(id, build="RUN" not in stage))[-LAST_LINES:]
    except (HTTPError, OSError):  # a workflow's token may not be for this
        return f"Its log is at {constants.ENDPOINT}/spaces/{id}?logs=container"
    return "Its log ends with:\n" + "".join(lines) if lines else "Its log is empty."
