"""The pictures of a release: one palette, one type, legible on a light and on a dark page.

Called by `metrics.py`; writes PNG files into the release's `figures/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: draws to files, needs no display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from space.reader import normalize
from training.data import CLASSES, Digits

PAPER, INK, MUTED, ACCENT, WARM = "#fbfaf7", "#22252b", "#8a8f98", "#2f6fde", "#d9622b"
SHADES = LinearSegmentedColormap.from_list("shades", [PAPER, "#a9c5f5", ACCENT, "#12305f"])
STYLE: dict[Any, Any] = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "font.size": 10,
    "legend.frameon": False,
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
}


def draw_figures(
    folder: Path,
    digits: Digits,
    probabilities: NDArray[np.float32],
    scores: dict[str, Any],
    curves: dict[str, list[float]],
) -> None:
    """Draw every figure of a release.

    Args:
        folder: Where the PNG files go; made if it is not there.
        digits: The splits.
        probabilities: (n, 10), of the test images.
        scores: The test set's metrics.
        curves: Per epoch: accuracy, loss, val_accuracy, val_loss.
    """
    folder.mkdir(exist_ok=True)
    with plt.rc_context(STYLE):
        figures = {
            "samples": draw_samples(digits),
            "classes": draw_classes(digits),
            "preprocessing": draw_preprocessing(digits),
            "curves": draw_curves(curves),
            "confusion_matrix": draw_confusion_matrix(np.array(scores["confusion_matrix"])),
            "predictions": draw_predictions(digits, probabilities),
            "mistakes": draw_mistakes(digits, probabilities),
        }
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png", bbox_inches="tight", pad_inches=0.25)
            plt.close(figure)


def draw_samples(digits: Digits) -> Figure:
    """Show ten training images of each digit."""
    figure, grid = plt.subplots(CLASSES, 10, figsize=(6, 6.3))
    for digit, row in enumerate(grid):
        chosen = np.flatnonzero(digits.train.labels == digit)[: len(row)]
        for axes, image in zip(row, padded(digits.train.images[chosen], len(row)), strict=True):
            show_digit(axes, image)
    figure.suptitle("Training images", fontweight="bold")
    return figure


def draw_classes(digits: Digits) -> Figure:
    """Show how many images of each digit there are in each split."""
    figure, axes = plt.subplots(figsize=(7, 3.4))
    places = np.arange(CLASSES)
    for offset, color, name in (
        (-0.28, ACCENT, "train"),
        (0, MUTED, "validation"),
        (0.28, WARM, "test"),
    ):
        counts = np.bincount(getattr(digits, name).labels, minlength=CLASSES)
        axes.bar(places + offset, counts, 0.26, color=color, label=f"{name} ({counts.sum():,})")
    axes.set(title="Images of each digit", xlabel="digit", ylabel="images", xticks=places)
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))
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


def draw_curves(curves: dict[str, list[float]]) -> Figure:
    """Show accuracy and loss on training and validation images over the epochs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    epochs = np.arange(1, len(curves["loss"]) + 1)
    for axes, name, factor in ((left, "accuracy", 100), (right, "loss", 1)):
        for key, label, color in ((name, "training", MUTED), (f"val_{name}", "validation", ACCENT)):
            values = factor * np.array(curves[key])
            axes.plot(epochs, values, color=color, marker="o", markersize=4, label=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("epoch")
    left.set(title="Accuracy", ylabel="%")
    right.set(title="Loss", ylabel="cross-entropy")
    left.legend(loc="lower right")
    return figure


def draw_confusion_matrix(matrix: NDArray[Any]) -> Figure:
    """Show counts of label against answer; shaded by the row's mistakes, not by its size."""
    figure, axes = plt.subplots(figsize=(6.4, 6))
    mistakes = matrix * (1 - np.eye(CLASSES))
    axes.imshow(mistakes, cmap=SHADES, vmin=0, vmax=max(1.0, float(mistakes.max())))
    for (row, column), count in np.ndenumerate(matrix):
        dark = mistakes[row, column] > 0.6 * mistakes.max() > 0
        weight = "bold" if row == column else "normal"
        color = PAPER if dark else INK if count else MUTED
        axes.text(column, row, f"{count}", ha="center", va="center", color=color, weight=weight)
    places = np.arange(CLASSES)
    axes.set(title="Test images by label and answer", xlabel="answer", ylabel="label")
    axes.set(xticks=places, yticks=places)
    axes.spines[:].set_visible(False)
    return figure


def draw_predictions(digits: Digits, probabilities: NDArray[np.float32]) -> Figure:
    """Show the first test images with the answers."""
    return draw_answers(digits, probabilities, np.arange(10), "The first ten test images")


def draw_mistakes(digits: Digits, probabilities: NDArray[np.float32]) -> Figure:
    """Show misread test images, the most confident first, with the answer's probability."""
    wrong = np.flatnonzero(probabilities.argmax(1) != digits.test.labels)
    order = wrong[np.argsort(-probabilities.max(1)[wrong], kind="stable")][:20]
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


def show_digit(axes: Axes, image: NDArray[np.uint8]) -> None:
    """Show 28 × 28 pixels as they are."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    frame(axes)


def frame(axes: Axes) -> None:
    """Leave a picture without ticks and frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def padded(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Fill up with empty images where there are fewer than `count`."""
    return np.pad(images, ((0, count - len(images)), (0, 0), (0, 0)))
