"""An image of one digit → an answer, by the release that this place serves.

Second step of the reader: finds the release, loads its `model.tflite` with LiteRT, answers.
Imports nothing of Gradio, TensorFlow or training.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from numpy.typing import NDArray
from PIL import Image

from .preprocessing import SIDE, EmptyDrawingError, Normalized, normalize

SPACE = Path(__file__).parents[1]
LOCAL_RELEASE = SPACE.parent / "build" / "model"
CLASSES = 10
FIGURES = (  # those that the card shows
    "input",
    "confusion_matrix",
    "predictions",
    "reliability",
    "redrawn",
    "corruptions",
    "coverage",
    "curves",
    "samples",
    "classes",
    "preprocessing",
    "mistakes",
)
SERVED = (  # of a release: what the page needs of it
    "model.tflite",
    "layers.tflite",
    "metrics.json",
    "README.md",
    *(f"figures/{name}.png" for name in FIGURES),
)


class ReleaseError(RuntimeError):
    """The model's files are missing or damaged; the message says what to do."""


@dataclass(frozen=True)
class Release:
    """A folder with a model's files, and what it is called.

    Attributes:
        folder: Holds `model.tflite`, `metrics.json` and the others in `SERVED`.
        id: The model's repository on the Hub, or None for a model that was never published.
        commit: Its commit there, or None.
        version: Its tag there, or None.
    """

    folder: Path
    id: str | None = None
    commit: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Answer:
    """What the reader says of one image.

    Attributes:
        digit: 0 to 9, or None where `reason` says why not.
        confidence: The probability of the likeliest digit, 0 to 1; 0 for a blank.
        probabilities: Ten, in the digits' order, summing to 1.
        reason: "blank" or "unsure" where there is no digit, else None.
        seen: What the model saw; None for a blank.
    """

    digit: int | None
    confidence: float
    probabilities: tuple[float, ...]
    reason: Literal["blank", "unsure"] | None
    seen: Normalized | None


BLANK = Answer(None, 0.0, (1 / CLASSES,) * CLASSES, "blank", None)


class Classifier:
    """Answers for one release; may be called from several threads.

    Attributes:
        release: Where its files lie.
        threshold: The least confidence it answers with, 0 to 1.
    """

    def __init__(self, release: Release) -> None:
        """Load the release's `model.tflite`, and its refusal threshold from `metrics.json`.

        Raises:
            ReleaseError: If a file is missing or damaged, or no model of this kind.
        """
        self.release = release
        self.threshold = read_threshold(release.folder / "metrics.json")
        self._lock = threading.Lock()
        file = release.folder / "model.tflite"
        if not file.is_file():
            raise ReleaseError(f"There is no model at {file}. Train one first: make demo")
        try:
            self._interpreter = Interpreter(str(file), num_threads=1)
            self._interpreter.allocate_tensors()
            self._input = self._interpreter.get_input_details()[0]["index"]
            self._output = self._interpreter.get_output_details()[0]["index"]
            shape = self.predict(np.zeros((1, SIDE, SIDE, 1), np.float32)).shape
        except (ValueError, RuntimeError) as error:
            raise ReleaseError(
                f"{file} is damaged or not a model ({str(error).splitlines()[0]}). "
                "Get it again, or make it anew: python -m training train"
            ) from error
        if shape != (1, CLASSES):
            raise ReleaseError(f"{file} answers with {shape} instead of (1, {CLASSES}).")

    def predict(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Give each image its ten probabilities.

        Args:
            images: (n, 28, 28, 1), 0 to 255, normalised as `normalize` does.

        Returns:
            (n, 10) float32 that sum to 1.
        """
        images = np.ascontiguousarray(images, np.float32)
        with self._lock:
            if self._interpreter.get_tensor(self._input).shape != images.shape:
                self._interpreter.resize_tensor_input(self._input, images.shape)
                self._interpreter.allocate_tensors()
            self._interpreter.set_tensor(self._input, images)
            self._interpreter.invoke()
            return np.array(self._interpreter.get_tensor(self._output))

    def classify(self, image: Image.Image | bytes | str | Path) -> Answer:
        """Read the digit on any image that `normalize` takes, or say why there is none.

        Raises:
            UnreadableImageError: If it cannot be read as an image. A blank is an answer.
        """
        try:
            seen = normalize(image)
        except EmptyDrawingError:
            return BLANK
        probabilities = self.predict(seen.pixels.reshape(1, SIDE, SIDE, 1))[0].tolist()
        confidence = max(probabilities)
        if confidence < self.threshold:
            return Answer(None, confidence, tuple(probabilities), "unsure", seen)
        digit = probabilities.index(confidence)
        return Answer(digit, confidence, tuple(probabilities), None, seen)


def read_threshold(metrics: Path) -> float:
    """Read a release's refusal threshold; 0, which refuses nothing, before it was measured.

    Raises:
        ReleaseError: If the file is damaged.
    """
    if not metrics.is_file():
        return 0.0
    try:
        refusal = json.loads(metrics.read_text("utf-8")).get("refusal", {"threshold": 0.0})
        return float(refusal["threshold"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReleaseError(
            f"{metrics} is damaged ({error}). Make it anew: python -m training evaluate"
        ) from error


def find_release(anew: bool = False) -> Release:
    """Find the model to serve: `MODEL_DIR`, else the pinned Hub release, else `build/model`.

    Args:
        anew: Fetch the pinned release even where an earlier start left one, which may be damaged.

    Raises:
        ReleaseError: If the pinned release cannot be had.
    """
    if folder := os.environ.get("MODEL_DIR"):
        return Release(Path(folder))
    if (pin := read_pin()) is None:
        return Release(LOCAL_RELEASE)
    try:
        fetched = fetch(pin, anew)
    except Exception as error:  # the Hub's, the network's and the disk's errors share no class
        raise ReleaseError(
            f"The release {pin['id']} at {pin['commit']} could not be downloaded ({error}). "
            "Check the connection, or set MODEL_DIR to a folder that holds one."
        ) from error
    return Release(fetched, pin["id"], pin["commit"], pin["version"])


def read_pin() -> dict[str, str] | None:
    """Return the id, commit and version of the release to serve; None before the first."""
    pin: dict[str, str] = json.loads((SPACE / "release.json").read_text("utf-8"))
    return pin if pin["commit"] else None


def fetch(pin: dict[str, str], anew: bool) -> Path:
    """Return the folder with a release's files: preloaded or of an earlier start, else fetched."""
    wanted = partial(
        snapshot_download, pin["id"], revision=pin["commit"], allow_patterns=list(SERVED)
    )
    if anew:
        return Path(wanted(force_download=True))
    with contextlib.suppress(LocalEntryNotFoundError):
        folder = Path(wanted(local_files_only=True))  # so that the Hub may be down
        if all((folder / name).is_file() for name in SERVED):
            return folder
    return Path(wanted())


@cache
def default_classifier() -> Classifier:
    """Load the release that `find_release` finds, once per process."""
    return Classifier(find_release())


def read_digit(image: Image.Image) -> int | None:
    """Read a digit, or return None where the reader refuses to guess."""
    return default_classifier().classify(image).digit


def guess_digit(image: Image.Image) -> int | None:
    """Read a digit, refusing nothing but a blank (None)."""
    answer = default_classifier().classify(image)
    return None if answer.reason == "blank" else int(np.argmax(answer.probabilities))
