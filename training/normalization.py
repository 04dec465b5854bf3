"""Batch normalisation as TensorFlow's one operation: a shorter training step (see RECIPE.md).

For training alone, which copies the weights into a network of Keras' own layers when it is over.
"""

from __future__ import annotations

import keras
import tensorflow as tf


class FusedNormalization(keras.layers.BatchNormalization):
    """What Keras' own layer computes in a dozen operations; takes no mask."""

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Normalise images (n, rows, columns, channels), in training by their own statistics."""
        if not training:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        self.follow(self.moving_mean, mean)
        self.follow(self.moving_variance, variance)
        return outputs

    def follow(self, moving: keras.Variable, now: tf.Tensor) -> None:
        """Let a moving average take in a batch's value."""
        moving.assign(moving * self.momentum + now * (1.0 - self.momentum))


def with_fused_normalization(model: keras.Model) -> keras.Model:
    """Return a new network like this one whose batch normalisation is fused; weights are fresh."""
    return keras.models.clone_model(model, clone_function=fused)


def fused(layer: keras.Layer) -> keras.Layer:
    """Return a new layer of the same settings, a batch normalisation as a fused one."""
    normalizes = isinstance(layer, keras.layers.BatchNormalization)
    kind = FusedNormalization if normalizes else type(layer)
    return kind.from_config(layer.get_config())
