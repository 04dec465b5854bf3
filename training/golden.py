"""Drawings with the answers that the release gave to them: what the live Space has to repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from space.reader import Answer, Classifier
from training.data import CLASSES, Split
from training.non_digits import draw_non_digits
from training.redraw import CANVAS, redraw
from training.stage import fresh_folder, write_json

EACH = 2  # of every digit
NON_DIGITS, SEED = 20, 1_000_003  # of these the one it is least sure of
ANSWERS = "answers.json"


def record_golden(folder: Path, classifier: Classifier, validation: Split) -> None:
    """Write twenty drawn digits, a blank and a drawing of no digit, with the release's answers.

    Args:
        folder: What to write: PNG files and answers.json, an answer by file name.
        classifier: The release, with its refusal threshold.
        validation: Digits to draw: the test set's are not shown.
    """
    drawings = {}
    for digit in range(CLASSES):
        for number, row in enumerate(np.flatnonzero(validation.labels == digit)[:EACH]):
            drawings[f"{digit}-{number}.png"] = redraw(validation.images[row], int(row))
    drawings["blank.png"] = Image.new("L", (CANVAS, CANVAS), 255)
    drawings["no-digit.png"] = least_sure(classifier, validation)
    with fresh_folder(folder) as place:
        for name, drawing in drawings.items():
            drawing.save(place / name)
        answers = {name: describe(classifier.classify(place / name)) for name in drawings}
        write_json(place / ANSWERS, answers)


def least_sure(classifier: Classifier, validation: Split) -> Image.Image:
    """Draw what is no digit, as dark ink, and return what the release is least sure of."""
    seen = draw_non_digits(validation, NON_DIGITS, SEED)
    drawings = [Image.fromarray(255 - pixels).resize((CANVAS, CANVAS)) for pixels in seen]
    return min(drawings, key=lambda drawing: classifier.classify(drawing).confidence)


def describe(answer: Answer) -> dict[str, Any]:
    """Keep of an answer what the Space's API says too."""
    return {
        "digit": answer.digit,
        "reason": answer.reason,
        "probabilities": list(answer.probabilities),
    }
