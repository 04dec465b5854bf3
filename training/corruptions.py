"""Seeded damage to test digits, for the number that says where reading breaks.

Ten kinds of our own at five levels each, in the spirit of MNIST-C (Mu and
Gilmer 2019, https://arxiv.org/abs/1906.02337), whose images these are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from space.reader import Classifier
from space.reader.preprocessing import SIDE
from training.data import Split
from training.intervals import mean_interval, wilson_interval
from training.parallel import stack_chunks
from training.predictions import predict
from training.redraw import see_normalized

VERSION = 1  # of all below: another one makes other numbers
SEED = 1_000_004
LEVELS = 5
DIGITS_PER_LEVEL = 100  # of each kind; no digit twice within a kind
WHITE = 255.0

Grey = NDArray[np.float64]  # (28, 28), 0 to 255, white on black
Damage = Callable[[Grey, float, np.random.Generator], Grey]


def shift(image: Grey, pixels: float, rng: np.random.Generator) -> Grey:
    """Move the digit in any direction; what leaves the image is lost."""
    angle = rng.uniform(0, 2 * np.pi)
    moved: Grey = ndimage.shift(image, (pixels * np.sin(angle), pixels * np.cos(angle)), order=1)
    return moved


def rotation(image: Grey, degrees: float, rng: np.random.Generator) -> Grey:
    """Turn it to either side."""
    angle = np.radians(degrees) * rng.choice((-1, 1))
    cos, sin = np.cos(angle), np.sin(angle)
    return transformed(image, np.array([[cos, -sin], [sin, cos]]))


def scale(image: Grey, factor: float, _: np.random.Generator) -> Grey:
    """Make it smaller."""
    return transformed(image, np.eye(2) / factor)


def shear(image: Grey, slope: float, rng: np.random.Generator) -> Grey:
    """Slant it to either side."""
    return transformed(image, np.array([[1, 0], [slope * rng.choice((-1, 1)), 1]]))


def blur(image: Grey, sigma: float, _: np.random.Generator) -> Grey:
    """Blur it, by so many pixels."""
    blurred: Grey = ndimage.gaussian_filter(image, sigma)
    return blurred


def noise(image: Grey, deviation: float, rng: np.random.Generator) -> Grey:
    """Add noise to every pixel."""
    return image + rng.normal(0, deviation, image.shape)


def brightness(image: Grey, amount: float, _: np.random.Generator) -> Grey:
    """Make everything brighter; what is white stays white."""
    return image + amount


def stripes(image: Grey, amount: float, rng: np.random.Generator) -> Grey:
    """Lay brighter bars across, three or four pixels wide, upright or level."""
    width = rng.integers(3, 5)
    bars = (np.arange(SIDE) + rng.integers(2 * width)) // width % 2
    return image + amount * (bars[None, :] if rng.random() < 0.5 else bars[:, None])


def fog(image: Grey, share: float, rng: np.random.Generator) -> Grey:
    """Draw an uneven veil over it."""
    veil = ndimage.gaussian_filter(rng.normal(size=image.shape), 4)
    veil = (veil - veil.min()) / np.ptp(veil)
    veiled: Grey = (1 - share * veil) * image + share * veil * WHITE
    return veiled


def occlusion(image: Grey, side: float, rng: np.random.Generator) -> Grey:
    """Wipe out a square somewhere on the digit."""
    rows, columns = np.nonzero(image > WHITE / 2)
    chosen = rng.integers(max(len(rows), 1))
    row, column = (rows[chosen], columns[chosen]) if len(rows) else (SIDE // 2, SIDE // 2)
    reach = int(side) // 2
    wiped = image.copy()
    wiped[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach] = 0
    return wiped


def transformed(image: Grey, matrix: NDArray[np.float64]) -> Grey:
    """Map the image about its middle; `matrix` leads from the result back to it."""
    middle = np.full(2, (SIDE - 1) / 2)
    mapped: Grey = ndimage.affine_transform(image, matrix, middle - matrix @ middle, order=1)
    return mapped


class Kind(NamedTuple):
    """One kind of damage.

    Attributes:
        damage: Does it.
        strengths: At the levels 1 to 5.
        unit: What these count, in words.
    """

    damage: Damage
    strengths: tuple[float, float, float, float, float]
    unit: str


KINDS = {
    "shift": Kind(shift, (2, 3, 4, 5, 6), "pixels"),
    "rotation": Kind(rotation, (10, 20, 30, 40, 50), "degrees"),
    "scale": Kind(scale, (0.85, 0.7, 0.6, 0.5, 0.4), "of its size"),
    "shear": Kind(shear, (0.2, 0.35, 0.5, 0.65, 0.8), "of its height"),
    "blur": Kind(blur, (0.6, 0.9, 1.2, 1.6, 2.0), "pixels, standard deviation"),
    "noise": Kind(noise, (20, 40, 60, 80, 100), "grey values, standard deviation"),
    "brightness": Kind(brightness, (30, 60, 100, 140, 180), "grey values"),
    "stripes": Kind(stripes, (40, 80, 120, 160, 200), "grey values"),
    "fog": Kind(fog, (0.2, 0.35, 0.5, 0.6, 0.7), "of the veil's white"),
    "occlusion": Kind(occlusion, (4, 6, 8, 10, 12), "pixels a side"),
}


def corrupt(image: NDArray[np.uint8], kind: str, level: int, row: int) -> NDArray[np.uint8]:
    """Damage one image as the seed has it for this row.

    Args:
        image: (28, 28), white on black.
        kind: One of `KINDS`.
        level: 1 to 5.
        row: Where in the split it stands.
    """
    rng = np.random.default_rng([SEED, VERSION, list(KINDS).index(kind), level, row])
    damage, strengths, _ = KINDS[kind]
    damaged = damage(image.astype(np.float64), strengths[level - 1], rng)
    return np.rint(np.clip(damaged, 0, WHITE)).astype(np.uint8)


def measure(classifier: Classifier, split: Split) -> dict[str, Any]:
    """Count how often damaged digits are misread, as they are and through `normalize`.

    A digit on which the reader finds nothing counts as misread.

    Args:
        classifier: The model.
        split: Digits; `DIGITS_PER_LEVEL` are drawn from them for each kind and level.

    Returns:
        n per kind and level; for "normalized" and "raw", of each kind, n, error and its 95 %
        interval; and the mean of the kinds' errors, with an interval that heeds that a digit
        appears in several kinds.
    """
    rows = choose_rows(len(split.labels))
    kinds, levels = np.meshgrid(list(KINDS), range(1, LEVELS + 1), indexing="ij")
    each = rows.shape[2]
    columns = [np.repeat(kinds.ravel(), each).tolist(), np.repeat(levels.ravel(), each).tolist()]
    flat = rows.reshape(-1)
    seen = stack_chunks(see_both, split.images[flat], *columns, flat.tolist())
    found: dict[str, Any] = {"version": VERSION, "n": each}
    for name, images in (("normalized", seen[:, 0]), ("raw", seen[:, 1])):
        right = predict(classifier, images).argmax(1) == split.labels[flat]
        wrong = ~(right & images.any((1, 2)))
        found[name] = summarize(wrong.reshape(rows.shape), rows)
    return found


def choose_rows(count: int) -> NDArray[np.int64]:
    """Choose rows for each kind and level, (kinds, levels, n); within a kind none comes twice."""
    each = min(DIGITS_PER_LEVEL, count // LEVELS)
    rng = np.random.default_rng([SEED, VERSION])
    chosen = [rng.permutation(count)[: LEVELS * each].reshape(LEVELS, each) for _ in KINDS]
    return np.stack(chosen)


def see_both(images: NDArray[np.uint8], *columns: Sequence[Any]) -> NDArray[np.uint8]:
    """Damage some images; return each through the reader's eyes and as it is, (n, 2, 28, 28).

    The columns are what else `corrupt` takes.
    """
    damaged = [corrupt(*one) for one in zip(images, *columns, strict=True)]
    return np.stack([[see_normalized(Image.fromarray(image)), image] for image in damaged])


def summarize(wrong: NDArray[np.bool_], rows: NDArray[np.int64]) -> dict[str, Any]:
    """Sum up what was misread, (kinds, levels, n), of which rows."""
    kinds = {}
    for kind, misread in zip(KINDS, wrong, strict=True):
        kinds[kind] = {
            "n": misread.size,
            "error": float(misread.mean()),
            "interval": wilson_interval(int(misread.sum()), misread.size),
        }
    residuals = wrong - wrong.mean((1, 2), keepdims=True)
    by_digit = np.bincount(rows.ravel(), residuals.ravel()).astype(np.float64)
    mean = float(wrong.mean())
    return {
        "n": wrong.size,
        "mean_error": mean,
        "mean_interval": mean_interval(mean, by_digit, wrong.size),
        "kinds": kinds,
    }
