import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from training.strokes import FARTHEST, Strokes, join, split, squared_depths, trace, trace_all


def same(one: Strokes, other: Strokes) -> bool:
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def test_digits_traced_together_have_the_strokes_that_each_has_alone(
    mnist: dict[str, NDArray[np.uint8]],
) -> None:
    images = mnist["test_images"][:60].copy()
    images[7], images[8] = 0, 255
    for image, strokes in zip(images, trace_all(images), strict=True):
        assert same(strokes, trace(image))


def test_strokes_come_apart_as_they_were_joined(mnist: dict[str, NDArray[np.uint8]]) -> None:
    one, other = trace_all(mnist["test_images"][:2])
    dot = Strokes(np.ones((1, 2)), np.zeros((0, 2), int))
    several = [dot, one, dot, other, dot]
    apart = split(join(several), np.array([len(strokes.points) for strokes in several]))
    assert len(apart) == 5 and all(map(same, several, apart))


def test_a_loop_that_ran_full_is_traced_round() -> None:
    rows, columns = np.indices((28, 28)) + 0.5
    stem = (np.abs(columns - 14) < 1.6) & (rows > 4) & (rows < 16)
    blot = np.hypot(rows - 18, columns - 14) < 5
    points, edges = trace(255 * (stem | blot).astype(np.uint8))
    assert np.hypot(*(points - [14, 18]).T).min() > 1, "nothing of the path is in its middle"
    assert len(edges) >= len(points), "it comes back to itself"


@settings(deadline=None, max_examples=50)
@given(arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 30))))
def test_depths_are_scipys_as_far_as_they_go(inside: NDArray[np.bool_]) -> None:
    for image, squared in zip(inside, squared_depths(inside), strict=True):
        if not image.all():  # SciPy measures from a false pixel, whatever there is
            expected = np.minimum(distance_transform_edt(image), FARTHEST) ** 2
            assert np.array_equal(squared, np.rint(expected))
        else:
            assert (squared == FARTHEST**2).all()
