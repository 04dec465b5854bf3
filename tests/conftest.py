"""What many tests share: MNIST, a small part of it, and one release trained for real."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

os.environ |= {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_ENDPOINT": "http://127.0.0.1:9",  # nobody listens there: tests that want a Hub start one
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",  # the stand-in has none
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

from training.data import Digits, cut_validation, load_embedded_mnist

ROOT = Path(__file__).parents[1]
PARAMETERS = 145_434  # of the network that is released


# Of two processes the first begins with what waits for the release, which is made then; the other
# meanwhile with what needs none, and what takes long comes before what would fill a gap at the end.
FIRST = (
    "test_release",
    "test_hostile_files",
    "test_local_hub",
    "test_local_hub_writing",
    "test_local_hub_spaces",
    "test_doctor",
    "test_hub",
    "test_data",
    "test_train",
    "test_rehearsal",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the files into that order."""
    rank = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(FIRST)))


def run_training(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m training` as a user would; return what it printed and its exit code."""
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="session")
def mnist() -> dict[str, NDArray[np.uint8]]:
    return load_embedded_mnist()


@pytest.fixture(scope="session")
def few_digits(mnist: dict[str, NDArray[np.uint8]]) -> Digits:
    """1,200 training digits, of which 100 are for validation, and 300 test digits."""
    few = {name: array[: 1_200 if "train" in name else 300] for name, array in mnist.items()}
    return cut_validation(few, "few", None, "folder")


@pytest.fixture(scope="session")
def own_digits(
    mnist: dict[str, NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a user's own digits: 400 to train and 100 to test, as parquet."""
    return write_dataset(tmp_path_factory.mktemp("own") / "digits", mnist, 400, 100)


def write_dataset(folder: Path, mnist: dict[str, NDArray[np.uint8]], train: int, test: int) -> Path:
    import datasets
    from PIL import Image

    folder.mkdir()
    for split, count in (("train", train), ("test", test)):
        images = [Image.fromarray(image) for image in mnist[f"{split}_images"][:count]]
        rows = {"image": images, "label": mnist[f"{split}_labels"][:count].tolist()}
        features = datasets.Features(
            image=datasets.Image(), label=datasets.ClassLabel(names=list("0123456789"))
        )
        datasets.Dataset.from_dict(rows, features).to_parquet(folder / f"{split}.parquet")
    return folder


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with a whole release, made with the preset quick; not to be changed.

    Of the processes that run tests the first one makes it, and the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "release" / "build"
    with FileLock(f"{folder.parent}.lock"):
        if not (folder.parent / "whole").exists():
            done = run_training("prepare", "--preset", "quick", "--build", folder)
            assert done.returncode == 0, done.stderr
            (folder / "prepare.log").write_text(done.stderr)
            (folder.parent / "whole").touch()
    return folder


@pytest.fixture(scope="session")
def model_dir(build: Path) -> Path:
    """The release's folder."""
    return build / "model"


@pytest.fixture(scope="session")
def url(build: Path) -> Iterator[str]:
    """The address of the Space, serving that release in a process of its own."""
    from training.bench.serving import running_space

    with running_space(build) as (url, _):
        yield url
