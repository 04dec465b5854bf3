"""The non-digits that are trained on; those of the tests are in `tests/non_digits.py`."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import non_digits as unseen
from training import non_digits as seen
from training.data import Digits


def test_the_seed_fixes_every_image(few_digits: Digits) -> None:
    first, again, other = (seen.draw_non_digits(few_digits.train, 40, seed) for seed in (7, 7, 8))
    assert first.shape == (40, 28, 28) and first.dtype == np.uint8
    assert (first == again).all()
    assert not (first == other).all((1, 2)).any()
    assert len(np.unique(first, axis=0)) == 40


@pytest.mark.parametrize("count", [0, 1, 7])
def test_outliers_favour_no_digit(few_digits: Digits, count: int) -> None:
    images, targets = seen.outliers(few_digits.train, count, 0)
    assert images.shape == (count, 28, 28)
    assert targets.shape == (count, 10) and (targets == np.float32(0.1)).all()


@pytest.mark.parametrize("kind", range(len(seen.KINDS)), ids=list(seen.KINDS))
def test_kinds_take_turns(few_digits: Digits, monkeypatch: pytest.MonkeyPatch, kind: int) -> None:
    def mark(*_: object) -> Image.Image:
        return Image.linear_gradient("L")

    marked = seen.draw_one(mark, few_digits.train, np.random.default_rng())
    monkeypatch.setitem(seen.KINDS, list(seen.KINDS)[kind], mark)
    drawn = seen.draw_non_digits(few_digits.train, 11, 0)
    assert [bool((image == marked).all()) for image in drawn] == [
        row % len(seen.KINDS) == kind for row in range(11)
    ]


def test_what_the_reader_sees_as_blank_is_drawn_again(few_digits: Digits) -> None:
    pages: list[Any] = [
        Image.linear_gradient("L"),
        Image.new("L", (99, 99)),
        Image.new("1", (9, 9)),
    ]
    found = seen.draw_one(lambda *_: pages.pop(), few_digits.train, np.random.default_rng())
    assert pages == [] and found.any()


def test_tests_and_training_share_no_font_and_no_drawing() -> None:
    assert not set(seen.FONTS) & set(unseen.FONTS)
    assert seen.KINDS.keys() == unseen.KINDS.keys()
    assert not set(seen.KINDS.values()) & set(unseen.KINDS.values())
    for name in ("FONTS", "SHAPES", "PATTERNS"):
        assert len(getattr(seen, name)) >= 8


def test_no_letter_is_a_digits_twin() -> None:
    for letters in (seen.LETTERS, unseen.LETTERS):
        assert not set(letters) & set("OIlSZBqgb")
