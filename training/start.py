"""A release to go on from: its weights, to fine-tune on other digits.

Called by `train.py`; reads from the Hub or from a folder, writes nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from httpx2 import HTTPError
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from numpy.typing import NDArray

from training.config import REPOSITORY
from training.stage import StageError

FILE = "model.keras"


def load_start(release: str) -> list[NDArray[np.float32]]:
    """Load a release's weights.

    Args:
        release: A folder that holds model.keras, or a Hub id, pinned by a tag or commit if one
            follows: "your-name/handwritten-digits@v2026.11.23.1".

    Returns:
        The network's arrays, as Keras orders them.

    Raises:
        StageError: If there is no such release, or it is damaged.
    """
    from training.export import load_network  # which loads TensorFlow

    weights: list[NDArray[np.float32]] = load_network(find_network(release)).get_weights()
    return weights


def find_network(release: str) -> Path:
    """Return a release's model.keras, fetched from the Hub where it is no folder."""
    if (file := Path(release) / FILE).is_file():
        return file
    id, _, revision = release.partition("@")
    if not REPOSITORY.fullmatch(id):
        raise StageError(no_release(release, "no name of one"))
    try:
        return Path(hf_hub_download(id, FILE, revision=revision or None))
    except (HTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise StageError(no_release(release, type(error).__name__)) from error


def no_release(release: str, reason: str) -> str:
    """Say that there is no such release, and what to pass."""
    return (
        f"{release} is neither a folder with {FILE} nor a release that the Hub gives ({reason}). "
        "Pass --from your-name/digits, or with @version."
    )
