"""MNIST digits drawn again on a canvas, for the number that visitors feel.

A digit becomes strokes (its skeleton), and a round pen draws them at a random size and place. The
test digits so drawn give "accuracy on redrawn digits"; the validation digits, to choose on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt, uniform_filter
from skimage.morphology import skeletonize

from space.reader import EmptyDrawingError, normalize
from space.reader.preprocessing import SIDE, box_of
from training.parallel import stack_rows

VERSION = 2  # of all below: another one makes other numbers
SEED = 28
CANVAS = 280  # pixels, and the ranges of what is drawn on it, each uniform
SIZE = (0.35, 0.80)  # of the canvas, the longer side of the pen's path
PEN = (8, 28)  # pixels wide
TILT = 8  # degrees to either side

FINER = 3  # a skeleton is found on a grid this much finer
INK = 110  # of 255: brighter is ink
WIDEST = 2.0  # half a pen's width at most, in pixels of 28
FILLED = 1.8  # half pens: ink deeper than this is a loop that ran full
SMOOTHING = 4  # rounds in which a path's points move halfway to their neighbours' mean


See = Callable[[Image.Image], NDArray[np.uint8]]


def see_normalized(drawing: Image.Image) -> NDArray[np.uint8]:
    """See a drawing as the reader does; black where it finds nothing."""
    try:
        return normalize(drawing).pixels
    except EmptyDrawingError:
        return np.zeros((SIDE, SIDE), np.uint8)


def see_resized(drawing: Image.Image) -> NDArray[np.uint8]:
    """See a drawing as most demos do: the whole sheet shrunk to 28 × 28, light on dark."""
    small = np.asarray(drawing.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))
    return 255 - small if np.median(small) > 127 else small


class Strokes(NamedTuple):
    """A pen's path: points (k, 2) float, x and y in pixels of 28, and edges (m, 2) of indices."""

    points: NDArray[np.float64]
    edges: NDArray[np.int64]


def trace(image: NDArray[np.uint8]) -> Strokes:
    """Find the pen's path on (28, 28) white on black: the skeleton of its ink, smoothed.

    Source: Zhang and Suen 1984, as scikit-image's `skeletonize` has it.
    """
    finer = Image.fromarray(image).resize((SIDE * FINER,) * 2, Image.Resampling.BICUBIC)
    grey = uniform_filter(np.asarray(finer, np.float32), 3)
    ink = np.pad(grey >= min(INK, grey.max()), 1)
    left, top, right, bottom = box_of(ink)
    # Bare paper around the ink would double the time.
    skeleton = thin(ink[top - 1 : bottom + 1, left - 1 : right + 1])
    rows, columns = np.nonzero(skeleton)
    points = np.array([columns + left, rows + top], np.float64).T - 1.5
    edges = connect(skeleton, rows, columns)
    return Strokes(smooth(points, edges) / FINER, edges)


def thin(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Thin ink to lines, round the inside of what is too wide for one stroke of this pen.

    A small loop often ran full: the skeleton of its blot would be a line, and the 6 a 1.
    """
    lines: NDArray[np.bool_] = skeletonize(ink)
    depth = distance_transform_edt(ink)
    pen = min(np.median(depth[lines]), WIDEST * FINER)
    filled = depth > FILLED * pen
    return skeletonize(ink & ~filled) if filled.any() else lines


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


def smooth(
    points: NDArray[np.float64], edges: NDArray[np.int64], rounds: int = SMOOTHING
) -> NDArray[np.float64]:
    """Take the pixels' steps out of a path; its ends stay where they are."""
    near, far = np.concatenate([edges, edges[:, ::-1]]).T
    degree = np.bincount(near, minlength=len(points))
    inner, neighbours = degree >= 2, np.maximum(degree, 1)
    axes = list(points.T)
    for _ in range(rounds):
        totals = [np.bincount(near, axis[far], len(degree)) for axis in axes]
        halfway = [
            (axis + total / neighbours) / 2 for axis, total in zip(axes, totals, strict=True)
        ]
        axes = [np.where(inner, new, old) for new, old in zip(halfway, axes, strict=True)]
    return np.stack(axes, 1)


def see_redrawn(images: NDArray[np.uint8], see: See = see_normalized) -> NDArray[np.uint8]:
    """Draw every image anew and see it through the reader's eyes.

    Args:
        images: (n, 28, 28) white on black.
        see: How a drawing becomes 28 × 28; the reader's way, or another to compare with.

    Returns:
        (n, 28, 28), black where nothing was seen.
    """
    return stack_rows(partial(see_one_redrawn, see), images, range(len(images)))


def see_one_redrawn(see: See, image: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
    """Draw one image anew, as the seed has it for this row, and see it."""
    return see(redraw(image, row))


def redraw(image: NDArray[np.uint8], row: int) -> Image.Image:
    """Draw one image anew, as the seed has it for this row: 280 × 280, in mode L."""
    return draw(trace(image), generator(row))


class Pen(NamedTuple):
    """How one digit is drawn.

    Attributes:
        tilt: Degrees it is turned by.
        width: Of the pen, in pixels of the canvas.
        size: Of the path's longer side, as a share of the canvas.
        place: Across and down, 0 to 1 of the room that the size leaves.
        dark: Whether the ink is dark on light.
    """

    tilt: float
    width: float
    size: float
    place: tuple[float, float]
    dark: bool


def choose_pen(rng: np.random.Generator) -> Pen:
    """Choose how a digit is drawn, each value uniform in its range."""
    tilt, width, size = rng.uniform(-TILT, TILT), rng.uniform(*PEN), rng.uniform(*SIZE)
    across, down = rng.uniform(0, 1, 2)
    return Pen(tilt, width, size, (float(across), float(down)), bool(rng.random() < 0.5))


def pen_of(row: int) -> Pen:
    """Return how `redraw` draws the image of a row."""
    return choose_pen(generator(row))


def generator(row: int) -> np.random.Generator:
    """Return the random numbers that the seed has for a row."""
    return np.random.default_rng([SEED, VERSION, row])


def draw(strokes: Strokes, rng: np.random.Generator) -> Image.Image:
    """Draw strokes with a round pen, dark on light or light on dark, somewhere on the canvas."""
    pen = choose_pen(rng)
    points = turned(strokes.points, math.radians(pen.tilt))
    extent = np.ptp(points, axis=0)
    scale = pen.size * CANVAS / max(extent.max(), 1)
    room = CANVAS - pen.width - 2 - extent * scale
    corner = pen.width / 2 + 1 + np.array(pen.place) * np.maximum(room, 0)
    paper, ink = (255, 0) if pen.dark else (0, 255)
    path = Strokes((points - points.min(0)) * scale + corner, strokes.edges)
    return paint(path, pen.width, paper, ink)


def turned(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Turn points by an angle in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    rotated: NDArray[np.float64] = points @ np.array([[cos, sin], [-sin, cos]])
    return rotated


def paint(path: Strokes, pen: float, paper: int, ink: int) -> Image.Image:
    """Paint a path in canvas pixels with a pen of that width, edges smoothed."""
    canvas = Image.new("L", (2 * CANVAS, 2 * CANVAS), paper)
    brush = ImageDraw.Draw(canvas)
    points = (2 * path.points).tolist()  # numbers of Python's own are handed over faster
    for start, end in path.edges.tolist():
        brush.line([*points[start], *points[end]], fill=ink, width=round(2 * pen))
    for x, y in points:
        brush.ellipse([x - pen, y - pen, x + pen, y + pen], fill=ink)
    return canvas.reduce(2)
