import io
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import HfApi, constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import ROOT, write_dataset
from training import data, hub
from training.data import (
    MNIST_SHA256,
    DatasetError,
    DownloadError,
    Split,
    check_mnist,
    cut_validation,
    decode_image,
    decode_splits,
    load_digits,
    load_hub_mnist,
    load_mnist,
    probe_hub,
)
from training.local_hub.mnist import seed_mnist
from training.local_hub.server import running_hub

Arrays = dict[str, NDArray[np.uint8]]


def test_the_offline_copy_is_mnist(mnist: Arrays) -> None:
    check_mnist(mnist)
    assert mnist["train_images"].shape == (60_000, 28, 28)
    assert mnist["test_images"].shape == (10_000, 28, 28)


@pytest.mark.parametrize("name", MNIST_SHA256)
def test_one_altered_pixel_or_label_is_found(mnist: Arrays, name: str) -> None:
    altered = mnist[name].copy()
    altered.flat[-1] ^= 1
    with pytest.raises(DatasetError, match=f"{name} .*sha256 [0-9a-f]{{64}}, not [0-9a-f]{{64}}"):
        check_mnist(mnist | {name: altered})


def test_validation_is_cut_from_train_and_the_test_set_is_whole(mnist: Arrays) -> None:
    digits = cut_validation(mnist, "mnist", None, "folder")
    assert [len(split.labels) for split in (digits.train, digits.validation, digits.test)] == [
        55_000,
        5_000,
        10_000,
    ]
    both = np.concatenate([digits.train.images, digits.validation.images])
    assert sorted(image.tobytes() for image in both) == sorted(
        image.tobytes() for image in mnist["train_images"]
    )
    shares = np.bincount(digits.validation.labels) / np.bincount(mnist["train_labels"])
    assert np.ptp(shares) < 2e-4
    again = cut_validation(mnist, "mnist", None, "folder")
    assert (again.validation.images == digits.validation.images).all()


@pytest.mark.parametrize("count", [10, 100, 999])
def test_some_digits_of_a_sorted_split_are_of_every_class(mnist: Arrays, count: int) -> None:
    labels = np.sort(mnist["test_labels"])[::10]
    some = Split(mnist["test_images"][::10], labels).some(count)
    assert some.images.shape == (count, 28, 28) and (np.diff(some.labels) >= 0).all()
    of_each = np.bincount(labels) * count / len(labels)
    assert np.abs(np.bincount(some.labels, minlength=10) - of_each).max() <= 1


def test_all_digits_are_taken_where_there_are_fewer(mnist: Arrays) -> None:
    few = Split(mnist["test_images"][:7], mnist["test_labels"][:7])
    assert (few.some(8).images == few.images).all()
    assert few.some(8).labels.tolist() == few.labels.tolist()


def test_a_hub_that_accepts_and_says_nothing_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code = "import time; from training.data import probe_hub; t = time.monotonic(); "
        code += "print(probe_hub()); print(time.monotonic() - t)"
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30
        )
    reason, seconds = done.stdout.splitlines()
    assert reason != "None"
    assert float(seconds) < 6


def test_without_a_hub_one_line_says_that_the_offline_copy_serves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "training")
    started = time.monotonic()
    assert probe_hub() is not None
    digits = load_digits()
    assert time.monotonic() - started < 12
    assert digits.origin == "offline copy"
    assert [record.message for record in caplog.records if "offline copy" in record.message]
    assert len(caplog.records) == 1


def test_a_folder_of_own_digits_is_read_as_it_is(own_digits: Path, mnist: Arrays) -> None:
    digits = load_digits(str(own_digits))
    assert (digits.test.images == mnist["test_images"][:100]).all()
    assert (digits.test.labels == mnist["test_labels"][:100]).all()
    assert len(digits.train.labels) + len(digits.validation.labels) == 400
    assert digits.origin == "folder"


def test_class_folders_of_larger_images_are_brought_to_mnists_form(
    tmp_path: Path, mnist: Arrays
) -> None:
    for split in ("train", "test"):
        for row in range(30):
            digit = mnist[f"{split}_labels"][row]
            if digit in (3, 7):  # a class's name tells the digit, not its place in the list
                place = tmp_path / split / str(digit)
                place.mkdir(parents=True, exist_ok=True)
                image = Image.fromarray(255 - mnist[f"{split}_images"][row])
                image.resize((200, 200)).save(place / f"{row}.png")
    digits = load_digits(str(tmp_path))
    assert set(digits.test.labels) == {3, 7}
    assert digits.test.images.shape[1:] == (28, 28)
    assert digits.test.images[:, 0].max() < 60, "the paper is black"


def test_dark_ink_in_28_pixels_is_turned_light(tmp_path: Path, mnist: Arrays) -> None:
    image = mnist["test_images"][0]
    kept, turned = io.BytesIO(), io.BytesIO()
    Image.fromarray(image).save(kept, "PNG")
    Image.fromarray(255 - image).save(turned, "PNG")
    assert (decode_image({"bytes": kept.getvalue()}) == image).all()
    assert np.abs(decode_image({"bytes": turned.getvalue()}).astype(int) - image).max() <= 2


def rows(**columns: Any) -> datasets.Dataset:
    return datasets.Dataset.from_dict(columns)


GOOD = {"image": [Image.new("L", (28, 28), 40)], "label": [5]}
BAD = {
    "no test split": ({"train": GOOD}, "split test is missing or empty; found: train"),
    "empty split": (
        {"train": GOOD, "test": {"image": [], "label": []}},
        "split test is missing or empty",
    ),
    "wrong columns": (
        {"train": {"pixels": [[0]], "digit": [1]}, "test": GOOD},
        "train needs the columns image and label; found: pixels, digit",
    ),
    "label too large": (
        {"train": GOOD, "test": {"image": GOOD["image"] * 2, "label": [9, 10]}},
        "Row 1 of test has the label '10', not one of 0 to 9",
    ),
    "label negative": (
        {"train": {"image": GOOD["image"], "label": [-1]}, "test": GOOD},
        "Row 0 of train has the label '-1'",
    ),
    "label missing": (
        {"train": GOOD, "test": {"image": GOOD["image"] * 2, "label": [1, None]}},
        "Row 1 of test has the label 'None'",
    ),
    "blank": (
        {"train": GOOD, "test": {"image": [Image.new("L", (28, 28))], "label": [1]}},
        "image in row 0 of test is no digit: There is nothing to read",
    ),
    "not an image": (
        {"train": {"image": [{"bytes": b"no image", "path": None}], "label": [1]}, "test": GOOD},
        "image in row 0 of train is no digit: This file cannot be read",
    ),
    "no image at all": (
        {"train": {"image": [None], "label": [1]}, "test": GOOD},
        "image in row 0 of train",
    ),
    "numbers for images": (
        {"train": {"image": [3], "label": [1]}, "test": GOOD},
        "column image of train",
    ),
}


@pytest.mark.parametrize(("splits", "message"), BAD.values(), ids=BAD)
def test_bad_rows_are_named(splits: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        decode_splits({name: rows(**columns) for name, columns in splits.items()})


def test_a_row_that_nobody_has_labelled_is_named() -> None:
    names = datasets.ClassLabel(names=list("0123456789"))
    features = datasets.Features(image=datasets.Image(), label=names)
    columns = {"image": GOOD["image"] * 2, "label": [3, -1]}
    unlabelled = datasets.Dataset.from_dict(columns, features)
    with pytest.raises(DatasetError, match="Row 1 of train has the label '-1'"):
        decode_splits({"train": unlabelled, "test": rows(**GOOD)})


@pytest.mark.parametrize("revision", [None, "older"])
def test_a_dataset_of_the_hub_is_loaded_at_the_commit_that_is_asked_for(
    revision: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Api:
        def dataset_info(self, _: str, revision: str | None, timeout: float) -> SimpleNamespace:
            return SimpleNamespace(sha=revision or "newest")

    some = rows(image=GOOD["image"] * 20, label=list(range(10)) * 2)
    asked: list[str] = []

    def load(_: str, revision: str) -> dict[str, datasets.Dataset]:
        asked.append(revision)
        return {"train": some, "test": some}

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(data, "load_splits", load)
    digits = load_digits("someone/digits", revision)
    assert asked == [digits.revision] == [revision or "newest"]


@pytest.mark.parametrize("name", ["/nowhere/at/all", "digits", "a/b/c", ""])
def test_a_dataset_that_is_neither_folder_nor_hub_id_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match="neither a folder nor a Hub id"):
        load_digits(name)


def test_a_truncated_parquet_file_is_one_clear_error(tmp_path: Path, mnist: Arrays) -> None:
    folder = write_dataset(tmp_path / "digits", mnist, 50, 20)
    file = folder / "train.parquet"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DatasetError, match="cannot be loaded .* image and label"):
        load_digits(str(folder))
    shutil.rmtree(folder)


@pytest.mark.slow  # 70,000 PNG files are written and read
def test_the_hub_and_the_offline_copy_end_in_the_same_arrays(mnist: Arrays, tmp_path: Path) -> None:
    seed_mnist(tmp_path / "hub", mnist)
    code = "from training.data import load_mnist; print(load_mnist()[1])"  # checks every sha256
    with running_hub(tmp_path / "hub") as endpoint:
        environment = os.environ | {
            "HF_ENDPOINT": endpoint.replace("127.0.0.1", "localhost"),  # as if it were another
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
        )
    assert done.stdout == "hub\n", done.stderr


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [("https://huggingface.co", "hub"), ("http://127.0.0.1:9", "offline copy")],
)
def test_a_hub_on_this_machine_is_said_to_hold_the_offline_copy(
    mnist: Arrays, monkeypatch: pytest.MonkeyPatch, endpoint: str, origin: str
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(data, "probe_hub", lambda: None)
    monkeypatch.setattr(data, "load_hub_mnist", lambda: mnist)
    assert load_mnist()[1] == origin


def test_where_the_download_fails_the_offline_copy_serves(
    mnist: Arrays, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Arrays:
        raise errors.pop()

    errors = [DatasetError("The split test is missing"), DownloadError("no download: HTTP 503")]

    monkeypatch.setattr(data, "probe_hub", lambda: None)
    monkeypatch.setattr(data, "load_hub_mnist", fail)
    monkeypatch.setattr(data, "load_embedded_mnist", lambda: mnist)
    caplog.set_level("INFO", "training")
    assert load_mnist()[1] == "offline copy"
    assert "gives none (no download: HTTP 503)" in caplog.text
    with pytest.raises(DatasetError, match="The split test is missing"):
        load_mnist()


def test_a_hub_that_falls_silent_while_it_is_listed_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_client_factory(default_client_factory)  # as in a process that has asked for nothing else
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = HfApi(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(datasets, "load_dataset", lambda id, **_: api.list_repo_files(id))
        with pytest.raises(DatasetError, match=r"no download: timed out"):
            load_hub_mnist()
