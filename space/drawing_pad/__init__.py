"""The drawing pad: strokes on a canvas in the browser → the same drawing as a Pillow image.

The browser sends points, not pixels: they are small, and they arrive unharmed where a browser
blurs what a script reads from a canvas, as Brave and Tor do against fingerprinting.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

HERE = Path(__file__).parent

UNITS = 1000  # the pad's side; points are counted in these, whatever the screen
PEN_WIDTH = 80  # in the same units; a digit drawn large gets strokes as wide as MNIST's
THINNEST_PEN, WIDEST_PEN = 30, 130  # to choose from
HARDEST = 1.5  # times as wide, where a pen is pressed
SIDE = 280  # of the image, in pixels
OVERSAMPLING = 4  # Pillow draws hard edges: draw larger, then average
CHORD, MOST_CHORDS = 16, 8  # units of a curve drawn as one straight line; lines of one curve
MAX_POINTS = 10_000
FARTHEST = 100 * UNITS  # a captured pointer may leave the pad, though not the room

Point = tuple[float, float]
Curve = tuple[Point, Point, Point, float]


class DrawingError(ValueError):
    """The pad's value is not a drawing; the message says what was expected."""


def drawing_pad() -> gr.HTML:
    """Make the pad.

    Its value is a list of strokes, each a list of [x, y, width of the pen] in `UNITS`. Its
    `input` event comes at the end of every stroke, after undo, redo and clear, and now and then
    while the pen is moving.
    """
    return gr.HTML(
        value=[],
        html_template=(HERE / "drawing_pad.html").read_text("utf-8"),
        js_on_load=(HERE / "drawing_pad.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="drawing-pad",
        units=UNITS,
        pen_width=PEN_WIDTH,
        thinnest_pen=THINNEST_PEN,
        widest_pen=WIDEST_PEN,
        hardest=HARDEST,
        farthest=FARTHEST,
    )


def draw_strokes(strokes: Any) -> Image.Image:
    """Draw the strokes as the visitor sees them, in black on white.

    Args:
        strokes: The pad's value; whatever a client sent, so it is checked here.

    Returns:
        A greyscale image of `SIDE` × `SIDE` pixels; all white without strokes.

    Raises:
        DrawingError: If the value is no list of strokes, or an absurdly long one.
    """
    check_strokes(strokes)
    side = SIDE * OVERSAMPLING
    scale = side / UNITS
    image = Image.new("L", (side, side), 255)
    pencil = ImageDraw.Draw(image)
    for curve in itertools.chain.from_iterable(map(smooth, strokes)):
        width = curve[3] * scale
        points = [(x * scale, y * scale) for x, y in flatten(curve)]
        pencil.line(points, fill=0, width=round(width))
        for point in points:  # Pillow's lines end square; the pen is round
            pencil.circle(point, width / 2, fill=0)
    return image.reduce(OVERSAMPLING)


def smooth(stroke: list[list[float]]) -> Iterator[Curve]:
    """Lay a curve around each point, from the middle before it to the middle after it.

    The browser paints the same; a stroke begins and ends in its own points.

    Yields:
        Start, control point and end of a quadratic curve, and the pen's width on it.
    """
    last = len(stroke) - 1
    for place, (x, y, width) in enumerate(stroke):
        start = middle(stroke[max(place - 1, 0)], stroke[place])
        end = middle(stroke[place], stroke[min(place + 1, last)])
        yield start, (x, y), end, width


def middle(one: list[float], other: list[float]) -> Point:
    """Return the point between two."""
    return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2


def flatten(curve: Curve) -> list[Point]:
    """Return points on a quadratic curve, both ends among them, about `CHORD` apart."""
    start, control, end, _ = curve
    length = math.dist(start, control) + math.dist(control, end)
    count = min(max(math.ceil(length / CHORD), 1), MOST_CHORDS)
    steps = [step / count for step in range(count + 1)]
    return [
        (
            (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * control[0] + t**2 * end[0],
            (1 - t) ** 2 * start[1] + 2 * t * (1 - t) * control[1] + t**2 * end[1],
        )
        for t in steps
    ]


def check_strokes(strokes: Any) -> None:
    """Make sure that a value is a list of strokes.

    Raises:
        DrawingError: If it is not, or has more than `MAX_POINTS` points.
    """
    if not isinstance(strokes, list) or not all(isinstance(stroke, list) for stroke in strokes):
        raise DrawingError("A drawing is a list of strokes, each a list of points [x, y, width].")
    points = list(itertools.chain.from_iterable(strokes))
    if len(points) > MAX_POINTS:
        raise DrawingError(
            f"This drawing has {len(points):,} points; {MAX_POINTS:,} are read. "
            "Clear the pad and draw one digit."
        )
    if not all(is_point(point) for point in points):
        raise DrawingError(
            f"A point is [x, y, width]: two numbers from 0 to {UNITS} on the pad, and the pen's "
            f"width there, more than 0 and at most {HARDEST * WIDEST_PEN:.0f}."
        )


def is_point(point: Any) -> bool:
    """Tell whether a value is [x, y, width]: finite numbers, not far from the pad."""
    return (
        isinstance(point, list)
        and len(point) == 3
        and all(type(number) in (int, float) and abs(number) <= FARTHEST for number in point)
        and 0 < point[2] <= HARDEST * WIDEST_PEN
    )
