"""Every setting of a training run, and the presets."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from training.stage import StageError

REFERENCE = Path(__file__).parent / "reference.json"  # of the presets, by make reference
EXAMPLES = {"HF_MODEL_ID": "your-name/handwritten-digits", "HF_SPACE_ID": "your-name/draw-a-digit"}
MNIST = "ylecun/mnist"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
MNIST_REVISION = "77f3279092a1c1579b2250db8eafed0ad422088c"
FINE_TUNING_SLOWER = 3  # times, than from nothing


@dataclass(frozen=True)
class Config:
    """One training run.

    Attributes:
        preset: The name it goes by.
        network: Which of `model.py`'s networks: "small" (the default) or "baseline".
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: Of a one-cycle schedule its peak, else constant.
        one_cycle: Warm up and anneal the learning rate; else it is constant.
        optimizer: Muon for the convolutions and AdamW for the rest, or AdamW alone.
        weight_decay: Of either; AdamW without any is Adam.
        label_smoothing: Share of the target spread over all classes, 0 to 1.
        steps_per_call: Steps that TensorFlow takes by itself before Keras looks on again.
        augment: Whether training images are distorted.
        damaged: Share of each batch that stripes, a veil, noise or a wiped-out square is laid over.
        handwriting: Share of each batch that is digits in other handwritings, 0 to 1.
        handwriting_from: Share of the training, 0 to 1, that is over when these come in.
        handwriting_smoothing: Share of their targets spread over all classes, besides, 0 to 1.
        non_digits: Drawings of no digit to train on, as a share of the digits.
        traced: How many training digits these are made from; all, if there are fewer.
        seed: Fixes the weights, the order and the distortions.
        dataset: Hub id or local folder.
        start: The release whose weights it begins with, a Hub id or local folder; none if empty.
    """

    preset: str
    network: Literal["small", "baseline"] = "small"
    epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 0.03
    one_cycle: bool = True
    optimizer: Literal["muon", "adam"] = "muon"
    weight_decay: float = 0.007
    label_smoothing: float = 0.05
    steps_per_call: int = 45
    augment: bool = True
    damaged: float = 0.0
    handwriting: float = 0.0
    handwriting_from: float = 0.0
    handwriting_smoothing: float = 0.0
    traced: int = 60_000
    non_digits: float = 0.0
    seed: int = 0
    dataset: str = MNIST
    start: str = ""

    def going_on_from(self, start: str) -> Config:
        """Return the same for a network that begins with a release's weights: in smaller steps."""
        return replace(self, start=start, learning_rate=self.learning_rate / FINE_TUNING_SLOWER)


@dataclass(frozen=True)
class Floors:
    """What a release must reach to be published; shares, 0 to 1.

    Attributes:
        test_accuracy: On the test set, at least.
        redrawn_accuracy: On the test digits drawn again on a canvas, at least.
        calibration_error: Expected calibration error on the test set, at most.
    """

    test_accuracy: float = 0.99
    redrawn_accuracy: float = 0.97
    calibration_error: float = 0.01


FLOORS = Floors()


def repository(variable: str) -> str:
    """Return the Hub repository that HF_MODEL_ID or HF_SPACE_ID names.

    Raises:
        StageError: If it names none.
    """
    id = os.environ.get(variable, "")
    if not REPOSITORY.fullmatch(id):
        raise StageError(
            f"{variable} is {id!r}, not a repository. "
            f"Set it: export {variable}={EXAMPLES[variable]}"
        )
    return id


PRESETS = {
    "quick": Config(
        "quick",
        epochs=1,
        steps_per_call=180,  # rounds MNIST's 508 steps down to 360
        traced=3_000,
        handwriting=0.2,
        non_digits=0.18,
        damaged=3 / 128,
    ),
    "release": Config(
        "release",
        epochs=15,
        batch_size=256,
        learning_rate=0.045,
        traced=30_000,
        handwriting=0.14,
        handwriting_from=0.7,
        handwriting_smoothing=0.1,
        non_digits=0.05,
        damaged=3 / 128,
    ),
    # The article's recipe, for comparison: Adam at its default rate on the images as they are.
    "baseline": Config(
        "baseline",
        network="baseline",
        batch_size=32,
        learning_rate=0.001,
        one_cycle=False,
        optimizer="adam",
        weight_decay=0.0,
        label_smoothing=0.0,
        steps_per_call=1,
        augment=False,
    ),
}
TUNABLE = ("quick", "release")  # whose settings lie where `tune` searches


def load_preset(name: str) -> Config:
    """Return a preset by its name, or from a file that `tune` wrote.

    Raises:
        StageError: If there is none, or the file is damaged.
    """
    if name in PRESETS:
        return PRESETS[name]
    if not name.endswith(".json"):
        raise StageError(f"invalid choice: {name!r} (choose from {', '.join(PRESETS)}, or a file)")
    try:
        return Config(**json.loads(Path(name).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StageError(
            f"{name} is no preset ({error}). Make one: python -m training tune"
        ) from error
