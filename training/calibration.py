"""Probabilities that mean what they say, and the confidence below which the reader says nothing.

The temperature is chosen at the end of training, on validation digits, and becomes part of the
network's last layer; the refusal threshold is chosen by `metrics.py`, on validation digits and
generated non-digits, and becomes part of `metrics.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from training.data import Split

if TYPE_CHECKING:
    import keras  # loads TensorFlow, which choosing a threshold does not need

TEMPERATURES = (0.05, 5.0)
REFUSED_DIGITS = 0.016  # share of the validation digits that may be refused, at most
COVERAGES = (1.0, 0.9975, 0.995, 0.99, 0.98, 0.97, 0.95, 0.9)  # the rows of the card's table


def calibrate(model: keras.Model, validation: Split) -> float:
    """Divide the network's logits by the temperature that fits the validation digits best.

    The last layer's weights are divided instead of adding a layer: the answers stay, only how
    sure they are changes.

    Returns:
        The temperature; below 1 the network had been less sure than it was right.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2.
    """
    images = validation.images[..., np.newaxis]
    probabilities = model.predict(images, batch_size=500, verbose=0)
    temperature = best_temperature(np.log(np.maximum(probabilities, 1e-30)), validation.labels)
    last = model.layers[-1]
    last.set_weights([weights / temperature for weights in last.get_weights()])
    return temperature


def best_temperature(logits: NDArray[np.floating], labels: NDArray[np.uint8]) -> float:
    """Find the temperature of the least log loss.

    Args:
        logits: (n, 10), up to a constant per row.
        labels: (n,), 0 to 9.
    """
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        return -float(log_softmax(logits / temperature, axis=1)[rows, labels].mean())

    return float(minimize_scalar(loss, bounds=TEMPERATURES, method="bounded").x)


def choose_threshold(digits: NDArray[np.floating], non_digits: NDArray[np.floating]) -> float:
    """Choose the confidence below which the reader answers "unsure".

    Of the thresholds that refuse at most `REFUSED_DIGITS` of the digits, those that refuse the most
    non-digits; of these the lowest, for a higher one would refuse digits for nothing. The share of
    digits is the bound because it is known: what people will draw instead of digits is not.

    Args:
        digits: Confidences of the answers to validation digits, (n,), 0 to 1.
        non_digits: The same to generated non-digits, (m,).
    """
    highest = np.sort(digits)[int(REFUSED_DIGITS * len(digits))]
    refused = non_digits[non_digits < highest]
    return float(np.nextafter(refused.max(), highest)) if len(refused) else 0.0


def coverage_curve(
    confidences: NDArray[np.floating],
    right: NDArray[np.bool_],
    coverages: Sequence[float] = COVERAGES,
) -> list[dict[str, float]]:
    """Say how often the answers err when only the most confident ones are given.

    Args:
        confidences: (n,), 0 to 1.
        right: (n,), whether each answer is right.
        coverages: Shares to answer, at least; equally confident answers stay together.

    Returns:
        For each: the threshold that leaves it, the coverage it leaves, and the error among those.

    Source: El-Yaniv and Wiener 2010, https://jmlr.org/papers/v11/el-yaniv10a.html.
    """
    falling = np.sort(confidences)[::-1]
    curve = []
    for coverage in coverages:
        threshold = falling[max(1, int(np.ceil(coverage * len(falling)))) - 1]
        answered = confidences >= threshold
        curve.append(
            {
                "threshold": float(threshold),
                "coverage": float(answered.mean()),
                "error": float(1 - right[answered].mean()),
            }
        )
    return curve
