"""Digits → the strokes that wrote them: their skeletons.

Many digits are worked on at once, as one image where they lie below each other: for each alone,
most of the time would be spent on calling.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter
from skimage.morphology import skeletonize

from space.reader.preprocessing import SIDE, box_of

FINER = 3  # a skeleton is found on a grid this much finer
INK = 110  # of 255: brighter is ink
WIDEST = 2.0  # half a pen's width at most, in pixels of 28
FILLED = 1.8  # half pens: ink deeper than this is a loop that ran full
FARTHEST = 11  # of the finer pixels: no blot is told by more, and no pen leaves any depth beyond
SMOOTHING = 4  # rounds in which a path's points move halfway to their neighbours' mean

Points = NDArray[np.float64]


class Strokes(NamedTuple):
    """A pen's path: points (k, 2) float, x and y in pixels of 28, and edges (m, 2) of indices."""

    points: Points
    edges: NDArray[np.int64]


def trace(image: NDArray[np.uint8]) -> Strokes:
    """Find the pen's path on one digit (28, 28), white on black."""
    return trace_all(image[np.newaxis])[0]


def trace_all(images: NDArray[np.uint8]) -> list[Strokes]:
    """Find the pen's path on each of (n, 28, 28) white on black: its ink's skeleton, smoothed.

    Source: Zhang and Suen 1984, as scikit-image's `skeletonize` has it.
    """
    ink, place = find_ink(images)
    skeletons = thin(ink)
    rows, columns = np.nonzero(in_column(skeletons))
    edges = connect(in_column(skeletons), rows, columns)
    points = np.array([columns, rows % ink.shape[1]], np.float64).T + place
    return split(Strokes(smooth(points, edges) / FINER, edges), skeletons.sum((1, 2)))


def find_ink(images: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], Points]:
    """Mark the ink of images on a finer grid, cut to what any of them has, a margin around.

    Returns:
        (n, height, width); the middle of the first pixel, x and y in pixels of that grid.
    """
    size, method = (SIDE * FINER,) * 2, Image.Resampling.BICUBIC
    finer = [np.asarray(Image.fromarray(image).resize(size, method)) for image in images]
    grey = uniform_filter(np.stack(finer).astype(np.float32), (1, 3, 3))
    ink = grey >= np.minimum(INK, grey.max((1, 2), keepdims=True))
    left, top, right, bottom = box_of(ink.any(0))
    cut = np.pad(ink[:, top:bottom, left:right], ((0, 0), (1, 1), (1, 1)))
    return cut, np.array([left, top]) - 0.5


def in_column(images: NDArray[Any]) -> NDArray[Any]:
    """Put images (n, height, width) below each other, as one: they are all worked on at once."""
    return images.reshape(-1, images.shape[2])


def thin(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Thin the ink of images to lines, round the inside of what is too wide for one stroke.

    A small loop often ran full: the skeleton of its blot would be a line, and the 6 a 1.
    """
    lines: NDArray[np.bool_] = skeletonize(in_column(ink)).reshape(ink.shape)
    squared = squared_depths(ink)
    on_lines = (depths[line] for depths, line in zip(squared, lines, strict=True))
    pens = np.array([np.median(np.sqrt(depths, dtype=np.float64)) for depths in on_lines])
    deepest = FILLED * np.minimum(pens, WIDEST * FINER)
    filled = squared > (deepest * deepest)[:, None, None]
    blots = filled.any((1, 2))
    if blots.any():
        rings = ink[blots] & ~filled[blots]
        lines[blots] = skeletonize(in_column(rings)).reshape(rings.shape)
    return lines


def squared_depths(inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Measure how far inside pixels of images are from the nearest that is not: (n, rows, columns).

    As SciPy's `distance_transform_edt`, squared, but of all images at once, which takes a tenth of
    the time, and no farther than `FARTHEST`.
    """
    depths = np.ascontiguousarray(inside.transpose(1, 2, 0)) * np.uint8(FARTHEST)
    for rows in (depths, depths[::-1]):
        for before, row in itertools.pairwise(rows):
            np.minimum(row, before + 1, out=row)
    down = depths * depths
    squared = down.copy()
    for away in range(1, FARTHEST):
        farther = down + np.uint8(away * away)
        np.minimum(squared[:, away:], farther[:, :-away], out=squared[:, away:])
        np.minimum(squared[:, :-away], farther[:, away:], out=squared[:, :-away])
    return squared.transpose(2, 0, 1)


def connect(
    skeleton: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Join neighbouring pixels; diagonally only where no straight way leads round the corner."""
    index = np.full(skeleton.shape, -1)
    index[rows, columns] = np.arange(len(rows))
    left, right = index[rows, columns - 1], index[rows, columns + 1]
    below = index[rows + 1, columns]
    below_right = np.where((right < 0) & (below < 0), index[rows + 1, columns + 1], -1)
    below_left = np.where((left < 0) & (below < 0), index[rows + 1, columns - 1], -1)
    ends = np.concatenate([right, below, below_right, below_left])
    starts = np.tile(np.arange(len(rows)), 4)
    return np.stack([starts, ends], 1)[ends >= 0]


def join(strokes: Sequence[Strokes]) -> Strokes:
    """Make one of the strokes of several images, to work on them all at once."""
    counts = [len(points) for points, _ in strokes]
    places = zip(strokes, np.cumsum(counts) - counts, strict=True)
    return Strokes(
        np.concatenate([points for points, _ in strokes]),
        np.concatenate([edges + before for (_, edges), before in places]),
    )


def split(strokes: Strokes, counts: NDArray[np.int64]) -> list[Strokes]:
    """Give each image its own strokes again: so many points in turn."""
    ends = np.cumsum(counts)
    owners = np.searchsorted(ends, strokes.edges[:, 0], side="right")
    edges = strokes.edges[np.argsort(owners, kind="stable")]
    edges -= (ends - counts)[np.sort(owners), None]
    last = np.cumsum(np.bincount(owners, minlength=len(counts)))
    parts = np.split(strokes.points, ends[:-1]), np.split(edges, last[:-1])
    return [Strokes(*pair) for pair in zip(*parts, strict=True)]


def smooth(
    points: Points, edges: NDArray[np.int64], rounds: NDArray[np.int64] | int = SMOOTHING
) -> Points:
    """Take the pixels' steps out of a path, in so many rounds; its ends stay where they are."""
    near, far = np.concatenate([edges, edges[:, ::-1]]).T
    degree = np.bincount(near, minlength=len(points))
    inner, neighbours = degree >= 2, np.maximum(degree, 1)
    axes = list(points.T)
    for done in range(np.max(rounds)):
        totals = [np.bincount(near, axis[far], len(degree)) for axis in axes]
        halfway = [
            (axis + total / neighbours) / 2 for axis, total in zip(axes, totals, strict=True)
        ]
        moves = inner & (rounds > done)
        axes = [np.where(moves, new, old) for new, old in zip(halfway, axes, strict=True)]
    return np.stack(axes, 1)
