"""When a release refuses to answer, and what that costs and saves.

Called by `metrics.py`: chooses the threshold on validation digits and generated non-digits, and
reports on others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.reader import Classifier
from training.breakdown import share
from training.calibration import REFUSED_DIGITS, choose_threshold, coverage_curve
from training.data import Digits
from training.non_digits import KINDS, draw_non_digits
from training.predictions import predict

NON_DIGITS = 1_000  # of all kinds, to choose the threshold on; as many again to report on
CHOOSING_SEED, REPORTING_SEED = 1_000_001, 1_000_002  # training draws with others


def measure_refusal(
    classifier: Classifier,
    digits: Digits,
    validated: NDArray[np.float32],
    tested: NDArray[np.float32],
) -> dict[str, Any]:
    """Choose the refusal threshold, and count what it refuses.

    Args:
        classifier: The model.
        digits: Validation images stand in the non-digits to choose on, test images in the others.
        validated: Its probabilities on the validation digits, (n, 10).
        tested: Its probabilities on the test digits, (m, 10).

    Returns:
        The threshold; shares refused, 0 to 1; the error among answered test digits; the curve.
    """
    chosen_on = draw_non_digits(digits.validation, NON_DIGITS, CHOOSING_SEED)
    others = draw_non_digits(digits.test, NON_DIGITS, REPORTING_SEED)
    confidences, right = tested.max(1), tested.argmax(1) == digits.test.labels
    threshold = choose_threshold(validated.max(1), predict(classifier, chosen_on).max(1))
    refused = predict(classifier, others).max(1) < threshold
    answered = confidences >= threshold
    return {
        "threshold": threshold,
        "validation_refused_at_most": REFUSED_DIGITS,
        "validation_refused": float((validated.max(1) < threshold).mean()),
        "test_refused": float(1 - answered.mean()),
        "test_refused_interval": share(~answered)["interval"],
        "answered_error": float((answered & ~right).sum() / max(1, answered.sum())),
        "answered_error_interval": share(~right[answered])["interval"],
        "non_digits": {
            kind: {
                "n": len(found),
                "refused": float(found.mean()),
                "interval": share(found)["interval"],
            }
            for kind, found in zip(KINDS, refused.reshape(-1, len(KINDS)).T, strict=True)
        },
        "curve": [
            point | share(~right[confidences >= point["threshold"]])
            for point in coverage_curve(confidences, right)
        ],
    }
