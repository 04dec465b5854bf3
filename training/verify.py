"""The live Space, asked for what the release has answered before: does it serve what was measured?

Last stage: reads `build/published.json`, calls the Space as any program would, and says what
differs.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from gradio_client import Client, handle_file
from huggingface_hub import snapshot_download

from training.golden import ANSWERS
from training.hub import explained
from training.stage import StageError, read_json

TOLERANCE = 1e-4  # of a probability
LIMIT_SECONDS = 60.0  # for each answer; a sleeping Space needs some of them to wake

log = logging.getLogger(__name__)


class VerifyError(StageError):
    """The Space does not answer as the release does; the message says what differs."""


def verify(build: Path, id: str, limit: float = LIMIT_SECONDS) -> list[tuple[str, dict[str, Any]]]:
    """Ask the Space for every golden drawing.

    Args:
        build: The build folder.
        id: The Space, "name/space".
        limit: Seconds it may take for an answer.

    Returns:
        Each drawing's name and the Space's answer.

    Raises:
        VerifyError: If it serves another commit, answers otherwise, or not at all.
        RefusedError: If the release cannot be fetched.
    """
    release = read_json(build / "published.json", "python -m training publish")
    with explained(release["id"]):
        fetched = snapshot_download(
            release["id"], revision=release["commit"], allow_patterns="golden/*"
        )
    golden = Path(fetched) / "golden"
    expected = read_json(golden / ANSWERS, "python -m training publish")
    answers = [(name, answer) for name, answer in ask(id, golden, list(expected), limit)]
    served = answers[0][1]["model"]
    if served != release:
        raise VerifyError(
            f"The Space {id} serves {served['id']} {served['version']} at {served['commit']}, not "
            f"{release['id']} {release['version']} at {release['commit']}. "
            "Deploy it: python -m training deploy"
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


def ask(id: str, golden: Path, names: list[str], limit: float) -> list[tuple[str, dict[str, Any]]]:
    """Send drawings to a Space, or to the page at a URL; return its answers.

    Raises:
        VerifyError: If one does not come in time.
    """
    try:
        client = Client(id, verbose=False, httpx_kwargs={"timeout": limit})
        jobs = [
            (name, client.submit(handle_file(golden / name), api_name="/classify"))
            for name in names
        ]
        return [(name, job.result(limit)) for name, job in jobs]
    except Exception as error:  # gradio_client's, httpx's and the page's own share no class
        reason = " ".join(str(error).split())
        raise VerifyError(
            f"The Space {id} does not answer ({type(error).__name__}: {reason}). "
            "Look at its log, or run verify again."
        ) from error


def differs(answer: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Tell whether an answer is not the one recorded."""
    gap = np.abs(np.subtract(answer["probabilities"], expected["probabilities"])).max()
    return any(answer[key] != expected[key] for key in ("digit", "reason")) or gap > TOLERANCE


def say(answer: dict[str, Any]) -> str:
    """Put an answer into words."""
    likeliest = max(answer["probabilities"])
    return f"{answer['reason'] or answer['digit']} ({likeliest:.4f})"
