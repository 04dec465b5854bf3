"""The pictures of a release: legible on a light and on a dark page; charts are in `charts.py`.

Called by `metrics.py`; writes PNG files into the release's `figures/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from space.reader import normalize
from space.reader.preprocessing import SIDE
from training import corruptions
from training.charts import (
    ACCENT,
    STYLE,
    WARM,
    draw_breakdown,
    draw_classes,
    draw_confusion_matrix,
    draw_coverage,
    draw_curves,
    draw_reliability,
)
from training.data import CLASSES, Digits

MISTAKES = 10
STRIDE = SIDE + 3  # from one image of a sheet to the next, in their pixels


def draw_figures(
    folder: Path,
    digits: Digits,
    probabilities: NDArray[np.float32],
    scores: dict[str, Any],
    curves: dict[str, list[float]],
) -> None:
    """Draw every figure of a release but that of redrawn digits.

    Args:
        folder: Where the PNG files go; made if it is not there.
        digits: The splits.
        probabilities: (n, 10), of the test images.
        scores: What was measured: "test" and "refusal", as in metrics.json.
        curves: Per epoch: accuracy, loss, val_accuracy, val_loss.
    """
    folder.mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        figures = {
            "input": draw_input(digits.test.images[0]),
            "samples": draw_samples(digits),
            "classes": draw_classes(digits),
            "preprocessing": draw_preprocessing(digits),
            "curves": draw_curves(curves),
            "confusion_matrix": draw_confusion_matrix(np.array(scores["test"]["confusion_matrix"])),
            "reliability": draw_reliability(scores["test"]["reliability"]),
            "coverage": draw_coverage(scores["refusal"]["curve"], scores["refusal"]["threshold"]),
            "corruptions": draw_corruptions(digits.test.images[0]),
            "predictions": draw_predictions(digits, probabilities),
            "mistakes": draw_mistakes(digits, probabilities),
        }
        for name, figure in figures.items():
            save(figure, folder / f"{name}.png")


def draw_redrawn(folder: Path, groups: dict[str, dict[str, Any]]) -> None:
    """Draw where redrawn digits are misread, as `by_drawing` has it."""
    with plt.rc_context(STYLE):
        save(draw_breakdown(groups), folder / "redrawn.png")


def save(figure: Figure, file: Path) -> None:
    """Write a figure, and free it."""
    figure.savefig(file, bbox_inches="tight", pad_inches=0.25)
    plt.close(figure)


def draw_input(image: NDArray[np.uint8]) -> Figure:
    """Show what the network takes: the size, the box of the ink, and its centre of mass."""
    figure, axes = plt.subplots(figsize=(5.2, 4.6))
    shown = axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    rows, columns = np.nonzero(image)
    corner = (float(columns.min()) - 0.5, float(rows.min()) - 0.5)
    sides = (float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1)
    box = Rectangle(corner, *sides, fill=False, edgecolor=WARM)
    axes.add_patch(box)
    weights = image[rows, columns]
    centre = np.average(columns, weights=weights), np.average(rows, weights=weights)
    axes.plot(*centre, "+", color=ACCENT, markersize=14, markeredgewidth=2.5)
    axes.set(title="28 × 28, white ink on black", xticks=[0, 9, 18, 27], yticks=[0, 9, 18, 27])
    figure.colorbar(shown, ticks=[0, 128, 255], label="grey value")
    return figure


def draw_corruptions(image: NDArray[np.uint8]) -> Figure:
    """Show one digit with each kind of damage at each level."""
    kinds, levels = list(corruptions.KINDS), range(1, corruptions.LEVELS + 1)
    damaged = [[corruptions.corrupt(image, kind, level, 0) for kind in kinds] for level in levels]
    figure, axes = plt.subplots(figsize=(9, 4.8))
    show_sheet(axes, np.array(damaged))
    axes.xaxis.tick_top()
    axes.set_xticks(middles(len(kinds)), kinds)
    axes.set_yticks(middles(len(levels)), list(map(str, levels)))
    return figure


def draw_samples(digits: Digits) -> Figure:
    """Show ten training images of each digit."""
    of_each = [np.flatnonzero(digits.train.labels == digit)[:10] for digit in range(CLASSES)]
    images = [padded(digits.train.images[chosen], 10) for chosen in of_each]
    figure, axes = plt.subplots(figsize=(6, 6.3))
    show_sheet(axes, np.array(images))
    figure.suptitle("Training images", fontweight="bold")
    return figure


def draw_preprocessing(digits: Digits) -> Figure:
    """Show drawings before and after normalisation."""
    figure, grid = plt.subplots(2, 5, figsize=(7.5, 3.6))
    for column, before in enumerate(sketches(digits, 5)):
        seen = normalize(before)
        grid[0, column].imshow(before, cmap="gray", vmin=0, vmax=255)
        grid[0, column].set_title(
            f"{before.width} × {before.height}", fontsize=9, fontweight="normal"
        )
        show_digit(grid[1, column], seen.pixels)
    for axes in grid.flat:
        frame(axes)
    grid[0, 0].set_ylabel("drawn")
    grid[1, 0].set_ylabel("as the model sees it")
    figure.suptitle("Normalisation: 20 × 20 box, centre of mass in the middle", fontweight="bold")
    return figure


def sketches(digits: Digits, count: int) -> list[Image.Image]:
    """Put test digits dark on white at seeded places and sizes of larger sheets."""
    rng = np.random.default_rng(0)
    sheets = []
    for digit in digits.test.images[:count]:
        sheet = Image.new("L", tuple(rng.integers(180, 320, 2).tolist()), 255)
        side = int(rng.integers(60, min(sheet.size)))
        stamp = Image.fromarray(255 - digit).resize((side, side), Image.Resampling.BICUBIC)
        room = (sheet.width - side + 1, sheet.height - side + 1)
        sheet.paste(stamp, tuple(rng.integers(0, room).tolist()))
        sheets.append(sheet)
    return sheets


def draw_predictions(digits: Digits, probabilities: NDArray[np.float32]) -> Figure:
    """Show the first test images with the answers."""
    return draw_answers(digits, probabilities, np.arange(10), "The first ten test images")


def draw_mistakes(digits: Digits, probabilities: NDArray[np.float32]) -> Figure:
    """Show misread test images, the most confident first, with the answer's probability."""
    wrong = np.flatnonzero(probabilities.argmax(1) != digits.test.labels)
    order = wrong[np.argsort(-probabilities.max(1)[wrong], kind="stable")][:MISTAKES]
    return draw_answers(digits, probabilities, order, f"Misread: {len(order)} of {len(wrong)}")


def draw_answers(
    digits: Digits, probabilities: NDArray[np.float32], chosen: NDArray[Any], title: str
) -> Figure:
    """Show chosen test images, each with its label, the answer and its probability."""
    rows = max(1, -(-len(chosen) // 5))
    figure, grid = plt.subplots(rows, 5, figsize=(7.5, 1.9 * rows), squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, index in zip(grid.flat, chosen, strict=False):
        answer, label = int(probabilities[index].argmax()), int(digits.test.labels[index])
        color = ACCENT if answer == label else WARM
        show_digit(axes, digits.test.images[index])
        axes.set_title(
            f"{label}, read {answer} ({probabilities[index].max():.0%})", fontsize=9, color=color
        )
    figure.suptitle(title, fontweight="bold")
    return figure


def show_digit(axes: Axes, image: NDArray[Any]) -> None:
    """Show pixels as they are; where they are not a number, the paper."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    frame(axes)


def show_sheet(axes: Axes, images: NDArray[np.uint8]) -> None:
    """Show (rows, columns, 28, 28) images side by side; as one picture: axes are slow."""
    rows, columns = images.shape[:2]
    sheet = np.full((rows, STRIDE, columns, STRIDE), np.nan)
    sheet[:, :SIDE, :, :SIDE] = images.transpose(0, 2, 1, 3)
    show_digit(axes, sheet.reshape(rows * STRIDE, -1)[: SIDE - STRIDE, : SIDE - STRIDE])
    axes.tick_params(length=0)


def middles(count: int) -> NDArray[np.floating]:
    """Return where the middles of so many images of a sheet lie."""
    return STRIDE * np.arange(count) + (SIDE - 1) / 2


def frame(axes: Axes) -> None:
    """Leave a picture without ticks and frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def padded(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Fill up with empty images where there are fewer than `count`."""
    return np.pad(images, ((0, count - len(images)), (0, 0), (0, 0)))
