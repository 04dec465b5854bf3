import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.data import Digits, Split
from training.handwriting import STYLES, UNIT, dense, distances, pen_distances, write
from training.redraw import trace


def test_handwritings_are_fixed_by_the_seed_and_differ_from_each_other(few_digits: Digits) -> None:
    few = Split(few_digits.train.images[:40], few_digits.train.labels[:40])
    first, again, other = (pen_distances(few, 2, seed) for seed in (0, 0, 1))
    assert first.shape == (40, 2, 28, 28)
    assert (first == again).all()
    assert (first != other).any()
    assert (first[:, 0] != first[:, 1]).any((1, 2)).mean() > 0.95


def test_a_path_is_near_itself_and_fits_the_box(few_digits: Digits) -> None:
    few = Split(few_digits.train.images[:200], few_digits.train.labels[:200])
    near = pen_distances(few, 1, 0)[:, 0] < UNIT  # a pen of a pixel's radius
    rows, columns = near.any(2), near.any(1)
    assert 0.03 < near.mean() < 0.25
    sides = np.maximum(rows.sum(1), columns.sum(1))
    assert np.median(sides) == pytest.approx(19.5, abs=1.5)


@pytest.mark.parametrize("digit", STYLES)
def test_a_style_changes_many_but_not_all(digit: int, mnist: dict[str, NDArray[np.uint8]]) -> None:
    rng, changed = np.random.default_rng(0), 0
    images = mnist["train_images"][mnist["train_labels"] == digit][:100]
    for image in images:
        path = dense(trace(image))
        changed += len(STYLES[digit](path, rng)) != len(path)
    assert 10 < changed < 90


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.integers(0, 2**32 - 1), st.integers(0, 59_999))
def test_any_digit_can_be_written_by_any_hand(
    mnist: dict[str, NDArray[np.uint8]], label: int, seed: int, row: int
) -> None:
    rng = np.random.default_rng(seed)
    path = write(dense(trace(mnist["train_images"][row])), label, rng)
    assert np.isfinite(path).all()
    assert distances(path, label, rng).min() < UNIT
