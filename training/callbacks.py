"""What goes along with Keras' fit: a rate's cycle and a progress bar."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops
from tqdm import tqdm

WARM_UP = 0.1  # share of the steps in which the learning rate rises


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Rise along a cosine to the peak, then fall along a cosine to 0.

    Source: Smith and Topin 2018, https://arxiv.org/abs/1708.07120.
    """

    def __init__(self, peak: float, steps: int) -> None:
        """Take the highest learning rate and the number of steps of the whole training."""
        self.peak, self.steps = peak, steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at this step."""
        progress = ops.cast(step, "float32") / self.steps
        rise = ops.minimum(progress / WARM_UP, 1.0)
        fall = ops.clip((progress - WARM_UP) / (1 - WARM_UP), 0.0, 1.0)
        return (
            self.peak
            * (0.5 - 0.5 * ops.cos(math.pi * rise))
            * (0.5 + 0.5 * ops.cos(math.pi * fall))
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `__init__`."""
        return {"peak": self.peak, "steps": self.steps}


class ProgressBar(keras.callbacks.Callback):
    """One bar for the whole training, with the time left."""

    def __init__(self, epochs: int, steps: int) -> None:
        """Open a bar for so many epochs of so many steps."""
        super().__init__()
        self.epochs, self.steps, self.ended = epochs, steps, 0
        self.bar = tqdm(total=epochs * steps, unit="step", desc="Training", ncols=100)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Move the bar on."""
        self.bar.update(self.ended * self.steps + batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show the validation accuracy."""
        self.ended += 1
        accuracy = 100 * (logs or {})["val_accuracy"]
        self.bar.set_postfix_str(f"epoch {self.ended}/{self.epochs}, validation {accuracy:.2f} %")
