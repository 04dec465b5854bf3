"""Slanted, narrow or flat digits → less so: what the network does to a digit before it looks at it.

Of the operations that Keras has itself, so that every form of the model holds them and none needs
this file. They work on a network's symbolic tensors and on arrays alike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from space.reader.preprocessing import SIDE

UPRIGHT = 0.6  # share of its slant that is taken from a digit
STEEPEST = 0.8  # slant, in columns a row
ROUNDER = 0.5  # share of the source's enlargement of the shorter side, in logarithms
LARGEST = 1.8  # times the shorter side, at most
STEPS = (8, 4, 2, 1)  # pixels; together the farthest that a row moves, but for one
BATCH = 1_000  # images at once
LEAST = 0.1  # square pixels, of a variance
FROM_MIDDLE = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2


def straightened(images: Any, ink: Any = None) -> Any:
    """Shear each digit towards upright and enlarge its shorter side; its middle stays.

    Args:
        images: (n, 28, 28, 1), 0 to 255, white on black.
        ink: The same of the digits, where the images show something else of them.

    Returns:
        The same as the images, float32.

    Source: moment normalisation and aspect ratio mapping, of which this is a part: Liu et al. 2004,
    https://doi.org/10.1016/S0031-3203(03)00224-3.
    """
    y, x, yy, xy, xx = moments(images if ink is None else ink)
    slant = UPRIGHT * ops.clip(xy / yy, -STEEPEST, STEEPEST)
    width = ops.maximum(xx - 2 * slant * xy + slant * slant * yy, LEAST)
    times, narrow = enlargement(width, yy), width < yy
    across = stretch(x, ops.where(narrow, times, 1.0))
    down = stretch(y, ops.where(narrow, 1.0, times))
    rows = ops.reshape(ops.cast(images, "float32"), (-1, SIDE, SIDE))
    rows = moved(rows, slant * ops.subtract(FROM_MIDDLE, y))
    rows = ops.matmul(ops.transpose(down, (0, 2, 1)), ops.matmul(rows, across))
    return ops.expand_dims(rows, 3)


def moments(images: Any) -> list[Any]:
    """Measure where ink is: its middle, and its variances about it, five times (n, 1).

    Returns:
        The middle's y and x, from the image's, in pixels; the variance down, the covariance, the
        variance to the right.
    """
    down, right = (axis.ravel() for axis in np.meshgrid(FROM_MIDDLE, FROM_MIDDLE, indexing="ij"))
    powers = np.stack([down, right, down * down, right * down, right * right], 1)
    ink = ops.reshape(ops.cast(images, "float32"), (-1, SIDE * SIDE))
    mass = ops.sum(ink, 1, keepdims=True) + 1e-3  # or an empty image had no middle
    y, x, yy, xy, xx = ops.split(ops.matmul(ink, powers) / mass, 5, axis=1)
    return [y, x, ops.maximum(yy - y * y, LEAST), xy - x * y, xx - x * x]


def enlargement(width: Any, height: Any) -> Any:
    """Say how many times larger the shorter side becomes, by the variances of both, each (n, 1)."""
    ratio = ops.sqrt(ops.minimum(width, height) / ops.maximum(width, height))
    mapped = ops.sqrt(ops.sin(math.pi / 2 * ratio))
    return ops.minimum(ops.power(mapped / ratio, ROUNDER), LARGEST)


def stretch(middle: Any, times: Any) -> Any:
    """Weigh what each place of a line gives to each place of it, stretched about its middle.

    Args:
        middle: (n, 1), from the line's, in pixels: the place that stays.
        times: (n, 1) longer.

    Returns:
        (n, 28, 28), from place, to place: weights that interpolate.
    """
    sources = middle + ops.subtract(FROM_MIDDLE, middle) / times
    away = ops.subtract(FROM_MIDDLE[:, None], ops.expand_dims(sources, 1))
    return ops.relu(1.0 - ops.abs(away))


def moved(rows: Any, left: Any) -> Any:
    """Move each row of images (n, 28, 28) to the left by (n, 28) pixels, interpolating.

    To move it by 8, 4, 2 and 1 pixels or not at all is all done on whole images, without the
    tables of places that LiteRT is slow to look up.
    """
    farthest = sum(STEPS)
    rows = ops.pad(rows, ((0, 0), (0, 0), (STEPS[0], farthest + 1 - STEPS[0])))
    left = ops.clip(left, -STEPS[0], farthest - STEPS[0]) + STEPS[0]
    for step in STEPS:
        go = ops.cast(left >= step, "float32")
        left -= step * go
        rows = between(rows[:, :, :-step], rows[:, :, step:], go)
    return between(rows[:, :, :-1], rows[:, :, 1:], left)


def between(here: Any, there: Any, share: Any) -> Any:
    """Go a share (n, 28) of the way from each row of one image to that of another."""
    return here + ops.expand_dims(share, 2) * (there - here)


def straighten(
    images: NDArray[np.uint8], ink: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """Do so to arrays (n, 28, 28), rounding to whole grey values."""
    straight = np.empty_like(images)
    for start in range(0, len(images), BATCH):
        some = slice(start, start + BATCH)
        pair = (array[some, ..., np.newaxis] for array in (images, images if ink is None else ink))
        straight[some] = np.round(ops.convert_to_numpy(straightened(*pair))[..., 0])
    return straight
