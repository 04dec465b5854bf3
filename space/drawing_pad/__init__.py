"""The drawing pad: strokes on a canvas in the browser → the same drawing as a Pillow image.

The browser sends points, not pixels: they are small, and they arrive unharmed where a browser
blurs what a script reads from a canvas, as Brave and Tor do against fingerprinting.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

HERE = Path(__file__).parent

UNITS = 1000  # the pad's side; points are counted in these, whatever the screen
PEN_WIDTH = 80  # in the same units; a digit drawn large gets strokes as wide as MNIST's
SIDE = 280  # of the image, in pixels
OVERSAMPLING = 4  # Pillow draws hard edges: draw larger, then average
MAX_POINTS = 20_000
FARTHEST = 100 * UNITS  # a captured pointer may leave the pad, though not the room


class DrawingError(ValueError):
    """The pad's value is not a drawing; the message says what was expected."""


def drawing_pad() -> gr.HTML:
    """Make the pad.

    Its value is a list of strokes, each a list of [x, y] in `UNITS`. Its `input` event comes at
    the end of every stroke, after undo and clear, and now and then while the pen is moving.
    """
    return gr.HTML(
        value=[],
        html_template=(HERE / "drawing_pad.html").read_text("utf-8"),
        js_on_load=(HERE / "drawing_pad.js").read_text("utf-8"),
        apply_default_css=False,
        elem_id="drawing-pad",
        units=UNITS,
        pen_width=PEN_WIDTH,
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
    scale, radius = side / UNITS, PEN_WIDTH / 2 * side / UNITS
    image = Image.new("L", (side, side), 255)
    pencil = ImageDraw.Draw(image)
    for stroke in strokes:
        points = [(x * scale, y * scale) for x, y in stroke]
        for start, end in itertools.pairwise(points):
            pencil.line((start, end), fill=0, width=round(2 * radius))
        for point in points:  # Pillow's lines end square; the pen is round
            pencil.circle(point, radius, fill=0)
    return image.reduce(OVERSAMPLING)


def check_strokes(strokes: Any) -> None:
    """Make sure that a value is a list of strokes.

    Raises:
        DrawingError: If it is not, or has more than `MAX_POINTS` points.
    """
    if not isinstance(strokes, list) or not all(isinstance(stroke, list) for stroke in strokes):
        raise DrawingError("A drawing is a list of strokes, each a list of points [x, y].")
    points = list(itertools.chain.from_iterable(strokes))
    if len(points) > MAX_POINTS:
        raise DrawingError(
            f"This drawing has {len(points)} points. Draw one of at most {MAX_POINTS}."
        )
    if not all(is_point(point) for point in points):
        raise DrawingError(f"A point is [x, y], two numbers from 0 to {UNITS} on the pad.")


def is_point(point: Any) -> bool:
    """Tell whether a value is [x, y], both finite numbers not far from the pad."""
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(type(number) in (int, float) and abs(number) <= FARTHEST for number in point)
    )
