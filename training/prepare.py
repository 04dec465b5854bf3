"""A whole release in `build/model/`, ready to publish: trained, scored, with its card."""

from __future__ import annotations

import logging
from pathlib import Path

from training.config import PRESETS
from training.stage import TRAIN_COMMAND, read_json

# The stages are imported where they are needed: where all is done, TensorFlow is not loaded, and
# the Hub's libraries, which read HF_ENDPOINT when first imported, may have to wait for a rehearsal.

log = logging.getLogger(__name__)


def prepare(build: Path, preset: str | None = None) -> None:
    """Train, score and write the card; nothing where that is done.

    What was trained stays when only the reader has changed: it is exported and scored anew.

    Args:
        build: The build folder.
        preset: What to train with, unless that was done; None for what is there, else quick.

    Raises:
        StageError: If a stage cannot go on.
    """
    from training.card import render_card
    from training.gate import is_whole

    trained = trained_preset(build)
    wanted = preset or trained or "quick"
    if trained == wanted and is_whole(build / "model"):
        log.info("The model in %s is whole; train anew with: python -m training train", build)
        render_card(build)  # the template may have changed
        return
    from training.data import load_digits
    from training.export import export
    from training.metrics import evaluate_release
    from training.train import train

    if trained == wanted:
        log.info("The model in %s is not as it was scored, or the reader is not: anew", build)
        digits = load_digits(trained_on(build))
    else:
        config = PRESETS[wanted]
        digits = load_digits(config.dataset)
        train(config, digits, build)
    export(build, digits.test.images)
    evaluate_release(build, digits)
    render_card(build)


def trained_preset(build: Path) -> str | None:
    """Return the preset that the build folder's network was trained with; None without one."""
    history = build / "training" / "history.json"
    if not history.exists():
        return None
    preset: str = read_json(history, TRAIN_COMMAND)["config"]["preset"]
    return preset


def trained_on(build: Path) -> str:
    """Return the dataset that the build folder's network was trained on: it is scored on the same.

    Raises:
        StageError: If there is no network.
    """
    history = read_json(build / "training" / "history.json", TRAIN_COMMAND)
    return str(history["config"]["dataset"])
