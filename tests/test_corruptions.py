import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from space.reader import Classifier, Release
from training import corruptions
from training.card import worse_than
from training.config import REFERENCE
from training.corruptions import KINDS, LEVELS, choose_rows, corrupt, measure, see_both
from training.data import Digits, Split
from training.redraw import see_normalized
from training.stage import read_json


@pytest.mark.parametrize("kind", KINDS)
def test_damage_grows_with_its_level_and_is_the_seeds(
    kind: str, mnist: dict[str, NDArray[np.uint8]]
) -> None:
    images = mnist["test_images"][:40]
    harm = []
    for level in range(1, LEVELS + 1):
        damaged = np.stack([corrupt(image, kind, level, row) for row, image in enumerate(images)])
        assert damaged.dtype == np.uint8 and damaged.shape == images.shape
        assert (damaged[7] == corrupt(images[7], kind, level, 7)).all()
        harm.append(np.abs(damaged.astype(float) - images).mean())
    assert harm[0] > 1
    assert harm[-1] > 1.3 * harm[0]
    assert (np.diff(harm) > -0.5).all(), harm


def test_no_digit_is_damaged_twice_in_one_way() -> None:
    rows = choose_rows(10_000)
    assert rows.shape == (len(KINDS), LEVELS, corruptions.DIGITS_PER_LEVEL)
    for chosen in rows.reshape(len(KINDS), -1):
        assert len(set(chosen.tolist())) == chosen.size


def test_the_reader_sees_what_it_would_see_of_the_damaged_image(
    mnist: dict[str, NDArray[np.uint8]],
) -> None:
    ((seen, raw),) = see_both(mnist["test_images"][3:4], ["shift"], [5], [3])
    assert (raw == corrupt(mnist["test_images"][3], "shift", 5, 3)).all()
    assert (seen == see_normalized(Image.fromarray(raw))).all()
    assert (seen != raw).any()


class Constant:
    """Answers 3, whatever it is shown."""

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.eye(10, dtype=np.float32)[np.full(len(images), 3)]


def test_errors_are_counted_against_labels_and_a_blank_is_one(few_digits: Digits) -> None:
    few = few_digits.test.images[:20]
    labels = np.full(20, 3, np.uint8)
    found = measure(Constant(), Split(few, labels))  # type: ignore[arg-type]
    assert found["n"] == 4
    assert found["raw"]["mean_error"] == 0
    blank = np.zeros_like(few)
    found = measure(Constant(), Split(blank, labels))  # type: ignore[arg-type]
    for kind in ("shift", "scale", "blur", "occlusion"):
        assert found["raw"]["kinds"][kind]["error"] == 1
        assert found["normalized"]["kinds"][kind]["n"] == 20
    other = measure(Constant(), Split(few, labels + 1))  # type: ignore[arg-type]
    assert other["normalized"]["mean_error"] == 1


def test_normalising_mends_what_moves_and_fades(model_dir: object, few_digits: Digits) -> None:
    few = Split(few_digits.test.images[:150], few_digits.test.labels[:150])
    found = measure(Classifier(Release(model_dir)), few)  # type: ignore[arg-type]
    for kind in ("shift", "scale"):
        normalized, raw = (found[how]["kinds"][kind]["error"] for how in ("normalized", "raw"))
        assert normalized < 0.5 * raw, kind
    assert found["normalized"]["mean_error"] < 0.8 * found["raw"]["mean_error"]


@pytest.mark.parametrize("kind", ["stripes", "fog", "noise"])
def test_what_hides_the_paper_is_left_to_the_model(
    kind: str, mnist: dict[str, NDArray[np.uint8]]
) -> None:
    pairs = see_both(mnist["test_images"][:60], [kind] * 60, [5] * 60, range(60))
    assert np.mean([(seen == raw).all() for seen, raw in pairs]) > 0.8


def test_damage_makes_the_release_err_half_as_often_as_the_baseline() -> None:
    trained = read_json(REFERENCE, "make reference")["training"]
    release, baseline = (trained[preset]["corruptions"] for preset in ("release", "baseline"))
    assert release["normalized"]["mean_error"] <= baseline["raw"]["mean_error"] / 2
    assert worse_than(release, baseline) == []
