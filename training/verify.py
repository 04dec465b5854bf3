"""The live Space, asked for what the release has answered before: does it serve what was measured?

Last stage: reads `build/published.json`, calls the Space as any program would, and says what
differs.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx  # gradio_client's
import numpy as np
from gradio_client import Client, handle_file
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError

from training import hub
from training.data import CLASSES
from training.deploy import last_lines, wait_until_it_runs
from training.golden import ANSWERS
from training.hub import RefusedError, fetch_folder, persist
from training.stage import PUBLISH_COMMAND, StageError, read_json

TOLERANCE = 1e-4  # of a probability
LIMIT_SECONDS = 60.0  # for each answer; a sleeping Space needs some of them to wake

Answers = list[tuple[str, dict[str, Any]]]  # of the Space, by the drawing's name

log = logging.getLogger(__name__)


class VerifyError(StageError):
    """The Space does not answer as the release does; the message says what differs."""


def verify(build: Path, id: str) -> Answers:
    """Ask the Space for every golden drawing of the release in `build/published.json`.

    Args:
        build: The build folder.
        id: The Space, "name/space".

    Returns:
        Each drawing's name and the Space's answer.

    Raises:
        VerifyError: If it answers otherwise, or not at all.
        RefusedError: If the release cannot be fetched.
        StageError: If it is not to serve this release.
    """
    release = read_json(build / "published.json", PUBLISH_COMMAND)
    deployed = read_deployed(id)
    if deployed != release:
        raise StageError(
            f"The Space {id} is to serve {deployed['id']} {deployed['version']}, not "
            f"{release['id']} {release['version']}. Deploy it: python -m training deploy"
        )
    return check(release, id)


def read_deployed(id: str, commit: str | None = None) -> dict[str, str]:
    """Return the release that a Space is to serve, at a commit of it or now.

    Raises:
        RefusedError: If the Hub does not say it.
        StageError: If it serves none yet.
    """

    def fetch() -> str:
        at = commit or HfApi().space_info(id).sha  # by a name it could be an older copy
        try:
            return hf_hub_download(id, "release.json", repo_type="space", revision=at)
        except RemoteEntryNotFoundError:
            raise StageError(
                f"The Space {id} serves no release yet. Deploy one: python -m training deploy"
            ) from None

    file = Path(persist(fetch, id, "space"))
    release: dict[str, str] = read_json(file, "python -m training deploy")
    return release


def check(release: dict[str, str], id: str) -> Answers:
    """Hold a Space's answers against a release's own.

    Raises:
        VerifyError: If it answers otherwise, or not at all.
        RefusedError: If the release cannot be fetched.
    """
    golden = fetch_folder(release["id"], "model", release["commit"], "golden/") / "golden"
    expected = read_json(golden / ANSWERS, PUBLISH_COMMAND)
    answers = ask_patiently(id, golden, list(expected))
    if not all(keeps_contract(answer) for _, answer in answers):
        raise VerifyError(
            f"The Space {id} answers in another form than the API promises: {answers[0][1]!r:.200}."
        )
    served = answers[0][1]["model"]
    if served != release:
        raise VerifyError(
            f"The Space {id} serves {served['id']} {served['version']} at {served['commit']}, not "
            f"{release['id']} {release['version']} at {release['commit']}."
        )
    wrong = [(name, answer) for name, answer in answers if differs(answer, expected[name])]
    if wrong:
        name, answer = wrong[0]
        raise VerifyError(
            f"The Space {id} answers {len(wrong)} of {len(answers)} golden drawings otherwise than "
            f"the release did: {name} {say(answer)} instead of {say(expected[name])}. "
            "Its reader or a serving pin is not the release's."
        )
    log.info("Verified: %s gives the release's %d golden answers", id, len(answers))
    return answers


def ask_patiently(id: str, golden: Path, names: list[str]) -> Answers:
    """Send drawings to a Space until it has answered; it may have to wake.

    Raises:
        VerifyError: If it does not.
        DeployError: If it does not even run.
        RefusedError: If the Hub does not say where it is, or no connection comes about: then this
            machine's network may be why.
        StageError: If its owner has paused it.
    """
    pauses = iter(hub.PAUSES)
    while True:
        try:
            return ask(id, golden, names)
        except RefusedError:  # the Hub's fault, not the Space's
            raise
        except Exception as error:  # gradio_client's, the network's and the page's share no class
            pause = next(pauses, None)
            if pause is None and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                raise RefusedError(
                    f"The Space {id} cannot be reached from here ({type(error).__name__}). "
                    "Check the connection and run verify again."
                ) from error
            if pause is None:
                reason = " ".join(str(error).split())
                raise VerifyError(
                    f"The Space {id} does not answer ({type(error).__name__}: {reason}). "
                    f"Run verify again, or look at its log. {last_lines(HfApi(), id, 'RUNNING')}"
                ) from error
            log.info("No answer from %s (%s): again in %.0f s", id, type(error).__name__, pause)
            time.sleep(pause)
            persist(partial(wake, id), id, "space")


def wake(id: str) -> None:
    """Wait for a Space that sleeps or starts.

    Raises:
        DeployError: If it ends otherwise.
        StageError: If its owner has paused it.
    """
    hub = HfApi()
    wait_until_it_runs(hub, id, str(hub.space_info(id).sha))


def ask(id: str, golden: Path, names: list[str]) -> Answers:
    """Send drawings to a Space, as a visitor who shows no token; return its answers."""
    host = str(persist(partial(HfApi().space_info, id), id, "space").host)
    return [(name, ask_for(host, golden / name)) for name in names]


def ask_for(host: str, drawing: Path) -> dict[str, Any]:
    """Send one drawing; return the answer.

    Each has a client of its own: of a session with several events a reader can be left over, which
    never ends, nor does Python before it.
    """
    client = Client(host, token=False, verbose=False, httpx_kwargs={"timeout": LIMIT_SECONDS})
    job = client.submit(handle_file(drawing), api_name="/classify")
    try:
        answer: dict[str, Any] = job.result(LIMIT_SECONDS)
    except TimeoutError:
        job.cancel()  # else its reader waits on
        raise
    return answer


def keeps_contract(answer: Any) -> bool:
    """Tell whether an answer has what is compared."""
    try:
        shares, release = answer["probabilities"], answer["model"]
        return (
            {"digit", "reason"} <= answer.keys()
            and release.keys() == {"id", "commit", "version"}
            and len(shares) == CLASSES
            and all(isinstance(share, float | int) for share in shares)
        )
    except (AttributeError, KeyError, TypeError):
        return False


def differs(answer: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Tell whether an answer is not the one recorded."""
    gap = np.abs(np.subtract(answer["probabilities"], expected["probabilities"])).max()
    same = all(answer[key] == expected[key] for key in ("digit", "reason"))
    return not (same and gap <= TOLERANCE)


def say(answer: dict[str, Any]) -> str:
    """Put an answer into words."""
    likeliest = max(answer["probabilities"])
    return f"{answer['reason'] or answer['digit']} ({likeliest:.4f})"
