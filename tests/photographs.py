"""Digits written on paper and photographed, made from strokes: the suite that photographs are
read with. Every choice is uniform in its range and comes from one seed.
"""

from __future__ import annotations

import io
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

SEED = 1998
COUNT = 1_000

SIDE = (600, 3_000)  # pixels of the picture's longer side; the shorter has three quarters
DIGIT_HEIGHT = (0.08, 0.60)  # of the picture's height
PEN = (0.06, 0.14)  # width, of the digit's height
TILT = (-10.0, 10.0)  # degrees, of the paper
BLUR = (1.5, 3.0)  # pixels of the picture per point that the lens resolves
GRAIN = (1.0, 8.0)  # standard deviation of the sensor's noise, of 255
FIBRES = (0.0, 0.03)  # standard deviation of the paper's own brightness, of 1
QUALITY = (40, 90)  # of JPEG
DIMMEST = (0.5, 1.0)  # light in the darkest corner, of 1 in the brightest
SHADOW = (0.4, 0.9)  # light left inside the shadow
SHADOW_EDGE = (0.01, 0.08)  # width of its edge, of the picture's longer side
LINE_PITCH = (0.4, 1.5)  # between ruled lines, in digit heights
LINE_WIDTH = (0.2, 0.5)  # of the pen
LINE_INK = (0.15, 0.4)  # 0 is paper, 1 is LINE_COLOUR
PAPER = (0.75, 1.0)  # brightness, of 1
TINT = (0.9, 1.0)  # of the paper in red, green and blue, of its brightness
INKS = {
    "blue": ((0.05, 0.25), (0.10, 0.35), (0.40, 0.75)),
    "black": ((0.05, 0.25), (0.05, 0.25), (0.05, 0.25)),
    "pencil": ((0.30, 0.50), (0.30, 0.50), (0.30, 0.50)),
}
LINE_COLOUR = np.array([0.3, 0.4, 0.6], np.float32)
SHEETS = ("plain", "ruled", "squared")

NOISE = np.array([NormalDist().inv_cdf((byte + 0.5) / 256) for byte in range(256)])


def photograph(
    points: NDArray[np.floating], edges: NDArray[np.integer], rng: np.random.Generator
) -> bytes:
    """Photograph a digit on a sheet of paper.

    What the lens blurs is drawn with as few points as the lens resolves and enlarged; the
    sensor's noise is added to every pixel after that.

    Args:
        points: (k, 2) x and y of the digit's skeleton, in any unit.
        edges: (m, 2) the pairs of points that the pen joins.
        rng: Decides everything else.

    Returns:
        A JPEG file of 600 to 3,000 pixels on its longer side.
    """
    long = int(rng.uniform(*SIDE))
    size = (long, long * 3 // 4) if rng.random() < 0.5 else (long * 3 // 4, long)
    blur = rng.uniform(*BLUR)
    width, height = (max(round(side / blur), 1) for side in size)
    scene = write(points, edges, (width, height), rng) * light(width, height, rng)[..., None]
    picture = Image.fromarray(np.rint(255 * np.clip(scene, 0, 1)).astype(np.uint8))
    return develop(picture.resize(size, Image.Resampling.BILINEAR), rng)


def write(
    points: NDArray[np.floating],
    edges: NDArray[np.integer],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Write the digit on a sheet; return (height, width, 3) reflected light, 0 to 1."""
    width, height = size
    digit = rng.uniform(*DIGIT_HEIGHT) * height
    pen = rng.uniform(*PEN) * digit
    angle = np.radians(rng.uniform(*TILT))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    paper = np.float32(rng.uniform(*PAPER)) * rng.uniform(*TINT, 3).astype(np.float32)
    fibres = np.float32(rng.uniform(*FIBRES)) * rng.standard_normal((height, width), np.float32)
    sheet = paper * (1 + fibres[..., None])
    lines = rule(size, turn, digit, pen, rng)
    sheet += lines[..., None] * (LINE_COLOUR - sheet)
    ink = list(INKS.values())[rng.integers(len(INKS))]
    colour = np.array([rng.uniform(*band) for band in ink], np.float32)
    strokes = pen_strokes(place(points @ turn.T, digit, pen, size, rng), edges, pen, size)
    sheet += strokes[..., None] * (colour - sheet)
    return sheet


def place(
    points: NDArray[np.floating],
    digit: float,
    pen: float,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> NDArray[np.floating]:
    """Scale points to the digit's height and put them anywhere that they fit whole."""
    points = points - points.min(0)
    room = np.array(size) * 0.96 - pen
    points = points * min(
        (digit - pen) / max(points[:, 1].max(), 1e-6), room[0] / max(points[:, 0].max(), 1e-6)
    )
    free = np.maximum(room - points.max(0), 0)
    return points + 0.02 * np.array(size) + pen / 2 + rng.random(2) * free


def rule(
    size: tuple[int, int],
    turn: NDArray[np.floating],
    digit: float,
    pen: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Rule the sheet: (height, width) 0 on paper to `LINE_INK` on a line, turned like the sheet."""
    x, y = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in size))
    sheet = SHEETS[rng.integers(len(SHEETS))]
    pitch, thick = rng.uniform(*LINE_PITCH) * digit, rng.uniform(*LINE_WIDTH) * pen
    lines = np.zeros_like(x)
    for axis in (1, 0)[: SHEETS.index(sheet)]:  # lines along the writing, then across it
        across = turn[0, axis] * x + turn[1, axis] * y + rng.uniform(0, pitch)
        distance = np.abs(across % pitch - pitch / 2)
        lines = np.maximum(lines, np.clip((thick + 1) / 2 - distance, 0, min(thick, 1)))
    return lines * np.float32(rng.uniform(*LINE_INK))


def pen_strokes(
    points: NDArray[np.floating], edges: NDArray[np.integer], pen: float, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Draw the strokes with a round pen: (height, width) from 0 on paper to 1 under the pen."""
    fine = int(np.ceil(8 / pen))  # a thin pen's edge is drawn finer and averaged
    left, top = np.maximum(points.min(0) - pen, 0).astype(int)
    right, bottom = np.minimum(points.max(0) + pen + 1, size).astype(int)
    sheet = Image.new("L", (int(right - left) * fine, int(bottom - top) * fine))
    canvas, width = ImageDraw.Draw(sheet), max(round(pen * fine), 1)
    dots = (points - (left, top)) * fine
    for start, end in dots[edges]:
        canvas.line([tuple(start), tuple(end)], fill=255, width=width)
    for dot in dots:
        canvas.circle(tuple(dot), width / 2, fill=255)
    strokes = np.zeros(size[::-1], np.float32)
    strokes[top:bottom, left:right] = np.asarray(sheet.reduce(fine), np.float32) / 255
    return strokes


def light(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Light the sheet from one side, with a shadow's edge across it: (height, width), 0 to 1."""
    y, x = np.mgrid[0:height:4, 0:width:4].astype(np.float32) / max(width, height)
    dim = slope(x, y, 0.5, rng.uniform(*DIMMEST), rng)
    shadow = slope(x, y, rng.uniform(*SHADOW_EDGE), rng.uniform(*SHADOW), rng)
    # light changes slowly, so a quarter of the points will do
    coarse = Image.fromarray(dim * shadow)
    return np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))


def slope(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    width: float,
    dark: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Fall from 1 to `dark` within `width`, across a line through the picture's middle part."""
    angle, through = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.75, 2)
    across = (x - through[0]) * np.float32(np.cos(angle)) + (y - through[1]) * np.float32(
        np.sin(angle)
    )
    ramp: NDArray[np.float32] = np.clip(across / np.float32(width) + np.float32(0.5), 0, 1)
    return 1 - np.float32(1 - dark) * ramp


def develop(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """Add the sensor's noise to every pixel and save the picture as JPEG."""
    grain = np.clip(np.rint(128 + rng.uniform(*GRAIN) * NOISE), 0, 255).astype(np.uint8)
    noise = Image.frombytes("L", picture.size, rng.bytes(picture.width * picture.height))
    noise = noise.point(grain.tolist())
    noisy = ImageChops.add(picture, Image.merge("RGB", [noise] * 3), offset=-128)
    file = io.BytesIO()
    noisy.save(file, "JPEG", quality=int(rng.integers(QUALITY[0], QUALITY[1] + 1)))
    return file.getvalue()
