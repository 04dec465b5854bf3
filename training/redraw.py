"""MNIST digits drawn again on a canvas, for the number that visitors feel.

A digit becomes strokes (its skeleton), and a round pen draws them at a random size and place. The
test digits so drawn give "accuracy on redrawn digits"; the validation digits, to choose on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from space.reader import EmptyDrawingError, normalize
from space.reader.preprocessing import SIDE
from training.parallel import stack_chunks
from training.strokes import Strokes, trace, trace_all

VERSION = 2  # of all below and of the strokes: another one makes other numbers
SEED = 28
CANVAS = 280  # pixels, and the ranges of what is drawn on it, each uniform
SIZE = (0.35, 0.80)  # of the canvas, the longer side of the pen's path
PEN = (8, 28)  # pixels wide
TILT = 8  # degrees to either side

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


def see_redrawn(images: NDArray[np.uint8], see: See = see_normalized) -> NDArray[np.uint8]:
    """Draw every image anew and see it through the reader's eyes.

    Args:
        images: (n, 28, 28) white on black.
        see: How a drawing becomes 28 × 28; the reader's way, or another to compare with.

    Returns:
        (n, 28, 28), black where nothing was seen.
    """
    return stack_chunks(partial(see_chunk_redrawn, see), images, range(len(images)))


def see_chunk_redrawn(
    see: See, images: NDArray[np.uint8], rows: Sequence[int]
) -> NDArray[np.uint8]:
    """Draw some images anew, as the seed has it for their rows, and see them."""
    traced = zip(trace_all(images), rows, strict=True)
    return np.stack([see(draw(strokes, generator(row))) for strokes, row in traced])


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
