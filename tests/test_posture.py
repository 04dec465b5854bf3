from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.augmentation import EDGE
from training.bench.presets import Finish
from training.config import PRESETS
from training.data import Digits, Split
from training.handwriting import OUTLINE, UNIT, ink_depths
from training.model import BUILDERS, build_trained, prepared
from training.posture import (
    BATCH,
    LARGEST,
    ROUNDER,
    STEEPEST,
    UPRIGHT,
    moved,
    straighten,
    straightened,
    stretch,
)
from training.stage import read_json
from training.train import as_released, distorted_batches, handwritings


def shape_of(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Measure ink's slant, in columns a row, and its width, upright, in parts of its height."""
    places = np.indices(image.shape).reshape(2, -1)
    (yy, xy), (_, xx) = np.cov(places, aweights=image.ravel().astype(float))
    return xy / yy, np.sqrt((xx - xy * xy / yy) / yy)


def bar(slant: float = 0.0, width: float = 6.0) -> NDArray[np.uint8]:
    """Draw a bar of so many pixels that leans so."""
    rows, columns = np.mgrid[:28, :28]
    away = np.abs(columns - 13.5 - slant * (rows - 13.5))
    inside = (rows >= 4) & (rows < 24)
    return (255 * np.clip(width / 2 + 0.5 - away, 0, 1) * inside).astype(np.uint8)


def test_most_of_a_slant_is_taken() -> None:
    bars = np.stack([bar(slant) for slant in np.linspace(-0.6, 0.6, 25)])
    before, widths = np.transpose([shape_of(image) for image in bars])
    after, wider = np.transpose([shape_of(image) for image in straighten(bars)])
    assert after == pytest.approx((1 - UPRIGHT) * before * wider / widths, abs=0.03)


def test_what_leans_more_than_any_digit_is_not_sheared_further() -> None:
    rows = np.arange(28.0)[:, None] - 13.5
    steep = np.where(np.abs(np.arange(28) - 13.5 - 1.2 * rows) < 2, 255, 0).astype(np.uint8)
    (slant, width), (left, wider) = map(shape_of, (steep, straighten(steep[np.newaxis])[0]))
    assert slant > 1.2 * STEEPEST
    assert left == pytest.approx((slant - UPRIGHT * STEEPEST) * wider / width, rel=0.15)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("width", [6.0, 8.0, 12.0, 16.0])
def test_a_digits_shorter_side_is_enlarged(width: float, turned: bool) -> None:
    image = bar(width=width)
    straight = straighten((image.T if turned else image)[np.newaxis])[0]
    before, after = (shape_of(image)[1] for image in (image, straight.T if turned else straight))
    expected = np.sqrt(np.sin(np.pi / 2 * before)) ** ROUNDER * before ** (1 - ROUNDER)
    assert after == pytest.approx(expected, rel=0.07)


def test_no_digit_is_made_much_larger() -> None:
    stick = bar(width=2.0)
    images = np.stack([stick, stick.T])
    times = straighten(images).sum((1, 2)) / images.sum((1, 2))
    assert times == pytest.approx([LARGEST] * 2, rel=0.05)


def test_many_digits_are_made_so_as_each_alone(mnist: dict[str, NDArray[np.uint8]]) -> None:
    digits = mnist["train_images"][: BATCH + 2]
    for row in (0, BATCH - 1, BATCH, BATCH + 1):
        assert (straighten(digits)[row] == straighten(digits[row : row + 1])[0]).all()
    assert straighten(digits[:0]).shape == (0, 28, 28)


def test_a_digits_middle_stays(mnist: dict[str, NDArray[np.uint8]]) -> None:
    off_middle = np.roll(np.stack([bar(width=8.0), bar(width=8.0).T]), (-3, 2), (1, 2))
    digits = np.concatenate([mnist["train_images"][:500], off_middle])
    pairs = [images.astype(float) for images in (digits, straighten(digits))]
    for axis in (1, 2):
        before, after = (images.sum(axis) @ np.arange(28) / images.sum((1, 2)) for images in pairs)
        assert np.abs(after - before).max() < 0.3


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_rows_move_and_stretch_between_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (1, 28, 28)).astype(np.float32)
    left, x = rng.uniform(-8, 7, (1, 28)).astype(np.float32), rng.uniform(-5, 5)
    times, places = rng.uniform(1, LARGEST), np.arange(28)
    longer = 13.5 + x + (places - 13.5 - x) / times
    padded, where = np.pad(image[0], ((0, 0), (20, 20))), np.arange(-20, 48)
    expected = [
        [np.interp(places + move, where, row) for row, move in zip(padded, left[0], strict=True)],
        [np.interp(longer, where, row) for row in padded],
    ]
    assert np.array(moved(image, left))[0] == pytest.approx(np.array(expected[0]), abs=0.01)
    found = image @ np.array(stretch(np.float32([[x]]), np.float32([[times]])))
    assert found[0] == pytest.approx(np.array(expected[1]), abs=0.01)


@pytest.mark.parametrize("rows", [slice(0), slice(1), slice(27, 28), slice(2), slice(28)])
def test_any_image_stays_an_image(rows: slice) -> None:
    images = np.zeros((20, 28, 28, 1), np.float32)
    images[:, rows] = np.random.default_rng(0).integers(0, 256, images[:, rows].shape)
    straight = np.array(straightened(images))
    assert straight.shape == images.shape
    assert 0 <= straight.min() <= straight.max() <= 255


def test_other_images_may_say_how_much() -> None:
    images = np.stack([bar(0.4), bar(0.0)])
    ink = np.stack([bar(0.0), bar(0.4)]).astype(np.float32)
    slants = [shape_of(image)[0] for image in straighten(images, ink)]
    assert slants[0] > 0.4
    assert slants[1] < -0.2


def test_training_sees_digits_as_the_network_makes_them() -> None:
    bars = np.stack([bar(0.5)] * 256)
    split, config = Split(bars, np.ones(256, np.uint8)), replace(PRESETS["quick"], handwriting=0.0)
    config = replace(config, damaged=0.0, non_digits=0.0)
    ((seen, _),) = distorted_batches(split, config, 1).take(1)
    undistorted = (seen.numpy()[..., 0] == straighten(bars[:1])).all((1, 2))
    assert 0.05 < undistorted.mean() < 0.3


def test_other_hands_digits_are_made_so_by_their_ink(mnist: dict[str, NDArray[np.uint8]]) -> None:
    split = Split(mnist["train_images"][:50], mnist["train_labels"][:50])
    config = replace(PRESETS["release"], traced=50)
    depths = ink_depths(split, config.seed)
    ink = 255 * np.clip((depths.astype(np.float32) - OUTLINE) / UNIT / EDGE + 0.5, 0, 1)
    drawn = handwritings(split, config)[0].result()[..., 0].astype(int)
    assert np.abs(drawn - straighten(depths, ink)).max() <= 1
    assert np.abs(drawn - straighten(depths)).max() > 20, "depths are no ink"


@pytest.mark.parametrize("network", BUILDERS)
def test_a_release_does_to_digits_what_was_done_before_its_training(
    network: str, mnist: dict[str, NDArray[np.uint8]]
) -> None:
    images = mnist["test_images"][:100]
    trained = build_trained(network)
    preset = {"small": "release"}.get(network, network)
    released = as_released(trained, PRESETS[preset])
    assert released.predict(images[..., np.newaxis], verbose=0) == pytest.approx(
        trained.predict(prepared(images, network), verbose=0), abs=2e-3
    ), "but for rounding to whole grey values"
    assert (prepared(images, network)[..., 0] == images).all() == (network == "baseline")


def test_the_curve_is_of_digits_as_the_release_sees_them(build: Path) -> None:
    last = read_json(build / "model" / "history.json", "")["curves"]["val_accuracy"][-1]
    reached = read_json(build / "model" / "metrics.json", "")["validation"]["accuracy"]
    assert last == pytest.approx(reached, abs=5e-4), "but for rounding to whole grey values"


def test_a_race_ends_where_the_release_would_reach_the_goal(
    model_dir: Path, mnist: dict[str, NDArray[np.uint8]]
) -> None:
    released, running = keras.models.load_model(model_dir / "model.keras"), build_trained("small")
    running.set_weights(released.get_weights())
    images, labels = mnist["test_images"], mnist["test_labels"]
    straight, slanted = (
        model.predict(images[..., np.newaxis], batch_size=500, verbose=0).argmax(1) == labels
        for model in (released, running)
    )
    only = straight & ~slanted
    assert only.sum() > 10
    few = Split(images[only], labels[only])
    race = Finish(Digits(few, few, few, "few", None, "folder"))
    race.set_model(running)
    race.on_epoch_end(0)
    assert race.seconds is not None
