"""Where a model errs, and how sure it was: a release's answers, taken apart.

Reads and writes nothing but what it is given.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from training.intervals import NORMAL, mean_interval, wilson_interval
from training.redraw import pen_of

BINS = 15  # of confidence, as the calibration error has them
PEN_WIDTHS = (8, 13, 18, 23, 28)  # pixels of a canvas of 280
SIZES = (0.35, 0.5, 0.65, 0.8)  # of the canvas
PLACES = {"in the middle": (0, 1 / 3), "between": (1 / 3, 2 / 3), "near an edge": (2 / 3, 1)}


def share(chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the share of what is true, with n and its 95 % interval (Wilson 1927)."""
    count, n = int(chosen.sum()), len(chosen)
    return {"n": n, "share": count / max(n, 1), "interval": wilson_interval(count, n)}


def by_drawing(right: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
    """Break the accuracy on redrawn digits down by how each was drawn.

    Args:
        right: (n,), whether the drawing of each row was read right.

    Returns:
        For pen width, size, place and polarity: a share right for each group, by its name.
    """
    pens = [pen_of(row) for row in range(len(right))]
    widths = np.array([pen.width for pen in pens])
    sizes = np.array([pen.size for pen in pens])
    offs = np.array([2 * max(abs(at - 0.5) for at in pen.place) for pen in pens])
    dark = np.array([pen.dark for pen in pens])
    groups = {
        "pen": {f"{a} to {b} px": between(widths, a, b) for a, b in pairwise(PEN_WIDTHS)},
        "size": {
            f"{100 * a:.0f} to {100 * b:.0f} %": between(sizes, a, b) for a, b in pairwise(SIZES)
        },
        "place": {name: between(offs, *bounds) for name, bounds in PLACES.items()},
        "polarity": {"dark on light": dark, "light on dark": ~dark},
    }
    return {
        aspect: {name: share(right[chosen]) for name, chosen in parts.items()}
        for aspect, parts in groups.items()
    }


def between(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.bool_]:
    """Tell which values lie from `low` to below `high`."""
    return (values >= low) & (values < high)


def reliability(
    confidences: NDArray[np.floating], right: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Set the accuracy of each bin of confidence beside the mean confidence in it.

    Args:
        confidences: (n,), 0 to 1.
        right: (n,), whether each answer is right.

    Returns:
        Of each of the 15 bins that is not empty: from, to, confidence, and the share right.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2.
    """
    bins = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    return [
        {
            "from": bin / BINS,
            "to": (bin + 1) / BINS,
            "confidence": float(confidences[bins == bin].mean()),
            **share(right[bins == bin]),
        }
        for bin in np.unique(bins).tolist()
    ]


def mean_confidence(confidences: NDArray[np.floating]) -> dict[str, Any]:
    """Return a mean confidence, with n and its 95 % interval (normal approximation)."""
    n = len(confidences)
    mean = float(confidences.mean()) if n else 0.0
    interval = mean_interval(mean, confidences - mean, n) if n else (0.0, 1.0)
    return {"n": n, "mean": mean, "interval": interval}


def compare(folder: Path, published: Path) -> dict[str, Any] | None:
    """Compare two releases' answers to the same test images; None if they are not the same.

    Args:
        folder: Holds the predictions.npz of the new one.
        published: Holds that of the one before.

    Returns:
        n; how many images only the new one reads (won), only the one before did (lost); p, how
        likely so many losses are among equals.

    Source: McNemar 1947, https://doi.org/10.1007/BF02295996, exact and one-sided.
    """
    now, then = (np.load(place / "predictions.npz") for place in (folder, published))
    if not np.array_equal(now["labels"], then["labels"]):
        return None
    right, was_right = (p["probabilities"].argmax(1) == p["labels"] for p in (now, then))
    lost, won = int((was_right & ~right).sum()), int((right & ~was_right).sum())
    p = binomtest(lost, lost + won, 0.5, "greater").pvalue if lost + won else 1.0
    net, n = won - lost, len(right)
    sign = right.astype(float) - was_right
    reach = NORMAL * float(np.sqrt(((sign - net / n) ** 2).sum())) / n
    return {
        "n": n,
        "won": won,
        "lost": lost,
        "p": float(p),
        "difference": net / n,
        "interval": [net / n - reach, net / n + reach],
    }
