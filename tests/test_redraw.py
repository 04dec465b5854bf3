import numpy as np
import pytest
from numpy.typing import NDArray

from space.reader import normalize
from training.redraw import (
    CANVAS,
    SIZE,
    draw,
    redraw,
    see_normalized,
    see_redrawn,
    see_resized,
)
from training.strokes import Strokes, trace


def test_a_traced_path_runs_through_the_ink(mnist: dict[str, NDArray[np.uint8]]) -> None:
    for image in mnist["test_images"][:100]:
        strokes = trace(image)
        columns, rows = np.clip(strokes.points, 0, 27.9).astype(int).T
        assert (image[rows, columns] > 60).mean() > 0.95
        assert len(strokes.edges) >= len(strokes.points) - 6, "it hardly breaks"


def test_the_path_of_a_bar_is_its_middle() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 12:16] = 255
    points = trace(image).points
    assert points[:, 0] == pytest.approx(14, abs=0.6)
    assert np.ptp(points[:, 1]) > 14


@pytest.mark.parametrize("value", [0, 1, 255])
def test_an_even_image_has_a_path_too(value: int) -> None:
    strokes = trace(np.full((28, 28), value, np.uint8))
    assert len(strokes.points) >= 1 and np.isfinite(strokes.points).all()


def test_drawings_differ_in_place_size_pen_and_polarity(
    mnist: dict[str, NDArray[np.uint8]],
) -> None:
    strokes, rng = trace(mnist["test_images"][0]), np.random.default_rng(0)
    drawings = [np.asarray(draw(strokes, rng)) for _ in range(60)]
    light = [drawing[0, 0] == 0 for drawing in drawings]
    assert 15 < sum(light) < 45
    ink = [(d if dark else 255 - d) > 127 for d, dark in zip(drawings, light, strict=True)]
    sides = [max(np.ptp(np.flatnonzero(mask.any(axis))) for axis in (0, 1)) for mask in ink]
    assert min(sides) > SIZE[0] * CANVAS and max(sides) < SIZE[1] * CANVAS + 30
    assert np.std(sides) > 20
    middles = [np.argwhere(mask).mean(0) for mask in ink]
    assert (np.std(middles, axis=0) > 15).all()


def test_a_drawing_of_one_point_is_a_dot() -> None:
    dot = Strokes(np.array([[14.0, 14.0]]), np.zeros((0, 2), np.int64))
    assert normalize(draw(dot, np.random.default_rng(0))).ink_share > 0


def test_the_same_rows_are_drawn_alike_alone_and_together(
    mnist: dict[str, NDArray[np.uint8]],
) -> None:
    images = mnist["test_images"][:300]
    together = see_redrawn(images)
    for row in (0, 7, 299):
        assert (together[row] == see_normalized(redraw(images[row], row))).all()


def test_a_plain_resize_is_what_the_number_is_hard_for(
    mnist: dict[str, NDArray[np.uint8]],
) -> None:
    seen = see_redrawn(mnist["test_images"][:200], see_resized)
    masses = (seen.astype(float) @ np.arange(28)).sum(1) / seen.sum((1, 2))
    assert np.std(masses) > 2, "the digits are where they were drawn"
    assert np.median(seen) == 0, "light on dark"
