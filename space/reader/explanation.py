"""A digit as the model sees it → what its layers made of it, and where its answer comes from.

Beside the reader's two steps, for teaching: loads the release's `layers.tflite`. Imports nothing of
Gradio, TensorFlow or training.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from .classifier import Release, ReleaseError
from .preprocessing import SIDE

PATCH, STEP = 5, 2  # of the square that covers the digit, in pixels
COVERED = [(y, x) for y in range(1 - PATCH, SIDE, STEP) for x in range(1 - PATCH, SIDE, STEP)]
LEAST = 1e-12  # probability, below which more doubt is no news


@dataclass(frozen=True)
class Explanation:
    """What the network did with one digit.

    Attributes:
        digit: The likeliest one, 0 to 9.
        feature_maps: One array for each convolution, shallow to deep: (height, width, filters)
            float32, 0 and more, where its filters found what they look for.
        support: (28, 28) float32, 0 to 1 at most: how much the odds of the digit fall where this
            place is covered, in parts of the most that they fall; all 0 where they never do.
    """

    digit: int
    feature_maps: tuple[NDArray[np.float32], ...]
    support: NDArray[np.float32]


class Explainer:
    """Explains one release's answers; may be called from several threads."""

    def __init__(self, release: Release) -> None:
        """Load the release's `layers.tflite`.

        Raises:
            ReleaseError: If the file is missing or damaged.
        """
        file = release.folder / "layers.tflite"
        if not file.is_file():
            raise ReleaseError(f"There is no {file}. Make it: python -m training train")
        self._lock = threading.Lock()
        try:
            interpreter = Interpreter(str(file), num_threads=1)
            (place,) = interpreter.get_input_details()
            interpreter.resize_tensor_input(place["index"], (1 + len(COVERED), SIDE, SIDE, 1))
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ReleaseError(
                f"{file} is damaged or not a model ({str(error).splitlines()[0]}). "
                "Get it again, or make it anew: python -m training train"
            ) from error
        self._interpreter, self._input = interpreter, place["index"]

    def explain(self, pixels: NDArray[np.uint8]) -> Explanation:
        """Run the digit through the network once as it is and once for each place covered.

        Args:
            pixels: (28, 28), as `normalize` makes them.

        Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks",
        section 4.2, for the covering.
        """
        *maps, probabilities = self.run(np.stack([pixels, *cover(pixels)]))
        digit = int(probabilities[0].argmax())
        order = sorted(maps, key=lambda layer: (-layer.shape[1], layer.shape[-1]))
        return Explanation(
            digit, tuple(layer[0] for layer in order), find_support(log_odds(probabilities, digit))
        )

    def run(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return every output for (n, 28, 28) images, the (n, 10) probabilities last."""
        with self._lock:
            self._interpreter.set_tensor(self._input, images[..., None].astype(np.float32))
            self._interpreter.invoke()
            outputs: list[NDArray[np.float32]] = [
                np.array(self._interpreter.get_tensor(output["index"]))
                for output in self._interpreter.get_output_details()
            ]
        return sorted(outputs, key=lambda output: output.ndim == 2)


def cover(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the digit once for each place in `COVERED`, a square of it made black."""
    covered = np.repeat(pixels[None], len(COVERED), 0)
    for image, (top, left) in zip(covered, COVERED, strict=True):
        image[square(top, left)] = 0
    return covered


def square(top: int, left: int) -> tuple[slice, slice]:
    """Return the part of the image that a square covers; it may stick out."""
    return slice(max(top, 0), top + PATCH), slice(max(left, 0), left + PATCH)


def log_odds(probabilities: NDArray[np.float32], digit: int) -> NDArray[np.float64]:
    """Return how sure each (n, 10) row is of the digit: log of its odds against all others.

    Probabilities saturate near 1, where their odds still tell more from less.
    """
    exact = np.maximum(probabilities.astype(np.float64), LEAST)
    others = np.delete(exact, digit, 1).sum(1)
    odds: NDArray[np.float64] = np.log(exact[:, digit] / others)
    return odds


def find_support(odds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Average over all squares that cover a pixel by how much they lower the odds.

    Args:
        odds: Of the digit as it is, then of it covered in each place of `COVERED`.
    """
    total, count = np.zeros((2, SIDE, SIDE))
    for fall, (top, left) in zip(odds[0] - odds[1:], COVERED, strict=True):
        total[square(top, left)] += fall
        count[square(top, left)] += 1
    support: NDArray[Any] = np.maximum(total / count, 0)
    return (support / max(float(support.max()), LEAST)).astype(np.float32)
