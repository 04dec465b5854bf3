"""The networks: 28 × 28 grey values in, ten probabilities out.

Both take (n, 28, 28, 1) from 0 to 255; scaling is their first layer and softmax their last, so
that nobody can scale wrongly.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from training.data import CLASSES
from training.posture import straighten, straightened

INPUT_SHAPE = (28, 28, 1)


def build_model(straight: bool = False) -> keras.Model:
    """Build the network that is released: 145,434 parameters.

    A slanted, narrow or flat digit is made less so first, unless all are `straight` already.

    Normalisation comes after the pooling, where there is a quarter of the pixels to normalise, and
    not at all at full size; the convolutions have no padding: a digit's margin is empty.
    """
    inputs = keras.Input(INPUT_SHAPE)
    x = layers.Rescaling(1 / 255)(inputs if straight else straightened(inputs))
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = convolution(x, 16, pool=True)
    x = convolution(x, 48)
    x = convolution(x, 64, pool=True)
    x = convolution(x, 176)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.15)(x)
    outputs = layers.Dense(CLASSES, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="small")


def convolution(x: keras.KerasTensor, filters: int, pool: bool = False) -> keras.KerasTensor:
    """Append convolution, pooling if asked for, batch normalisation and ReLU."""
    x = layers.Conv2D(filters, 3, use_bias=False)(x)
    if pool:
        x = layers.MaxPooling2D()(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x)


def build_baseline() -> keras.Model:
    """Build the network of the article this project grew out of: 225,034 parameters."""
    inputs = keras.Input(INPUT_SHAPE)
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(CLASSES, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="baseline")


BUILDERS = {"small": build_model, "baseline": build_baseline}


def build_trained(network: str) -> keras.Model:
    """Build a network without what it does to digits first: in training that is done once."""
    return build_model(straight=True) if network == "small" else BUILDERS[network]()


def prepared(
    images: NDArray[np.uint8], network: str, ink: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """Do to digits what a network does to them first, and add the channel.

    Args:
        images: (n, 28, 28).
        network: Its name in `BUILDERS`.
        ink: (n, 28, 28) of the digits, where the images show something else of them.

    Returns:
        (n, 28, 28, 1).
    """
    return (straighten(images, ink) if network == "small" else images)[..., np.newaxis]
