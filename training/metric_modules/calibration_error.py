"""Expected calibration error, as a module of the `evaluate` library."""

import evaluate
import numpy as np

from .description import describe


class CalibrationError(evaluate.Metric):
    """calibration_error = Σ over 15 equal bins of share · |accuracy − mean confidence|.

    Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2.
    """

    def _info(self):
        return describe(self.__doc__)

    def _compute(self, predictions, references):
        predictions = np.asarray(predictions)
        confidence = predictions.max(1)
        right = predictions.argmax(1) == np.asarray(references)
        bins = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
        gaps = np.bincount(bins, weights=right - confidence, minlength=15)
        return {"calibration_error": float(np.abs(gaps).sum() / len(references))}
