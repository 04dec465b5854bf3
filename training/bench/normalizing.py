"""What it costs to bring an image to MNIST's form."""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from space.reader import normalize
from training.data import load_embedded_mnist
from training.redraw import redraw

DRAWINGS, PHOTOGRAPHS = 300, 11
PHOTOGRAPH = (4_000, 3_000)  # pixels


def measure_normalizing() -> dict[str, float]:
    """Time `normalize` on one core: the median of many images of each kind, in milliseconds."""
    digits = load_embedded_mnist()["test_images"]
    drawings = [redraw(image, row) for row, image in enumerate(digits[:DRAWINGS])]
    photographs = [photograph(row) for row in range(PHOTOGRAPHS)]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        return {
            "drawing of 280 × 280": median_milliseconds(drawings),
            "photograph of 12 megapixels": median_milliseconds(photographs),
        }
    finally:
        os.sched_setaffinity(0, cores)


def median_milliseconds(images: Sequence[Image.Image | bytes]) -> float:
    """Normalise each image once; return the median time."""
    times = []
    for image in images:
        started = time.perf_counter()
        normalize(image)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def photograph(seed: int) -> bytes:
    """Make a JPEG file of 12 megapixels: a digit in blue ink on unevenly lit, grainy paper."""
    rng = np.random.default_rng(seed)
    width, height = PHOTOGRAPH
    light = np.linspace(rng.uniform(0.6, 0.9), 1, width)[None, :, None]
    paper = np.array([225, 222, 210]) * light + rng.normal(0, 4, (height, width, 1))
    image = Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8))
    x, y = rng.uniform(0.2, 0.6, 2) * PHOTOGRAPH
    seven = [(x, y), (x + 700, y), (x + 250, y + 1100)]
    ImageDraw.Draw(image).line(seven, fill=(40, 44, 110), width=90, joint="curve")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def print_normalizing(milliseconds: dict[str, float]) -> None:
    """Print the times."""
    print("\nNormalising, on one core")
    for name, value in milliseconds.items():
        print(f"  {name:<30} {value:>8.1f} ms")
