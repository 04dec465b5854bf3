"""Log loss, as a module of the `evaluate` library."""

import evaluate
import numpy as np

from .description import describe


class LogLoss(evaluate.Metric):
    """log_loss = mean of −ln(probability of the label), probabilities held above 1e-15."""

    def _info(self):
        return describe(self.__doc__)

    def _compute(self, predictions, references):
        chosen = np.asarray(predictions)[np.arange(len(references)), np.asarray(references)]
        return {"log_loss": float(-np.log(np.clip(chosen, 1e-15, 1)).mean())}
