"""Accuracy of probabilities, as a module of the `evaluate` library."""

import evaluate
import numpy as np

from .description import describe


class Accuracy(evaluate.Metric):
    """accuracy = images whose likeliest digit is the label / images."""

    def _info(self):
        return describe(self.__doc__)

    def _compute(self, predictions, references):
        right = np.argmax(predictions, axis=1) == np.asarray(references)
        return {"accuracy": float(right.mean())}
