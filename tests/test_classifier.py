import json
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from space.reader import Classifier, Release, ReleaseError, UnreadableImageError, find_release
from space.reader import classifier as module


@pytest.fixture(scope="module")
def classifier(model_dir: Path) -> Classifier:
    return Classifier(Release(model_dir))


def test_a_digit_is_answered_with_ten_probabilities(
    classifier: Classifier, mnist: dict[str, NDArray[np.uint8]]
) -> None:
    answer = classifier.classify(Image.fromarray(mnist["test_images"][0]))
    assert answer.digit == 7 == mnist["test_labels"][0]
    assert len(answer.probabilities) == 10
    assert sum(answer.probabilities) == pytest.approx(1, abs=1e-5)
    assert answer.confidence == max(answer.probabilities) == answer.probabilities[7]
    assert answer.reason is None and answer.seen is not None


def test_a_blank_is_an_answer_and_no_image_is_an_error(classifier: Classifier) -> None:
    blank = classifier.classify(Image.new("L", (280, 280), 255))
    assert (blank.digit, blank.reason, blank.seen) == (None, "blank", None)
    assert sum(blank.probabilities) == pytest.approx(1)
    with pytest.raises(UnreadableImageError):
        classifier.classify(b"no image")


@pytest.mark.parametrize("count", [1, 7, 500])
def test_images_are_answered_alike_alone_and_in_batches(
    classifier: Classifier, mnist: dict[str, NDArray[np.uint8]], count: int
) -> None:
    images = mnist["test_images"][:count, ..., None]
    together = classifier.predict(images)
    for row in {0, count // 2, count - 1}:
        assert classifier.predict(images[row : row + 1])[0] == pytest.approx(
            together[row], abs=1e-6
        )


def test_threads_get_their_own_answers(
    classifier: Classifier, mnist: dict[str, NDArray[np.uint8]]
) -> None:
    images = mnist["test_images"][:200, ..., None]
    expected = classifier.predict(images)
    wrong: list[int] = []

    def ask(first: int) -> None:
        for row in range(first, 200, 4):
            if np.abs(classifier.predict(images[row : row + 1]) - expected[row]).max() > 1e-5:
                wrong.append(row)

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_missing_and_a_damaged_model_say_what_to_do(tmp_path: Path, model_dir: Path) -> None:
    with pytest.raises(ReleaseError, match="no model at .*make demo"):
        Classifier(Release(tmp_path))
    (tmp_path / "model.tflite").write_bytes((model_dir / "model.tflite").read_bytes()[:9_000])
    with pytest.raises(ReleaseError, match="damaged or not a model"):
        Classifier(Release(tmp_path))


def test_a_folder_named_by_the_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    assert find_release() == Release(tmp_path)


def test_without_a_pinned_release_the_local_build_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MODEL_DIR", raising=False)
    assert find_release() == Release(module.LOCAL_RELEASE)


def test_a_pinned_release_that_cannot_be_had_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MODEL_DIR", raising=False)
    pin = {"id": "someone/digits", "commit": "a" * 40, "version": "v2026.01.01.1"}
    (tmp_path / "release.json").write_text(json.dumps(pin))
    monkeypatch.setattr(module, "SPACE", tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(module, "snapshot_download", refuse)
    with pytest.raises(ReleaseError, match="someone/digits at a+ could not be downloaded"):
        find_release()
