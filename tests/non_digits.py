"""Images of no digit that training has never seen: the five classes that must be refused.

Shares nothing with `training/non_digits.py`: other curves, other shapes, other fonts (Computer
Modern and STIX), other textures, another pen, and MNIST's test digits side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

SIDE = 300  # of an image; drawn at twice that
FONT_FOLDER = Path(matplotlib.get_data_path(), "fonts", "ttf")
FONTS = [
    FONT_FOLDER / f"{name}.ttf"
    for name in (
        *("STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "STIXGeneralBolIta"),
        *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10", "cmmi10"),
    )
]
LETTERS = "ACEFGHJKLMNPRTUVWXY" + "acdefhkmnprtuvwx"  # no O I l S Z B q g b, nor o i s z j D Q y

Line = NDArray[np.float64]  # (points, 2), x and y, 0 to 1
Numbers = np.random.Generator


def images(kind: str, count: int, digits: NDArray[np.uint8], seed: int) -> Iterator[Image.Image]:
    """Draw `count` images of a kind; `digits` (n, 28, 28) are those to put side by side."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    for _ in range(count):
        yield KINDS[kind](rng, digits)


def scribbles(rng: Numbers, _: NDArray[np.uint8]) -> Image.Image:
    line = (walk, rosette, chords, lissajous)[rng.integers(4)](rng)
    return on_paper(ink([line], rng.uniform(6, 16), rng), rng)


def walk(rng: Numbers) -> Line:
    """A point that keeps going, turns at random, and is thrown back by the edge."""
    turns = gaussian_filter(rng.normal(0, 1, 600), 6) * rng.uniform(0.4, 0.8)
    heading = np.cumsum(turns) + rng.uniform(0, 7)
    path = 0.5 + np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), 0) * 0.012
    return 0.1 + 0.8 * np.abs((path + 1) % 2 - 1)  # folded at 0 and 1


def rosette(rng: Numbers) -> Line:
    """A small wheel rolling in a large one."""
    teeth, time = rng.integers(5, 10), np.linspace(0, 2 * np.pi, 400)
    small = rng.uniform(0.5, 1.0)
    x = np.cos(2 * time) + small * np.cos((2 - teeth) * time)
    y = np.sin(2 * time) + small * np.sin((2 - teeth) * time)
    return within(np.stack([x, y * rng.uniform(0.6, 1)], 1))


def chords(rng: Numbers) -> Line:
    """To and fro between the sides of an ellipse: something crossed out."""
    angles = rng.uniform(0, 2 * np.pi) + np.arange(rng.integers(7, 14)) * rng.uniform(2.3, 2.9)
    return within(np.stack([np.cos(angles), rng.uniform(0.6, 1) * np.sin(angles)], 1))


def lissajous(rng: Numbers) -> Line:
    right, down = [(3, 4), (4, 5), (3, 5), (5, 6), (2, 5)][rng.integers(5)]
    time = np.linspace(0, 2 * np.pi, 400)
    shifted = rng.uniform(0.2, 0.6)
    return within(np.stack([np.sin(right * time + shifted), np.sin(down * time)], 1))


def letters(rng: Numbers, _: NDArray[np.uint8]) -> Image.Image:
    page = Image.new("L", (2 * SIDE, 2 * SIDE))
    font = ImageFont.truetype(FONTS[rng.integers(len(FONTS))], int(rng.integers(250, 480)))
    letter = LETTERS[rng.integers(len(LETTERS))]
    ImageDraw.Draw(page).text((SIDE, SIDE), letter, fill=255, font=font, anchor="mm")
    page = page.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
    return on_paper(unsteady(page.resize((SIDE, SIDE), Image.Resampling.BOX), rng), rng)


def unsteady(image: Image.Image, rng: Numbers) -> Image.Image:
    """Displace an image smoothly by a few pixels, as an unsteady hand would."""
    shifts = rng.normal(0, 1, (2, SIDE // 10, SIDE // 10))
    shifts = np.stack([gaussian_filter(shift, 2) for shift in shifts])
    shifts *= rng.uniform(1, 6) / shifts.std()
    rows, columns = np.mgrid[:SIDE, :SIDE]
    moved = [np.asarray(Image.fromarray(shift).resize((SIDE, SIDE))) for shift in shifts]
    pixels = np.asarray(image, np.float64)
    displaced = map_coordinates(pixels, [rows + moved[0], columns + moved[1]], order=1)
    return Image.fromarray(displaced.astype(np.uint8))


def several_digits(rng: Numbers, digits: NDArray[np.uint8]) -> Image.Image:
    page = np.zeros((28, 100), np.uint8)
    end = 4
    for row in rng.integers(len(digits), size=rng.integers(2, 4)):
        columns = np.flatnonzero(digits[row].any(0))
        digit = digits[row][:, columns[0] : columns[-1] + 1]
        place = np.s_[:, end : end + digit.shape[1]]
        page[place] = np.maximum(page[place], digit)
        end += digit.shape[1] + rng.integers(-2, 5)
    whole = Image.fromarray(page[:, : end + 6])
    width = int(rng.uniform(0.5, 0.95) * SIDE)
    whole = whole.resize((width, width * whole.height // whole.width), Image.Resampling.BICUBIC)
    image = Image.new("L", (SIDE, SIDE))
    image.paste(whole, (int(rng.uniform(0, SIDE - width)), int(rng.uniform(0, 130))))
    return on_paper(image, rng)


def textures(rng: Numbers, _: NDArray[np.uint8]) -> Image.Image:
    kinds = (pebbles, bricks, checks, hills, bokeh, fur, lamp, leaf)
    grey = kinds[rng.integers(len(kinds))](rng) + rng.normal(0, rng.uniform(0, 12), (SIDE, SIDE))
    tint = rng.uniform(0.7, 1, 3)
    return Image.fromarray(np.clip(grey[..., None] * tint, 0, 255).astype(np.uint8))


def pebbles(rng: Numbers) -> NDArray[np.float64]:
    """Each stone one grey, darker towards its edge."""
    stones = cKDTree(rng.uniform(0, SIDE, (rng.integers(20, 300), 2)))
    near, which = stones.query(np.stack(np.mgrid[:SIDE, :SIDE], -1), k=2)
    greys = rng.uniform(90, 230, stones.n)
    return greys[which[..., 0]] * np.clip((near[..., 1] - near[..., 0]) / 6, 0.2, 1)


def bricks(rng: Numbers) -> NDArray[np.float64]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    high, wide = rng.integers(14, 40), rng.integers(30, 80)
    course = rows // high
    shifted = columns + course % 2 * wide // 2
    joint = (rows % high < 4) | (shifted % wide < 4)
    return np.where(joint, rng.uniform(190, 240), 110 + 25 * np.sin(7.0 * course + shifted // wide))


def checks(rng: Numbers) -> NDArray[np.float64]:
    """A tablecloth, seen from a little aside."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    size, lean = rng.uniform(12, 45), rng.uniform(-0.4, 0.4)
    first, second = (columns + lean * rows) // size % 2, (rows - lean * columns) // size % 2
    return 70 + rng.uniform(40, 85) * (first + second)


def hills(rng: Numbers) -> NDArray[np.float64]:
    """Ranges of hills under a sky, the nearer the darker."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    picture = 235 - 0.2 * rows
    for depth in range(1, 5):
        sines = np.sin(columns / rng.uniform(20, 60) + rng.uniform(0, 7))
        ridge = 40 + 50 * depth + rng.uniform(8, 25) * sines + rng.uniform(-0.1, 0.1) * columns
        picture = np.where(rows > ridge, 200 - 40 * depth, picture)
    return picture


def bokeh(rng: Numbers) -> NDArray[np.float64]:
    """Lights out of focus."""
    page = Image.new("L", (SIDE, SIDE), 40)
    draw = ImageDraw.Draw(page)
    for _ in range(rng.integers(12, 50)):
        x, y = rng.uniform(0, SIDE, 2)
        draw.circle((x, y), rng.uniform(6, 32), fill=int(rng.uniform(70, 250)))
    return gaussian_filter(np.asarray(page, np.float64), rng.uniform(0.5, 4))


def fur(rng: Numbers) -> NDArray[np.float64]:
    """Short hairs that lie in about one direction."""
    page = Image.new("L", (SIDE, SIDE), 120)
    draw = ImageDraw.Draw(page)
    lie = rng.uniform(0, np.pi)
    for _ in range(900):
        x, y = rng.uniform(-20, SIDE, 2)
        turn, long = lie + rng.normal(0, 0.3), rng.uniform(15, 45)
        end = (x + long * np.cos(turn), y + long * np.sin(turn))
        draw.line([(x, y), end], fill=int(rng.uniform(20, 240)), width=2)
    return np.asarray(page, np.float64)


def lamp(rng: Numbers) -> NDArray[np.float64]:
    """An empty wall in lamplight, and the edge of a table below."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    x, y = rng.uniform(-100, 400, 2)
    wall = 240 * np.exp(-np.hypot(columns - x, rows - y) / rng.uniform(150, 400))
    edge = rng.uniform(170, 260) + rng.uniform(-0.2, 0.2) * columns
    return np.where(rows > edge, rng.uniform(20, 110), wall)


def leaf(rng: Numbers) -> NDArray[np.float64]:
    """A leaf's veins from near by."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    along, aside = columns + 0.3 * rows, np.abs(rows - SIDE / 2)
    veins = np.abs(np.sin((along - rng.uniform(0.5, 1.5) * aside) / rng.uniform(7, 16)))
    return 60 + 120 * np.minimum(veins, aside / 8).clip(0, 1) ** 0.4


def shapes(rng: Numbers, _: NDArray[np.uint8]) -> Image.Image:
    lines = SHAPES[rng.integers(len(SHAPES))](rng)
    turn = rng.normal(0, 0.15)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    matrix *= rng.uniform(0.8, 1.15, 2)
    turned = [0.5 + (np.asarray(line, float) - 0.5) @ matrix for line in lines]
    return on_paper(ink(turned, rng.uniform(8, 20), rng), rng)


def circle(x: float, y: float, radius: float, part: float = 1.0, start: float = 0.0) -> Line:
    angles = 2 * np.pi * (start + np.linspace(0, part, 60))
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1)


def sun(rng: Numbers) -> list[Line]:
    angles = np.arange(0, 2 * np.pi, 2 * np.pi / rng.integers(7, 13))
    rays = np.stack([np.cos(angles), np.sin(angles)], 1)
    return [circle(0.5, 0.5, 0.2), *(0.5 + ray * [[0.27], [0.42]] for ray in rays)]


def wavy_star(rng: Numbers) -> list[Line]:
    outline = circle(0, 0, 1)
    angles = np.linspace(0, 2 * np.pi, 60)
    radius = 0.28 + rng.uniform(0.08, 0.14) * np.cos(rng.integers(5, 8) * angles)
    return [0.5 + radius[:, None] * outline]


def stick_star(rng: Numbers) -> list[Line]:
    """A star outlined by straight lines, its points longer than training's are on average."""
    angles = np.arange(11) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(11) % 2, rng.uniform(0.13, 0.2), 0.42)
    return [0.5 + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)]


def block_arrow(rng: Numbers) -> list[Line]:
    thin, head = rng.uniform(0.06, 0.1), rng.uniform(0.5, 0.62)
    half = [(0.1, 0.5 - thin), (head, 0.5 - thin), (head, 0.25), (0.92, 0.5)]
    outline = np.array([*half, *((x, 1 - y) for x, y in half[::-1]), half[0]])
    return [outline if rng.random() < 0.5 else 1 - outline]


def double_arrow(rng: Numbers) -> list[Line]:
    right = np.array([(0.7, 0.3), (0.92, 0.5), (0.7, 0.7)])
    whole = [np.array([(0.08, 0.5), (0.92, 0.5)]), right, 1 - right]
    return [line[:, ::-1] for line in whole] if rng.random() < 0.5 else whole


def round_arrow(rng: Numbers) -> list[Line]:
    """Go back: three quarters of a circle with a head."""
    bow = circle(0.5, 0.5, 0.33, 0.75, -0.25)
    tip = bow[-1]
    return [bow, np.array([tip + [-0.13, 0.17], tip, tip + [0.17, 0.13]])]


SHAPES: tuple[Callable[[Numbers], list[Line]], ...] = (
    sun,
    wavy_star,
    stick_star,
    block_arrow,
    double_arrow,
    round_arrow,
    lambda rng: [  # a house with its door
        [(0.2, 0.9), (0.2, 0.45), (0.5, 0.12), (0.8, 0.45), (0.8, 0.9), (0.2, 0.9)],
        [(0.43, 0.9), (0.43, 0.65), (0.57, 0.65), (0.57, 0.9)],
    ],
    lambda rng: [  # lightning
        [(0.6, 0.08), (0.28, 0.55), (0.47, 0.55), (0.36, 0.93), (0.74, 0.4), (0.53, 0.4)]
        + [(0.6, 0.08)]
    ],
    lambda rng: [circle(0.5, 0.5, radius) for radius in (0.4, 0.25, 0.1)],  # a target
    lambda rng: [  # a man
        *(circle(0.5, 0.2, 0.11), [(0.5, 0.31), (0.5, 0.62)], [(0.25, 0.42), (0.75, 0.42)]),
        [(0.28, 0.92), (0.5, 0.62), (0.72, 0.92)],
    ],
    lambda rng: [  # a flower
        *(circle(0.5 + 0.17 * x, 0.4 + 0.17 * y, 0.13) for x, y in circle(0, 0, 1)[:-1:12]),
        [(0.5, 0.4), (0.5, 0.95)],
    ],
    lambda rng: [  # an envelope
        [(0.1, 0.25), (0.9, 0.25), (0.9, 0.75), (0.1, 0.75), (0.1, 0.25)],
        [(0.1, 0.25), (0.5, 0.55), (0.9, 0.25)],
    ],
    lambda rng: [  # hash
        *([(0.38, 0.1), (0.34, 0.9)], [(0.66, 0.1), (0.62, 0.9)]),
        *([(0.1, 0.38), (0.9, 0.36)], [(0.1, 0.66), (0.9, 0.64)]),
    ],
    lambda rng: [  # a fir
        [(0.5, 0.06), (0.25, 0.4), (0.75, 0.4), (0.5, 0.06)],
        [(0.5, 0.4), (0.15, 0.8), (0.85, 0.8), (0.5, 0.4)],
        [(0.5, 0.8), (0.5, 0.95)],
    ],
    lambda rng: [  # a heart of two bows
        circle(0.32, 0.35, 0.18, 0.55, 0.45),
        circle(0.68, 0.35, 0.18, 0.55, 0.5),
        [(0.15, 0.4), (0.5, 0.88), (0.85, 0.4)],
    ],
    lambda rng: [  # a warning sign
        [(0.5, 0.1), (0.08, 0.88), (0.92, 0.88), (0.5, 0.1)],
        *([(0.5, 0.38), (0.5, 0.64)], [(0.5, 0.74), (0.5, 0.77)]),
    ],
    lambda rng: [  # a cube
        [(0.15, 0.35), (0.6, 0.35), (0.6, 0.85), (0.15, 0.85), (0.15, 0.35), (0.38, 0.13)]
        + [(0.83, 0.13), (0.83, 0.63), (0.6, 0.85)],
        [(0.6, 0.35), (0.83, 0.13)],
    ],
)

KINDS: dict[str, Callable[[Numbers, NDArray[np.uint8]], Image.Image]] = {
    "scribbles": scribbles,
    "letters": letters,
    "several digits": several_digits,
    "textures": textures,
    "shapes": shapes,
}


def within(line: Line) -> Line:
    """Scale a curve into 0.1 to 0.9."""
    return 0.5 + 0.4 * line / np.abs(line).max()


def ink(lines: list[Line], width: float, rng: Numbers) -> Image.Image:
    """Draw lines with a round pen, white on black, somewhere and of some size."""
    page = Image.new("L", (2 * SIDE, 2 * SIDE))
    draw = ImageDraw.Draw(page)
    size = rng.uniform(0.45, 1) * 2 * SIDE
    corner = rng.uniform(0, 2 * SIDE - size, 2)
    for line in lines:
        points = [tuple(point) for point in corner + size * np.asarray(line)]
        draw.line(points, fill=255, width=round(2 * width * size / 600), joint="curve")
        for point in points:
            draw.circle(point, width * size / 600, fill=255)
    return unsteady(page.resize((SIDE, SIDE), Image.Resampling.BOX), rng)


def on_paper(drawing: Image.Image, rng: Numbers) -> Image.Image:
    """Colour ink and paper: dark on light, or for a third of them light on dark."""
    light, dark = rng.uniform(215, 255, 3), rng.uniform(0, 90, 3)
    pen, paper = (light, dark) if rng.random() < 1 / 3 else (dark, light)
    strength = np.asarray(drawing, np.float64)[..., None] / 255
    return Image.fromarray((paper + (pen - paper) * strength).round().astype(np.uint8))
