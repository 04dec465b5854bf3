"""A part's images → its rows: what each reads, or why not. Called by `classify.py`, on any machine.

The release travels along as its files' bytes: a worker needs neither the folder nor the Hub.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from space.reader import (
    Classifier,
    EmptyDrawingError,
    Release,
    ReleaseError,
    UnreadableImageError,
    normalize,
)
from training.data import CLASSES
from training.sources import Image, Part
from training.stage import StageError

BATCH = 250  # images that the model sees at once
ROW = pa.schema(
    {
        "key": pa.string(),  # the image's path, or its file or split and row
        "digit": pa.int8(),  # null where reason or error says why
        "confidence": pa.float32(),
        "probabilities": pa.list_(pa.float32(), CLASSES),
        "reason": pa.string(),  # "blank", "unsure" or null
        "error": pa.string(),  # why the image could not be read, or null
        "commit": pa.string(),  # of the release; null if it was never published
    }
)


class Model(NamedTuple):
    """A release's files that answering takes, to be sent to any worker, and its commit."""

    files: tuple[tuple[str, bytes], ...]
    commit: str | None


@dataclass(frozen=True)
class Seen:
    """An image as the model will see it, (28, 28) uint8; without pixels a blank or an error."""

    key: str
    pixels: NDArray[np.uint8] | None = None
    error: str | None = None


def load_model(release: Release) -> Model:
    """Read the files with which any worker can answer as the release does.

    Raises:
        StageError: If the release is not there or damaged.
    """
    try:
        Classifier(release)
    except ReleaseError as error:
        raise StageError(str(error)) from error
    files = [release.folder / name for name in ("model.tflite", "metrics.json")]
    there = tuple((file.name, file.read_bytes()) for file in files if file.is_file())
    return Model(there, release.commit)


@cache
def load_classifier(model: Model) -> Classifier:
    """Load a model, once per process."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, content in model.files:
            (Path(folder) / name).write_bytes(content)
        return Classifier(Release(Path(folder), commit=model.commit))


def answer(classifier: Classifier, part: Part) -> Iterator[dict[str, Any]]:
    """Give each image of a part its row."""
    seen = [see(key, image) for key, image in part.read()]
    clear = [one.pixels for one in seen if one.pixels is not None]
    likely = iter(predict(classifier, clear))
    for one in seen:
        probabilities = None if one.pixels is None else next(likely)
        yield row(one, probabilities, classifier) | {"commit": classifier.release.commit}


def see(key: str, image: Image) -> Seen:
    """Normalise one image as the Space does."""
    try:
        return Seen(key, normalize(load(image)).pixels)
    except EmptyDrawingError:
        return Seen(key)
    except UnreadableImageError as error:
        return Seen(key, error=str(error))


def load(image: Image) -> bytes:
    """Return an image's bytes.

    Raises:
        UnreadableImageError: If there is no image, or none where it is said to be.
        OSError: If a disk or a network fails: the next images would fare no better.
    """
    if image is None:
        raise UnreadableImageError("This row holds no image.")
    if isinstance(image, bytes):
        return image
    try:
        with fsspec.open(image) as file:
            content: bytes = file.read()
    except Exception as error:  # each storage has its own
        if leads_nowhere(error):
            raise UnreadableImageError(
                f"There is no image at {image:.200}: {error!s:.200}."
            ) from error
        raise OSError(f"{image:.200} cannot be read: {error!s:.200}") from error
    return content


def leads_nowhere(error: Exception) -> bool:
    """Tell whether a path or an address is to blame, and not the disk or the network."""
    cause = error.__cause__ or error  # fsspec finds no file on a server that is out of reach
    nothing_there = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    status = getattr(cause, "status", None) or 0  # of HTTP
    return (
        isinstance(cause, (*nothing_there, ValueError))  # ValueError: of a storage that none knows
        or getattr(cause, "errno", None) == errno.ENAMETOOLONG
        or (400 <= status < 500 and status not in (408, 429))  # these say "later"
    )


def predict(classifier: Classifier, images: list[NDArray[np.uint8]]) -> Iterator[NDArray[Any]]:
    """Yield ten probabilities for each of the (28, 28) images."""
    for start in range(0, len(images), BATCH):
        yield from classifier.predict(np.stack(images[start : start + BATCH])[..., np.newaxis])


def row(seen: Seen, probabilities: NDArray[Any] | None, classifier: Classifier) -> dict[str, Any]:
    """Say of one image what `Classifier.classify` says: a digit, or why there is none."""
    if seen.error is not None:
        return {"key": seen.key, "error": seen.error}
    if probabilities is None:
        even = [1 / CLASSES] * CLASSES
        return {"key": seen.key, "confidence": 0.0, "probabilities": even, "reason": "blank"}
    confidence = float(probabilities.max())
    sure = confidence >= classifier.threshold
    return {
        "key": seen.key,
        "digit": int(probabilities.argmax()) if sure else None,
        "confidence": confidence,
        "probabilities": probabilities,
        "reason": None if sure else "unsure",
    }
