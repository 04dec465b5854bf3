"""Precision, recall and F1, as a module of the `evaluate` library."""

import evaluate
import numpy as np

from .description import describe


class PrecisionRecallF1(evaluate.Metric):
    """Of each class, and their unweighted means (macro).

    precision = right / predicted as the class
    recall = right / labelled as the class
    f1 = 2 · precision · recall / (precision + recall)
    A quotient of nothing counts as 0.
    """

    def _info(self):
        return describe(self.__doc__)

    def _compute(self, predictions, references):
        references, chosen = np.asarray(references), np.argmax(predictions, axis=1)
        classes = range(len(predictions[0]))
        right = np.array([((chosen == c) & (references == c)).sum() for c in classes])
        predicted = np.array([(chosen == c).sum() for c in classes])
        labelled = np.array([(references == c).sum() for c in classes])
        scores = {
            "precision": right / np.maximum(predicted, 1),
            "recall": right / np.maximum(labelled, 1),
            "f1": 2 * right / np.maximum(predicted + labelled, 1),
        }
        macro = {f"macro_{name}": float(values.mean()) for name, values in scores.items()}
        return macro | {f"{name}_by_class": values.tolist() for name, values in scores.items()}
