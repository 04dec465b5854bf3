import numpy as np
import pytest
import tensorflow as tf

from training import augmentation
from training.augmentation import bars, damage, distort, pen_ink, strengths
from training.handwriting import OUTLINE, UNIT

DOT = np.zeros((500, 28, 28, 1), np.uint8)
DOT[:, 12:16, 12:16] = 255
FULL = tf.ones(500)


def centres(images: np.ndarray) -> np.ndarray:
    """Return the centre of mass of each image, (n, 2)."""
    places = np.arange(28)
    mass = images[..., 0].sum((1, 2))
    rows, columns = (images[..., 0].sum(axis) @ places / mass for axis in (2, 1))
    return np.stack([rows, columns], 1)


def test_the_same_seed_distorts_alike_and_another_does_not() -> None:
    first, again, other = (
        distort(DOT, FULL, tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert (first == again).all()
    assert (first != other).any()


def test_images_of_a_batch_are_distorted_differently_but_never_far() -> None:
    moved = centres(distort(DOT, FULL, tf.constant([0, 0])).numpy()) - centres(DOT)
    assert moved.std(0) == pytest.approx(augmentation.SHIFT / 3**0.5, rel=0.15)
    assert np.abs(moved).max() < augmentation.SHIFT * 1.5


def test_without_strength_the_images_are_unchanged() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), np.uint8)
    assert np.abs(distort(images, tf.zeros(4), tf.constant([0, 0])).numpy() - images).max() < 0.01


def test_some_images_stay_as_they_are_and_the_others_are_distorted_less_in_the_end() -> None:
    begun, ended = (strengths(10_000, at, tf.constant([0, 0])).numpy() for at in (0.1, 1.0))
    assert (begun == 0).mean() == pytest.approx(augmentation.UNDISTORTED, abs=0.02)
    assert set(begun) == {0.0, 1.0}
    assert ended.max() == pytest.approx(augmentation.WEAKEST)


def test_ink_is_full_within_the_outline_and_none_without() -> None:
    depths = tf.constant([OUTLINE - UNIT, OUTLINE, OUTLINE + UNIT], tf.float32)
    ink = pen_ink(tf.reshape(depths, (3, 1, 1, 1)), tf.zeros(3), tf.constant([0, 0]))
    assert ink.numpy().ravel().tolist() == [0, 127.5, 255]
    swollen = pen_ink(tf.fill((500, 1, 1, 1), float(OUTLINE)), FULL, tf.constant([0, 0])).numpy()
    assert swollen.mean() == pytest.approx(127.5, abs=10) and swollen.std() > 30


def test_a_right_turn_is_the_same_for_every_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHEAR", "SCALE", "SHIFT"):
        monkeypatch.setattr(augmentation, name, 0.0)
    bar = np.zeros((200, 28, 28, 1), np.uint8)
    bar[:, 4:24, 13:15] = 255
    turned = distort(bar, tf.ones(200), tf.constant([0, 0])).numpy()
    assert centres(turned) == pytest.approx(centres(bar), abs=0.1), "it turns about the middle"
    lean = [np.polyfit(*np.nonzero(image[..., 0] > 127), 1)[0] for image in turned]
    assert np.abs(np.arctan(lean)).max() == pytest.approx(augmentation.ROTATION, rel=0.15)


def test_a_share_of_a_batch_is_damaged_in_four_ways_and_the_rest_is_as_it_was() -> None:
    images = tf.constant(DOT, tf.float32)
    first, again, other = (
        damage(images, 0.4, tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert (first == again).all() and (first != other).any()
    assert (first[200:] == DOT[200:]).all()
    assert first.min() >= 0 and first.max() <= 255
    damaged = first[:200, ..., 0]
    less = (damaged < DOT[:200, ..., 0]).any((1, 2)) & (damaged[:, :3, :3] == 0).all((1, 2))
    even = (damaged.std(1).max(1) < 60) | (damaged.std(2).max(1) < 60)
    assert 0.05 < less.mean() < 0.35, "some lose ink and gain none"
    assert 0.5 < (damaged[:, :4] > 0).any((1, 2)).mean() < 0.95 and even.any()
    assert (damage(images, 0.0, tf.constant([1, 2])).numpy() == DOT).all()


def test_bars_are_three_or_four_pixels_wide_and_lie_either_way() -> None:
    draws = tf.random.stateless_uniform((200, 3, 1, 1, 1), [0, 0])
    laid = bars(*tf.unstack(draws, axis=1)).numpy()[..., 0]
    assert set(laid.ravel()) == {0.0, 1.0}
    upright = (laid == laid[:, :1]).all((1, 2))
    assert 60 < upright.sum() < 140
    widths = {
        len(run)
        for row in laid[upright, 0]
        for run in "".join(map(str, map(int, row))).strip("1").split("0")
        if run
    }
    assert widths == {3, 4}
