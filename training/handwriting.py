"""What hands do and MNIST's writers seldom did: styles drawn onto the skeletons of its digits.

For training alone, from training images alone, and as the reader would show them: 20 pixels long,
their centre of mass in the middle, a pen of 1.5 to 2.9 pixels. What comes out is not ink but how
deep in the ink each pixel lies: another pen is then a sum, cheap enough for every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from space.reader.preprocessing import CENTRE, DIGIT_BOX, SIDE
from training.data import Split
from training.parallel import stack_chunks
from training.strokes import FINER, Points, Strokes, join, smooth, squared_depths, trace_all

UNIT = 60  # steps of depth per pixel
OUTLINE = 128  # the depth at the ink's edge; 0 is farther outside than any pen reaches
PEN_RADIUS = (0.75, 1.45)  # pixels, about what the reader leaves of any pen
STEADY = (2, 16)  # rounds of smoothing
CLOSED = 0.3  # share of paths whose narrow gaps run full, as with a bold pen
GAP = (0.8, 2.2)  # pixels: half of the widest gap that does


def ink_depths(split: Split, seed: int) -> NDArray[np.uint8]:
    """Trace every digit and write it in another hand.

    Args:
        split: Training digits.
        seed: Fixes the hands.

    Returns:
        (n, 28, 28) depths in the ink: `OUTLINE`, and `UNIT` more for each pixel inwards.
    """
    work = partial(rewrite, seed)
    return stack_chunks(work, split.images, split.labels, range(len(split.labels)))


def rewrite(
    seed: int, images: NDArray[np.uint8], labels: NDArray[np.uint8], rows: Sequence[int]
) -> NDArray[np.uint8]:
    """Write some digits in other hands: (n, 28, 28) depths."""
    rngs = [np.random.default_rng([seed, row]) for row in rows]
    hands = zip(dense(trace_all(images), rngs), labels, rngs, strict=True)
    return depths([write(*hand) for hand in hands], labels, rngs)


def dense(strokes: Sequence[Strokes], rngs: Sequence[np.random.Generator]) -> list[Points]:
    """Draw paths with a steady hand or less so; add edges' middles, lest stretching open gaps.

    What always wavers is a traced digit: the network would learn it as a drawing's mark.
    """
    points, edges = join(strokes)
    counts = [len(path.points) for path in strokes]
    rounds = np.repeat([int(rng.integers(*STEADY)) for rng in rngs], counts)
    steady = np.split(smooth(points, edges, rounds), np.cumsum(counts)[:-1])
    pairs = zip(steady, strokes, strict=True)
    return [np.concatenate([path, path[edges].mean(1)]) for path, (_, edges) in pairs]


def write(path: Points, label: int, rng: np.random.Generator) -> Points:
    """Write a digit's path in a random style and stretch it unevenly."""
    style = STYLES.get(int(label))
    if style is not None:
        path = style(path, rng)
    return stretch(path, label, rng)


def stretch(path: Points, label: int, rng: np.random.Generator) -> Points:
    """Stretch a path unevenly, in each direction; nines often to a small loop, fours narrow."""
    low, extent = path.min(0), np.maximum(np.ptp(path, axis=0), 1e-3)
    bend = rng.normal(0, (0.15, 0.2))
    if label == 9 and rng.random() < 0.5:
        bend[1] = rng.uniform(0, 0.6)  # more makes it a 3
    aspect = np.exp([rng.normal(0, 0.15), 0])
    if label == 4:
        aspect[0] *= rng.uniform(0.6, 1.1)
    stretched: Points = ((path - low) / extent) ** np.exp(bend) * extent * aspect
    return stretched


def depths(
    paths: Sequence[Points], labels: NDArray[np.uint8], rngs: Sequence[np.random.Generator]
) -> NDArray[np.uint8]:
    """Draw paths with some pen and put the ink where the reader would: (n, 28, 28) depths."""
    radii = np.array([rng.uniform(*PEN_RADIUS) for rng in rngs])
    away = np.stack([sheet(*pair) for pair in zip(paths, radii, strict=True)])
    gaps = np.array([choose_gap(*pair) for pair in zip(labels, rngs, strict=True)])
    away[gaps > 0] = fill_gaps(away[gaps > 0], FINER * gaps[gaps > 0])
    squared = squared_depths(away)
    ink = squared < (FINER * radii[:, None, None]) ** 2
    squared = squared[np.arange(len(ink))[:, None, None], *middles(ink)]
    inwards = radii[:, None, None] - np.sqrt(squared, dtype=np.float64) / FINER
    return np.clip(OUTLINE + UNIT * inwards, 0, 255).astype(np.uint8)


def sheet(path: Points, radius: float) -> NDArray[np.bool_]:
    """Scale a path so that its ink fills the box; mark (84, 84) where the finer paper is bare."""
    extent = max(float(np.ptp(path, axis=0).max()), 1.0)
    path = (path - path.min(0)) * (DIGIT_BOX - 2 * radius) / extent + radius
    columns, rows = np.clip(path * FINER, 0, SIDE * FINER - 1).astype(int).T
    bare = np.ones((SIDE * FINER,) * 2, bool)
    bare[rows, columns] = False
    return bare


def choose_gap(label: int, rng: np.random.Generator) -> float:
    """Choose half the width of gaps that run full, in pixels; mostly none, 0, does."""
    closes = label != 4 and rng.random() < CLOSED  # a closed four is a nine
    return rng.uniform(*GAP) if closes else 0.0


def fill_gaps(away: NDArray[np.bool_], radii: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark what stays away from paths once the gaps too narrow for a disc have run full."""
    squares = (radii * radii)[:, None, None]
    farther: NDArray[np.bool_] = squared_depths(squared_depths(away) <= squares) <= squares
    return farther


def middles(ink: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the rows and columns of the finer ink that lie in the pixels' middles, once centred.

    Returns:
        (n, 28, 1) and (n, 1, 28).
    """
    places, side = np.arange(SIDE * FINER), ink.shape[1]
    mass = ink.sum((1, 2))
    means = [(ink.sum(axis) @ places / mass + 0.5) / FINER for axis in (2, 1)]
    moves = [FINER * np.round(CENTRE - mean).astype(int) for mean in means]
    down, right = ((places[FINER // 2 :: FINER] - move[:, None]) % side for move in moves)
    return down[:, :, None], right[:, None, :]


def one(path: Points, rng: np.random.Generator) -> Points:
    """Give a one a flag, often, and a foot, sometimes."""
    low, high = path.min(0), path.max(0)
    width, height = high - low
    if width > 0.9 * height or rng.random() < 0.15:
        return path
    top, bottom = path[path[:, 1].argmin()], path[path[:, 1].argmax()]
    stem = np.arctan2(*(bottom - top))  # from straight down, to the right
    parts, kind = [path], rng.random()
    if kind < 0.2:  # close to the stem, and often back to it: no 4 and no 9
        angle = stem - rng.uniform(0.03, 0.25)
        end = top + rng.uniform(0.3, 0.8) * height * np.array([np.sin(angle), np.cos(angle)])
        bulge = rng.uniform((-0.12, -0.05), (-0.02, 0.05)) * height
        parts.append(curve(top, (top + end) / 2 + bulge, end))
    elif kind < 0.9:
        # or it is a 7
        angle = max(min(stem, 0.3) - rng.uniform(0.15, 0.95), -rng.uniform(0.9, 1.3))
        end = top + rng.uniform(0.35, 0.9) * height * np.array([np.sin(angle), np.cos(angle)])
        parts.append(curve(top, (top + end) / 2 + rng.normal(0, 0.02 * height, 2), end))
    if rng.random() < 0.2:
        parts.append(bar(bottom, rng.uniform(1.5, 6, 2), rng.uniform(-0.2, 0.2)))
    return np.concatenate(parts)


def seven(path: Points, rng: np.random.Generator) -> Points:
    """Give a seven a bar through its stem, and sometimes a hook where the pen sets off."""
    if rng.random() < 0.4:
        path = hook(path, rng)
    if rng.random() < 0.2:
        return path
    low, height = path[:, 1].min(), np.ptp(path[:, 1])
    level = low + rng.uniform(0.4, 0.85) * height
    stem = path[np.abs(path[:, 1] - level).argmin()]
    left, right = rng.uniform(1.5, (6, 8.5))
    slope = rng.uniform(-0.4, 0.3)
    start, end = stem - [left, slope * left], stem + [right, slope * right]
    return np.concatenate([path, curve(start, stem + rng.normal(0, 1, 2), end)])


def zero(path: Points, rng: np.random.Generator) -> Points:
    """Give a zero a slash, or a flourish where the pen sets off."""
    kind, (width, height) = rng.random(), np.ptp(path, axis=0)
    if kind < 0.1:
        reach = rng.uniform(0.3, 0.65) * np.array([width, -height * rng.uniform(0.6, 1)])
        middle = (path.min(0) + path.max(0)) / 2
        return np.concatenate([path, curve(middle - reach, middle, middle + reach)])
    if kind < 0.25:
        top = path[path[:, 1].argmin()]
        end = top + [rng.uniform(-0.1, 0.6) * width, -rng.uniform(0.05, 0.3) * height]
        return np.concatenate([path, curve(top, (top + end) / 2 + rng.normal(0, 1, 2), end)])
    return path


def five(path: Points, rng: np.random.Generator) -> Points:
    """Give a five a long roof."""
    if rng.random() < 0.55:
        return path
    roof = path[path[:, 1] < path[:, 1].min() + 0.25 * np.ptp(path[:, 1])]
    tip = roof[roof[:, 0].argmax()]
    end = tip + [rng.uniform(2, 9), rng.normal(-0.5, 1)]
    return np.concatenate([path, curve(tip, (tip + end) / 2, end)])


def three(path: Points, rng: np.random.Generator) -> Points:
    """Give a three a hook where the pen sets off."""
    return hook(path, rng) if rng.random() < 0.3 else path


def hook(path: Points, rng: np.random.Generator) -> Points:
    """Add a hook at the upper left, where the pen sets off."""
    height = np.ptp(path[:, 1])
    upper = path[path[:, 1] < path[:, 1].min() + 0.35 * height]
    start = upper[upper[:, 0].argmin()]
    end = start + rng.uniform((-0.1, 0.05), (0.15, 0.2)) * height
    turn = (start + end) / 2 + rng.normal(0, 0.03 * height, 2)
    return np.concatenate([path, curve(start, turn, end)])


def eight(path: Points, rng: np.random.Generator) -> Points:
    """Leave an eight open where the pen sets off and ends, or let it swing out there."""
    if rng.random() < 0.6:
        return path
    height = np.ptp(path[:, 1])
    upper = np.flatnonzero(path[:, 1] < path[:, 1].min() + 0.45 * height)
    slant = rng.uniform(0.2, 1)
    start = path[upper[(path[upper] @ [slant, -1]).argmax()]]
    away = np.hypot(*(path - start).T)
    kept = path[away > rng.uniform(0.1, 0.26) * height]
    if rng.random() < 0.5 or len(kept) < 2:
        return kept if len(kept) > len(path) / 2 else path
    nearest = kept[np.hypot(*(kept - start).T).argmin()]
    end = nearest + rng.uniform((0.05, -0.3), (0.4, 0.0)) * height
    return np.concatenate([kept, curve(nearest, (nearest + end) / 2, end)])


def nine(path: Points, rng: np.random.Generator) -> Points:
    """Give a nine a tail that swings to the left, or make it the loop of one with a belly."""
    kind = rng.random()
    if kind < 0.37:
        return path
    width, height = np.ptp(path, axis=0)
    bottom = path[path[:, 1].argmax()]
    if kind < 0.45:
        turn = bottom + rng.uniform((0.1, 0.1), (0.9, 0.5)) * height
        low = bottom + rng.uniform((-0.2, 0.5), (0.4, 1.1)) * height
        end = low + rng.uniform((-1.1, -0.15), (-0.3, 0.1)) * height
        tail = curve(low, low + np.array([-0.2, 0.1]) * height, end)
        return np.concatenate([path, curve(bottom, turn, low), tail])
    reach = rng.uniform(0.3, 1.2) * max(width, 0.45 * height)
    turn = bottom + [-0.3 * reach, rng.uniform(0.05, 0.25) * height]
    end = bottom + [-reach, -rng.uniform(-0.05, 0.25) * height]
    return np.concatenate([path, curve(bottom, turn, end)])


def four(path: Points, rng: np.random.Generator) -> Points:
    """Cut a four's upright short, above its bar or below."""
    if rng.random() < 0.45:
        return path
    height = np.ptp(path[:, 1])
    level = bar_level(path)
    keep = np.ones(len(path), bool)
    if rng.random() < 0.7:
        keep &= path[:, 1] < level + rng.uniform(0.06, 0.35) * height
    if rng.random() < 0.7:
        keep &= ~upright(path, level - rng.uniform(0.02, 0.35) * height)
    return path[keep] if keep.mean() > 0.5 else path


def bar_level(path: Points) -> float:
    """Return the height in a four's lower part where most of the path lies."""
    low, height = path[:, 1].min(), np.ptp(path[:, 1])
    levels = low + height * np.linspace(0.35, 0.85, 13)
    lengths = [(np.abs(path[:, 1] - level) < 0.8).sum() for level in levels]
    return float(levels[int(np.argmax(lengths))])


def upright(path: Points, level: float) -> NDArray[np.bool_]:
    """Mark the right branch of a four above a level: what is right of the gap, row by row."""
    marked, border = np.zeros(len(path), bool), np.inf
    for foot in np.arange(level, path[:, 1].min(), -0.5):
        row = np.flatnonzero((path[:, 1] <= foot) & (path[:, 1] > foot - 0.5))
        places = np.sort(path[row, 0])
        gaps = np.diff(places)
        if len(gaps) and gaps.max() > 1.8:
            border = places[gaps.argmax()] + gaps.max() / 2
        marked[row] = path[row, 0] > border  # where one branch has ended, the last border holds
    return marked


def bar(middle: Points, reach: Points, slope: float) -> Points:
    """Return a straight stroke that reaches so far to the left and to the right of a point."""
    left, right = reach
    return curve(middle - [left, slope * left], middle, middle + [right, slope * right])


def curve(start: Points, turn: Points, end: Points) -> Points:
    """Return 60 points along a quadratic curve."""
    t = np.linspace(0, 1, 60)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * turn + t**2 * end


STYLES = {0: zero, 1: one, 3: three, 4: four, 5: five, 7: seven, 8: eight, 9: nine}
