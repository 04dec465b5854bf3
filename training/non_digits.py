"""Drawings that are no digit: what the network learns to be unsure of.

Read by training (outlier exposure) and by `metrics.py`, which chooses the refusal threshold with
them; made from code, the DejaVu fonts that matplotlib ships, and MNIST digits side by side.
`tests/non_digits.py` draws the same classes in other ways: nothing may be shared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFont

from space.reader import EmptyDrawingError, normalize
from training.data import CLASSES, Split
from training.parallel import stack_chunks

FEW = 2_000  # digits are enough to stand side by side
DISTINCT = 2_500  # drawings to train on; where more are wanted, they come again
CANVAS = 140  # pixels: five times what the network sees
MIDDLE = CANVAS / 2
LETTERS = "ACEFGHJKLMNPRTUVWXYadefhkmnprtuvwx"  # the others are some digit's twin
FONTS = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVuS*[!y].ttf"))

Stroke = NDArray[np.float64]  # (points, 2), x and y, about -1 to 1


def outliers(digits: Split, count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw non-digits to train on, with targets that favour no digit.

    Args:
        digits: The training digits.
        count: How many to draw.
        seed: Fixes them.

    Returns:
        Images (count, 28, 28), `DISTINCT` different ones, and targets (count, 10), all 0.1.

    Source: Hendrycks et al. 2019, https://arxiv.org/abs/1812.04606.
    """
    targets = np.full((count, CLASSES), 1 / CLASSES, np.float32)
    drawn = draw_non_digits(digits, min(count, DISTINCT), seed)
    return np.resize(drawn, (count, *drawn.shape[1:])), targets


def draw_non_digits(digits: Split, count: int, seed: int) -> NDArray[np.uint8]:
    """Draw non-digits and bring them to what the reader would show the network.

    Args:
        digits: Whose images stand side by side in one of the kinds.
        count: How many to draw; the kinds take turns, in the order of `KINDS`.
        seed: Fixes them.

    Returns:
        (count, 28, 28), white ink on black.
    """
    if not count:
        return np.empty((0, *digits.images.shape[1:]), np.uint8)
    return stack_chunks(partial(draw_rows, digits.some(FEW), seed), range(count))


def draw_rows(digits: Split, seed: int, rows: Sequence[int]) -> NDArray[np.uint8]:
    """Draw the non-digits that the seed has for some rows; return (n, 28, 28)."""
    kinds = list(KINDS.values())
    rngs = [np.random.default_rng([seed, row]) for row in rows]
    pairs = zip(rows, rngs, strict=True)
    return np.stack([draw_one(kinds[row % len(kinds)], digits, rng) for row, rng in pairs])


def draw_one(
    draw: Callable[[Split, np.random.Generator], Image.Image],
    digits: Split,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Draw one, and again while the reader sees nothing on it; return (28, 28)."""
    while True:
        try:
            return normalize(draw(digits, rng)).pixels
        except EmptyDrawingError:
            continue


def scribble(_: Split, rng: np.random.Generator) -> Image.Image:
    """Draw one long line without a plan: waves, coils, hatching or knots."""
    curve = (wave, coil, hatching, knot)[rng.integers(4)]
    turned = curve(rng) @ rotation(rng.uniform(0, 2 * np.pi))
    return ink_on_paper(warped(pen_drawing([turned], rng), rng), rng)


def wave(rng: np.random.Generator) -> Stroke:
    """Add up sines of five frequencies, none much stronger: a closed curve of many loops."""
    turns, phases = np.arange(1, 6)[:, None], rng.uniform(0, 2 * np.pi, (2, 5, 1))
    sizes = rng.uniform(0.2, 1, (2, 5, 1)) * np.array([0.5, 1, 1, 1, 0.8])[:, None]
    angles = turns * np.linspace(0, 2 * np.pi, 120)
    return fit_box((sizes * np.sin(angles + phases)).sum(1).T)


def coil(rng: np.random.Generator) -> Stroke:
    """Wind loops along a line, as a telephone's cord does."""
    along = np.linspace(0, 1, 120)
    loops = ring(120, turns=rng.uniform(3, 7)) * rng.uniform(0.6, 1, 2)
    drift = rng.uniform(0.5, 3) * np.stack([along, rng.uniform(-0.5, 0.5) * along], 1)
    return fit_box(loops + drift)


def hatching(rng: np.random.Generator) -> Stroke:
    """Go to and fro at least six times, as one who blackens a field."""
    count = rng.integers(6, 16)
    across = np.where(np.arange(count) % 2, 1, -1) * rng.uniform(0.6, 1, count)
    return np.stack([across, np.linspace(-1, 1, count) * rng.uniform(0.4, 1)], 1)


def knot(rng: np.random.Generator) -> Stroke:
    """Join random points by a smooth line."""
    points = rng.uniform(-1, 1, (rng.integers(9, 20), 2))
    places = np.linspace(0, len(points) - 1, 120)
    line = np.stack([np.interp(places, np.arange(len(points)), axis) for axis in points.T], 1)
    kernel = np.hanning(rng.integers(5, 17))
    return fit_box(np.stack([np.convolve(axis, kernel, "valid") for axis in line.T], 1))


def letter(_: Split, rng: np.random.Generator) -> Image.Image:
    """Print a letter that is no digit's twin, and bend it until it looks written."""
    font = ImageFont.truetype(FONTS[rng.integers(len(FONTS))], int(rng.integers(70, 100)))
    image = Image.new("L", (CANVAS, CANVAS))
    text, pen = LETTERS[rng.integers(len(LETTERS))], int(rng.integers(4))
    ImageDraw.Draw(image).text(
        (MIDDLE, MIDDLE), text, fill=255, font=font, stroke_width=pen, anchor="mm"
    )
    return ink_on_paper(warped(image, rng), rng)


def several_digits(digits: Split, rng: np.random.Generator) -> Image.Image:
    """Write two or three digits side by side, of about one height, some of them touching."""
    image = Image.new("L", (CANVAS, CANVAS))
    right, height, gap = 8, int(rng.integers(26, 50)), rng.uniform(-5, 8)
    for row in rng.integers(len(digits.images), size=rng.integers(2, 4)):
        digit = Image.fromarray(digits.images[row])
        digit = digit.crop(digit.getbbox())
        tall = int(height * rng.uniform(0.85, 1.15))
        digit = digit.resize((max(3, digit.width * tall // max(1, digit.height)), tall))
        layer = Image.new("L", image.size)
        layer.paste(digit, (right, int(MIDDLE - tall * rng.uniform(0.4, 0.6))))
        image, right = ImageChops.lighter(image, layer), right + int(digit.width + gap)
    return ink_on_paper(warped(ImageChops.offset(image, int(MIDDLE - right / 2), 0), rng), rng)


def texture(_: Split, rng: np.random.Generator) -> Image.Image:
    """Photograph something without ink: cloth, wood, cloud, stone, a shadow, grain."""
    turn = rng.uniform(0, np.pi)
    x, y = np.meshgrid(*[np.linspace(-1, 1, CANVAS)] * 2)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    cloud = smooth_noise(int(rng.integers(3, 9)), rng)
    pattern = PATTERNS[rng.integers(len(PATTERNS))](along, across, cloud, rng)
    grain = rng.normal(0, rng.uniform(0, 0.4), pattern.shape)
    return to_image(rng.uniform(90, 160) + rng.uniform(20, 110) * (pattern + grain))


PATTERNS: tuple[Callable[..., NDArray[np.floating]], ...] = (
    lambda along, across, cloud, rng: cloud + 0.5 * smooth_noise(rng.integers(12, 60), rng),
    lambda along, across, cloud, rng: smooth_noise(rng.integers(12, 60), rng),
    lambda along, across, cloud, rng: np.sign(cloud + 0.3 * smooth_noise(30, rng)),  # stone
    lambda along, across, cloud, rng: along + rng.uniform(0, 0.5) * cloud,  # light from one side
    lambda along, across, cloud, rng: np.tanh(8 * (along + 0.2 * cloud)),  # a shadow's edge
    lambda along, across, cloud, rng: np.sin(rng.uniform(10, 60) * along + 2 * cloud),  # stripes
    lambda along, across, cloud, rng: np.sin(rng.uniform(20, 60) * along) * np.sin(40 * across),
    lambda along, across, cloud, rng: np.sin(  # wood
        rng.uniform(20, 60) * np.hypot(along + 0.8, 0.3 * across + 0.1 * cloud)
    ),
)


def shape(_: Split, rng: np.random.Generator) -> Image.Image:
    """Draw a sign that is no digit, as an outline or filled."""
    strokes = SHAPES[rng.integers(len(SHAPES))](rng)
    filled = len(strokes) == 1 and bool((strokes[0][0] == strokes[0][-1]).all())
    return ink_on_paper(
        warped(pen_drawing(strokes, rng, filled=filled and rng.random() < 0.3), rng), rng
    )


def polygon(rng: np.random.Generator) -> list[Stroke]:
    """Draw a triangle or a square."""
    corners = ring(int(rng.integers(4, 6)))
    corners[-1] = corners[0]
    return [corners]


def star(rng: np.random.Generator) -> list[Stroke]:
    """Draw a star's outline, of four to seven points."""
    points = ring(2 * int(rng.integers(4, 8)) + 1)
    points[1::2] *= rng.uniform(0.3, 0.55)
    points[-1] = points[0]
    return [points]


def pentagram(_: np.random.Generator) -> list[Stroke]:
    """Draw a star in one line."""
    return [ring(6, turns=2)]


def arrow(rng: np.random.Generator) -> list[Stroke]:
    """Draw a shaft with a wide head, pointing anywhere."""
    wide = rng.uniform(0.4, 0.8)
    head = np.array([[1 - wide, -wide], [1, 0], [1 - wide, wide]])
    shaft = np.array([[-1, 0], [-0.3, rng.uniform(-0.4, 0.4)], [1, 0]])
    turn = rotation(rng.uniform(0, 2 * np.pi))
    return [shaft @ turn, head @ turn]


def heart(_: np.random.Generator) -> list[Stroke]:
    """Draw a heart. Source: https://mathworld.wolfram.com/HeartCurve.html, the last one."""
    turn = np.linspace(0, 2 * np.pi, 60)
    high = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    points = np.stack([np.sin(turn) ** 3, -high / 16], 1)
    points[-1] = points[0]
    return [points]


def spiral(rng: np.random.Generator) -> list[Stroke]:
    """Draw a spiral of more turns than a 6 or a 9 has."""
    return [ring(150, turns=rng.uniform(2.5, 4.5)) * np.linspace(0.05, 1, 150)[:, None]]


def cross(rng: np.random.Generator) -> list[Stroke]:
    """Cross two to four lines in the middle."""
    line = np.array([[-1.0, 0], [1, 0]])
    count = int(rng.integers(2, 5))
    return [line @ rotation(np.pi * (part / count + 0.25)) for part in range(count)]


def smiley(rng: np.random.Generator) -> list[Stroke]:
    """Draw a face: a circle, two eyes and a mouth."""
    mouth = ring(40)[3:18] * [0.55, rng.uniform(-0.55, 0.55)] + [0, 0.15]
    eyes = [ring(8) * 0.08 + [side, -0.3] for side in (-0.35, 0.35)]
    return [ring(40), mouth, *eyes]


SHAPES = (polygon, star, pentagram, arrow, heart, spiral, cross, smiley)
KINDS: dict[str, Callable[[Split, np.random.Generator], Image.Image]] = {
    "scribbles": scribble,
    "letters": letter,
    "several digits": several_digits,
    "textures": texture,
    "shapes": shape,
}


def ring(count: int, turns: float = 1.0) -> Stroke:
    """Go round the unit circle from its top in `count` points, the last one included."""
    turn = np.linspace(0, 2 * np.pi * turns, count)
    return np.stack([np.sin(turn), -np.cos(turn)], 1)


def rotation(turn: float) -> NDArray[np.float64]:
    """Return the matrix that turns by an angle in radians."""
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def fit_box(points: Stroke) -> Stroke:
    """Move and scale a curve so that it reaches from -1 to 1 along its longer side."""
    low, high = points.min(0), points.max(0)
    return np.asarray((2 * points - low - high) / (high - low).max())


def pen_drawing(
    strokes: list[Stroke], rng: np.random.Generator, filled: bool = False
) -> Image.Image:
    """Draw strokes with one pen, white on black, each point a little beside its place."""
    image = Image.new("L", (CANVAS, CANVAS))
    pen, width = ImageDraw.Draw(image), int(rng.integers(3, 13))
    for stroke in strokes:
        shaky = MIDDLE + 50 * stroke + rng.normal(0, 2.5 if len(stroke) < 20 else 0.5, stroke.shape)
        if filled:
            pen.polygon(shaky.ravel().tolist(), fill=255)
        else:
            pen.line(shaky.ravel().tolist(), fill=255, width=width, joint="curve")
    return image


def warped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Move, scale, turn and shear a drawing a little, and taper it, in one resampling."""
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * rng.uniform(0.75, 1.25, 2)
    shear = np.array([[1, 0], [rng.normal(0, 0.15), 1]])
    corners = corners @ shear @ rotation(rng.normal(0, 0.2)) * rng.uniform(1, 1.6)
    corners += rng.normal(0, 0.1, (4, 2)) + rng.uniform(-0.2, 0.2, 2)
    quad = (MIDDLE + MIDDLE * corners).ravel().tolist()
    method = Image.Resampling.BILINEAR
    return image.transform(image.size, Image.Transform.QUAD, quad, method)


def ink_on_paper(ink: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Give ink and paper a grey value each, dark on light as often as light on dark."""
    dark, light = rng.uniform(0, 80), rng.uniform(170, 255)
    colour, paper = (dark, light) if rng.random() < 0.5 else (light, dark)
    return to_image(paper + (colour - paper) / 255 * np.asarray(ink, np.float32))


def smooth_noise(cells: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return (140, 140) noise of about unit variance that varies from cell to cell."""
    coarse = Image.fromarray(rng.normal(0, 1.5, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC))


def to_image(grey: NDArray[np.floating]) -> Image.Image:
    """Turn grey values into an image, cutting what is out of 0 to 255."""
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
