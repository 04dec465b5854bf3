import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.augmentation import pen_ink
from training.data import Digits, Split
from training.handwriting import (
    OUTLINE,
    STYLES,
    UNIT,
    curve,
    dense,
    depths,
    ink_depths,
    rewrite,
    write,
)
from training.redraw import see_redrawn
from training.strokes import trace


def test_handwritings_are_fixed_by_the_seed_and_differ_from_each_other(few_digits: Digits) -> None:
    few = Split(few_digits.train.images[:40], few_digits.train.labels[:40])
    first, again, other = (ink_depths(few, seed) for seed in (0, 0, 1))
    assert first.shape == (40, 28, 28)
    assert (first == again).all()
    assert (first != other).any((1, 2)).mean() > 0.95


def test_digits_written_together_come_out_as_each_does_alone(few_digits: Digits) -> None:
    images, labels = few_digits.train.images[:60], few_digits.train.labels[:60]
    together = rewrite(0, images, labels, range(60))
    for row in range(60):
        one = slice(row, row + 1)
        assert (rewrite(0, images[one], labels[one], [row])[0] == together[row]).all()


def test_drawn_digits_lie_where_the_reader_puts_them(few_digits: Digits) -> None:
    few = Split(few_digits.train.images[:200], few_digits.train.labels[:200])
    ink = ink_depths(few, 0) > OUTLINE
    sides = np.maximum(ink.any(2).sum(1), ink.any(1).sum(1))
    assert np.abs(sides - 20).max() <= 1
    places = np.arange(28) + 0.5
    for axis in (1, 2):
        centres = ink.sum(axis) @ places / ink.sum((1, 2))
        away = np.abs(centres - 14.5)
        assert np.quantile(away, 0.95) < 1, "to the whole pixel"
        assert away.max() < 2, "which ink of other depths may move to the next one"


def test_the_ink_is_as_wide_and_as_dark_as_the_reader_leaves_it(few_digits: Digits) -> None:
    few = Split(few_digits.train.images[:400], few_digits.train.labels[:400])
    depths = tf.constant(ink_depths(few, 0).reshape(-1, 28, 28, 1), tf.float32)
    drawn = pen_ink(depths, tf.zeros(len(depths)), tf.constant([0, 0])).numpy()[..., 0]
    read = see_redrawn(few.images).astype(np.float32)
    levels = (1, 64, 192, 250, 256)
    shares = [np.histogram(ink, levels)[0] / (ink >= 1).sum() for ink in (drawn, read)]
    assert np.abs(shares[0] - shares[1]).max() < 0.06
    assert drawn.mean() == pytest.approx(read.mean(), rel=0.15)


def test_some_hands_are_steadier_than_others(mnist: dict[str, NDArray[np.uint8]]) -> None:
    rng, strokes = np.random.default_rng(0), trace(mnist["train_images"][0])
    starts, ends = strokes.edges.T
    hands = [path[: len(strokes.points)] for path in dense([strokes] * 20, [rng] * 20)]
    lengths = [np.hypot(*(hand[starts] - hand[ends]).T).sum() for hand in hands]
    assert max(lengths) > 1.01 * min(lengths), "what wavers is a longer way"


@pytest.mark.parametrize("digit", STYLES)
def test_a_style_changes_many_but_not_all(digit: int, mnist: dict[str, NDArray[np.uint8]]) -> None:
    rng, changed = np.random.default_rng(0), 0
    images = mnist["train_images"][mnist["train_labels"] == digit][:100]
    for image in images:
        (path,) = dense([trace(image)], [rng])
        changed += len(STYLES[digit](path, rng)) != len(path)
    assert 10 < changed < 90


def test_sevens_have_bars_and_hooks_and_ones_flags_as_long_as_roofs(
    mnist: dict[str, NDArray[np.uint8]],
) -> None:
    rng, strokes, flags = np.random.default_rng(0), set(), []
    for digit in (1, 7):
        for image in mnist["train_images"][mnist["train_labels"] == digit][:100]:
            (path,) = dense([trace(image)], [rng])
            added = STYLES[digit](path, rng)[len(path) :]
            top = path[path[:, 1].argmin()]
            if digit == 7:
                strokes.add(len(added) // len(curve(top, top, top)))
            elif len(added) and np.allclose(added[0], top):
                flags.append(np.hypot(*(added[59] - top)) / np.ptp(path[:, 1]))
    assert strokes == {0, 1, 2}
    assert 0.29 < min(flags) < max(flags) < 0.91
    assert max(flags) > 0.82


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.integers(0, 2**32 - 1), st.integers(0, 59_999))
def test_any_digit_can_be_written_by_any_hand(
    mnist: dict[str, NDArray[np.uint8]], label: int, seed: int, row: int
) -> None:
    rng = np.random.default_rng(seed)
    (path,) = dense([trace(mnist["train_images"][row])], [rng])
    path = write(path, label, rng)
    assert np.isfinite(path).all()
    assert depths([path], [label], [rng]).max() > OUTLINE + UNIT / 2


@pytest.mark.parametrize(("label", "closed"), [(0, True), (4, False)])
def test_narrow_gaps_run_full_now_and_then_but_not_a_fours(label: int, closed: bool) -> None:
    height = np.linspace(0, 20, 60)
    path = np.concatenate([np.stack([np.full(60, x), height], 1) for x in (0.0, 4.8)])
    rngs = [np.random.default_rng(seed) for seed in range(400)]
    ink = depths([path] * 400, [label] * 400, rngs)[:, 14] > OUTLINE
    edges = (ink[:, 1:] != ink[:, :-1]).sum(1)
    assert 0.005 < (edges == 2).mean() < 0.1 if closed else (edges == 4).all()
