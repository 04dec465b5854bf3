"""What the layers saw, as the visitor sees it: 28 × 28 pixels → an explanation → HTML.

The browser asks for it, and only while this part of the page is open: it sends the picture of
"What the model sees", so that exactly this is explained, whether it was drawn or uploaded.
"""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from reader import Explanation, UnreadableImageError, open_image

HERE = Path(__file__).parent
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)

LEVELS = (
    ("edges", "Each filter looks for one small thing, such as the upper edge of a stroke or a "
     "slanted line, and its map is bright wherever your drawing has it."),
    ("strokes", "Two edges that run side by side make a piece of a stroke, and each map is bright "
     "where such pieces lean one way."),
    ("outlines", "These filters look at the pieces found before and answer to what is made of "
     "them: bends, corners and the ends of strokes."),
    ("parts", "Bends and corners become larger parts, such as a bar, a hook or half a loop, and "
     "a map only tells roughly where they are."),
    ("the whole", "Hardly any place is left: each map says how strongly one arrangement of parts "
     "is there, and from these numbers the ten bars are computed."),
)  # fmt: skip
DIM, BRIGHT = np.array([58, 63, 80]), np.array([172, 192, 255])  # ink that matters less, and most
GAP = 4  # between two maps, in parts of SHEET
SHEET = 1_200  # pixels, about the width of all maps of a layer side by side
PREFIX = "data:image/png;base64,"
LONGEST = 10_000  # characters of a picture of 28 × 28


def inside_view() -> tuple[gr.HTML, gr.HTML]:
    """Make what asks for an explanation, and what shows it."""
    asking = gr.HTML(
        html_template=(HERE / "asking.html").read_text("utf-8"),
        js_on_load=(HERE / "asking.js").read_text("utf-8"),
        apply_default_css=False,
    )
    return asking, gr.HTML(apply_default_css=False)


def read_seen(png: Any) -> NDArray[np.uint8]:
    """Read the picture that the browser sends back.

    Returns:
        (28, 28) pixels.

    Raises:
        UnreadableImageError: If it is not such a picture; it may be anything a client sent.
    """
    if not isinstance(png, str) or not png.startswith(PREFIX) or len(png) > LONGEST:
        raise UnreadableImageError(f"Pass what the model sees: a PNG, after {PREFIX!r}.")
    try:
        image = open_image(base64.b64decode(png.removeprefix(PREFIX)))
    except ValueError:  # the reader's errors are of this kind too
        raise UnreadableImageError("This is not a PNG. Pass what the model sees.") from None
    if image.mode != "L" or image.size != (28, 28):
        raise UnreadableImageError("The model sees 28 × 28 grey pixels. Pass such a picture.")
    return np.asarray(image)


def render_inside(pixels: NDArray[np.uint8], explanation: Explanation) -> str:
    """Render an explanation of these (28, 28) pixels."""
    count = len(explanation.feature_maps)
    layers = [
        {
            "level": LEVELS[round(number * (len(LEVELS) - 1) / max(count - 1, 1))],
            "shape": maps.shape,
            "sheet": data_url(lay_out(maps)),
        }
        for number, maps in enumerate(explanation.feature_maps)
    ]
    return TEMPLATES.get_template("inside_view.html").render(
        digit=explanation.digit,
        support=data_url(tint(pixels, explanation.support)),
        layers=layers,
    )


def tint(pixels: NDArray[np.uint8], support: NDArray[np.float32]) -> Image.Image:
    """Colour the ink by how much it matters to the answer."""
    colour = DIM + support[..., None] * (BRIGHT - DIM)
    return Image.fromarray(np.rint(pixels[..., None] / 255 * colour).astype(np.uint8))


def lay_out(maps: NDArray[np.float32]) -> Image.Image:
    """Lay (height, width, n) feature maps out in rows, the layer's strongest point in white."""
    height, width, count = maps.shape
    columns = math.ceil(count / (2 if count <= 16 else 4))
    zoom = max(SHEET // (columns * width), 1)
    grey = np.rint(maps / max(float(maps.max()), 1e-6) * 255).astype(np.uint8)
    sheet = Image.new(
        "LA",
        (
            columns * (width * zoom + GAP) - GAP,
            math.ceil(count / columns) * (height * zoom + GAP) - GAP,
        ),
    )
    for number in range(count):
        row, column = divmod(number, columns)
        tile = Image.fromarray(grey[..., number]).resize(
            (width * zoom, height * zoom), Image.Resampling.NEAREST
        )
        corner = column * (width * zoom + GAP), row * (height * zoom + GAP)
        sheet.paste(tile.convert("LA"), corner)
    return sheet


def data_url(image: Image.Image) -> str:
    """Write an image as a PNG into an address."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)  # quickly: it is seen once
    return PREFIX + base64.b64encode(file.getvalue()).decode()
