"""The charts of a release, and the palette and type that all its figures share.

Each function returns a figure and writes nothing.
"""

from __future__ import annotations

from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot: draws to files, needs no display

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

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


def draw_curves(curves: dict[str, list[float]]) -> Figure:
    """Show accuracy and loss on training and validation images over the epochs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    epochs = np.arange(1, len(curves["loss"]) + 1)
    for axes, name, factor in ((left, "accuracy", 100), (right, "loss", 1)):
        for key, label, color in ((name, "training", MUTED), (f"val_{name}", "validation", ACCENT)):
            values = factor * np.array(curves[key])
            axes.plot(epochs, values, color=color, marker="o", markersize=4, label=label)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.set(xlabel="epoch", xlim=(0.5, len(epochs) + 0.5))
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


def draw_reliability(bins: list[dict[str, Any]]) -> Figure:
    """Set the share read right beside the confidence, bin by bin; on the diagonal they agree."""
    figure, axes = plt.subplots(figsize=(6.4, 5.2))
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", label="as sure as right")
    confidences = np.array([bin["confidence"] for bin in bins])
    shares = np.array([bin["share"] for bin in bins])
    reach = np.abs(np.array([bin["interval"] for bin in bins]).T - shares)
    axes.errorbar(
        confidences, shares, reach, fmt="o", color=ACCENT, capsize=3, label="found, with 95 %"
    )
    for bin in bins:
        place = (bin["confidence"], bin["share"])
        axes.annotate(f"{bin['n']:,}", place, (6, -12), textcoords="offset points", fontsize=8)
    axes.set(title="How often it is right when it is so sure", xlim=(0, 1.06), ylim=(-0.03, 1.05))
    axes.set(xlabel="confidence of the answer", ylabel="read right")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="upper left")
    return figure


def draw_coverage(curve: list[dict[str, Any]], threshold: float) -> Figure:
    """Show how the error falls when only the most confident answers are given."""
    figure, axes = plt.subplots(figsize=(7, 3.6))
    coverages = [point["coverage"] for point in curve]
    low, high = np.array([point["interval"] for point in curve]).T
    axes.fill_between(coverages, low, high, color=ACCENT, alpha=0.18, linewidth=0)
    errors = [point["error"] for point in curve]
    axes.plot(coverages, errors, color=ACCENT, marker="o", markersize=4)
    nearest = min(curve, key=lambda point: abs(point["threshold"] - threshold))
    axes.axvline(nearest["coverage"], color=WARM, linestyle="--")
    axes.annotate(
        "about here",
        (nearest["coverage"], max(high)),
        (-6, -14),
        textcoords="offset points",
        ha="right",
        color=WARM,
    )
    axes.set(title="Fewer answers, fewer mistakes", xlabel="answered", ylabel="misread of these")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    return figure


def draw_breakdown(groups: dict[str, dict[str, Any]]) -> Figure:
    """Show the share of redrawn digits misread, by how they were drawn."""
    figure, grid = plt.subplots(1, len(groups), figsize=(9, 3.2), sharey=True)
    for axes, (aspect, parts) in zip(grid, groups.items(), strict=True):
        errors = np.array([1 - part["share"] for part in parts.values()])
        low, high = 1 - np.array([part["interval"] for part in parts.values()]).T[::-1]
        axes.bar(range(len(parts)), errors, 0.62, color=ACCENT)
        axes.errorbar(range(len(parts)), errors, [errors - low, high - errors], fmt="none", c=INK)
        axes.set_xticks(range(len(parts)), parts, rotation=35, ha="right", fontsize=8)
        axes.set_title(aspect.capitalize())
    grid[0].set_ylabel("misread")
    grid[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    return figure


def draw_trials(curves: list[list[float]]) -> Figure:
    """Show what each trial of a tuning came to, report by report; the first is the best."""
    figure, axes = plt.subplots(figsize=(7, 3.6))
    for curve in reversed(curves):
        color, width = (ACCENT, 2.5) if curve is curves[0] else (MUTED, 1)
        reports = np.arange(1, len(curve) + 1)
        axes.plot(reports, curve, color=color, linewidth=width, marker="o", markersize=4)
    axes.set(title="Trials, the best in blue", xlabel="report: after each epoch, and in the end")
    axes.set_ylabel("validation and redrawn")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set_xticks(np.arange(1, max(map(len, curves)) + 1))
    return figure
