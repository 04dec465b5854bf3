"""How sure a number is: 95 % intervals of shares, means and scores.

Reads and writes nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t

Interval = tuple[float, float]
NORMAL = 1.959964  # standard deviations to either side hold 95 %
RESAMPLES, SEED = 1_000, 95
BOUNDS = (2.5, 97.5)  # percentiles


def wilson_interval(right: int, n: int) -> Interval:
    """Return the 95 % interval of a share of n, after Wilson 1927; all of it for n = 0."""
    if not n:
        return 0.0, 1.0
    interval = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mean_interval(mean: float, residuals: NDArray[np.floating], n: int) -> Interval:
    """Return the 95 % interval of a mean of n values, by the normal approximation.

    Args:
        mean: The mean of shares, 0 to 1.
        residuals: What each independent group of values is off in sum.
        n: How many values there are.
    """
    reach = NORMAL * math.sqrt(float((residuals**2).sum())) / n
    return max(0.0, mean - reach), min(1.0, mean + reach)


def spread(values: list[float]) -> dict[str, Any]:
    """Return values with their mean; of two or more, deviation and the mean's 95 % interval too.

    Source: Student 1908, https://doi.org/10.2307/2331554.
    """
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return {"values": values, "mean": mean}
    deviation = float(np.std(values, ddof=1))
    reach = float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    interval = (max(0.0, mean - reach), min(1.0, mean + reach))
    return {"values": values, "mean": mean, "deviation": deviation, "interval": interval}


def resampled_intervals(
    probabilities: NDArray[np.float32], labels: NDArray[np.uint8]
) -> dict[str, Any]:
    """Draw the images again with replacement, and see how far each score strays.

    Args:
        probabilities: (n, 10), rows summing to 1.
        labels: (n,), 0 to 9.

    Returns:
        The 95 % interval of log_loss, calibration_error and macro_precision, _recall and _f1, and
        ten of f1_by_class: percentiles of the resamples; and ten each of precision_ and
        recall_by_class, which are shares: Wilson's.

    Source: Efron 1979, https://doi.org/10.1214/aos/1176344552.
    """
    rng, n = np.random.default_rng(SEED), len(labels)
    weights = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)
    return resampled_means(weights, probabilities, labels) | resampled_classes(
        rng, probabilities.argmax(1), labels
    )


def resampled_means(
    weights: NDArray[np.int64], probabilities: NDArray[np.float32], labels: NDArray[np.uint8]
) -> dict[str, Interval]:
    """Return the intervals of the scores that are means over images; weights are (resamples, n)."""
    n, confidence = len(labels), probabilities.max(1)
    losses = -np.log(np.clip(probabilities[np.arange(n), labels].astype(float), 1e-15, 1))
    bins = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    gaps = np.eye(15)[bins] * ((probabilities.argmax(1) == labels) - confidence)[:, None]
    totals = weights.astype(np.float64) @ np.column_stack([losses, gaps]) / n
    return {
        "log_loss": percentiles(totals[:, 0]),
        "calibration_error": percentiles(np.abs(totals[:, 1:]).sum(1)),
    }


def resampled_classes(
    rng: np.random.Generator, answers: NDArray[np.int64], labels: NDArray[np.uint8]
) -> dict[str, Any]:
    """Return the intervals of what the confusion matrix gives: a resample is another matrix."""
    counts = np.bincount(10 * labels.astype(int) + answers, minlength=100)
    drawn = rng.multinomial(len(labels), counts / counts.sum(), RESAMPLES).reshape(-1, 10, 10)
    right = np.diagonal(drawn, axis1=1, axis2=2)
    predicted, labelled = drawn.sum(1), drawn.sum(2)
    scores = {
        "precision": right / np.maximum(predicted, 1),
        "recall": right / np.maximum(labelled, 1),
        "f1": 2 * right / np.maximum(predicted + labelled, 1),
    }
    macro = {f"macro_{name}": percentiles(values.mean(1)) for name, values in scores.items()}
    matrix = counts.reshape(10, 10)
    hits = matrix.diagonal().tolist()
    return macro | {
        "precision_by_class": list(map(wilson_interval, hits, matrix.sum(0).tolist())),
        "recall_by_class": list(map(wilson_interval, hits, matrix.sum(1).tolist())),
        "f1_by_class": [percentiles(values) for values in scores["f1"].T],
    }


def percentiles(values: NDArray[np.floating]) -> Interval:
    """Return the bounds that hold 95 % of resamples."""
    low, high = np.percentile(values, BOUNDS)
    return float(low), float(high)
