"""A whole release in `build/model/`, ready to publish: trained, scored, with its card."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import PRESETS, Config
from training.stage import TRAIN_COMMAND, StageError, read_json

if TYPE_CHECKING:
    from training.data import Digits

# The stages are imported where they are needed: where all is done, TensorFlow is not loaded, and
# the Hub's libraries, which read HF_ENDPOINT when first imported, may have to wait for a rehearsal.

log = logging.getLogger(__name__)


def prepare(build: Path, preset: str | None = None) -> None:
    """Train, score and write the card; nothing where that is done.

    What was trained stays when only the reader has changed: it is exported and scored anew. It does
    not where the preset is asked for by name and its settings are others now.

    Args:
        build: The build folder.
        preset: What to train with, unless that was done; None for what is there, else quick.

    Raises:
        StageError: If a stage cannot go on.
    """
    from training.card import render_card
    from training.gate import is_whole

    trained = trained_config(build)
    wanted = PRESETS[preset or "quick"]
    stays = trained is not None and (preset is None or same_settings(trained, wanted))
    if stays and is_exported(build) and is_whole(build / "model"):
        log.info("The model in %s is whole; train anew with: python -m training train", build)
        render_card(build)  # the template may have changed
        return
    from training.data import load_digits
    from training.export import export
    from training.metrics import evaluate_release
    from training.train import train

    if stays:
        log.info("The model in %s is not as it was scored, or the reader is not: anew", build)
        digits = load_trained_on(build)
    else:
        digits = load_digits(wanted.dataset)
        train(wanted, digits, build)
    export(build, digits.test.images)
    evaluate_release(build, digits)
    render_card(build)


def trained_config(build: Path) -> dict[str, Any] | None:
    """Return the settings that the build folder's network was trained with; None without one."""
    history = build / "training" / "history.json"
    if not history.exists():
        return None
    config: dict[str, Any] = read_json(history, TRAIN_COMMAND)["config"]
    return config


def same_settings(trained: dict[str, Any], wanted: Config) -> bool:
    """Tell whether a network was trained with settings, whatever its seed, digits and start."""
    if start := trained["start"]:
        wanted = wanted.going_on_from(start)
    return trained | {"seed": 0, "dataset": ""} == asdict(wanted) | {"seed": 0, "dataset": ""}


def is_exported(build: Path) -> bool:
    """Tell whether what is in `build/model/` is the network of `build/training/`.

    It is the one before where the export after a training did not come to its end.
    """
    files = [build / name / "history.json" for name in ("training", "model")]
    if not all(file.exists() for file in files):
        return False
    trained, exported = (read_json(file, TRAIN_COMMAND) for file in files)
    return bool(trained["curves"] == exported["curves"])


def load_trained_on(build: Path) -> Digits:
    """Load the digits that the build folder's network was trained on: it is scored on the same.

    Raises:
        StageError: If there is no network, or their number is another now.
    """
    from training.data import load_digits

    history = read_json(build / "training" / "history.json", TRAIN_COMMAND)
    dataset, were = history["config"]["dataset"], history["dataset"]
    digits = load_digits(dataset, were["revision"])
    if digits.sizes != were["sizes"]:
        raise StageError(
            f"{dataset} holds another number of digits than the model was trained with. "
            f"Train it anew: {TRAIN_COMMAND} --dataset {dataset}"
        )
    return digits
