"""Puts MNIST into a local Hub as `ylecun/mnist`, at the pinned revision."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from training.config import MNIST, MNIST_REVISION
from training.local_hub.storage import Repository

README = """\
---
configs:
- config_name: mnist
  data_files:
  - {split: train, path: mnist/train-*}
  - {split: test, path: mnist/test-*}
  default: true
dataset_info:
  config_name: mnist
  features:
  - {name: image, dtype: image}
  - name: label
    dtype: {class_label: {names: {'0': '0', '1': '1', '2': '2', '3': '3', '4': '4',
                                  '5': '5', '6': '6', '7': '7', '8': '8', '9': '9'}}}
---
# MNIST
The digits of ylecun/mnist in files of a stand-in's making: not the Hub's own.
"""


def seed_mnist(folder: Path, arrays: Mapping[str, NDArray[np.uint8]] | None = None) -> None:
    """Put MNIST into a local Hub, unless it is there.

    Args:
        folder: The local Hub's.
        arrays: {train,test}_images (n, 28, 28) and {train,test}_labels (n,);
            by default the offline copy, which takes some seconds.
    """
    repository = Repository(folder, "dataset", MNIST)
    if repository.exists:
        return
    if arrays is None:
        from training.data import load_embedded_mnist  # brings a Hub library in: not sooner

        arrays = load_embedded_mnist()
    with repository.scratch() as scratch:
        file = scratch / "file"
        file.write_text(README, "utf-8")
        files = {"README.md": repository.add(file, "README.md")}
        for split in ("train", "test"):
            write_parquet(file, arrays[f"{split}_images"], arrays[f"{split}_labels"])
            path = f"mnist/{split}-00000-of-00001.parquet"
            files[path] = repository.add(file, path)
    repository.commit(files, "Add MNIST", id=MNIST_REVISION)


def write_parquet(file: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    """Write a split: the columns image (PNG bytes, no path) and label."""
    encoded = [{"bytes": png(image), "path": None} for image in images]
    image = pa.array(encoded, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    pq.write_table(pa.table({"image": image, "label": labels.astype(np.int64)}), file)


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode a grey image, quickly rather than small."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()
