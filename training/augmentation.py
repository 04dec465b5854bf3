"""Distortions of training images: what hands do and MNIST's 60,000 digits only sample.

Works on whole batches inside the input pipeline; imports TensorFlow.
"""

from __future__ import annotations

import math

import tensorflow as tf

from training.handwriting import UNIT

ROTATION = math.radians(12)  # each is the largest distortion to either side
SHEAR = 0.15
SCALE = 0.12
SHIFT = 2.0  # pixels
PEN_RADIUS = (0.7, 1.9)  # pixels


def distort(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Rotate, shear, scale and shift each image a little, in one bilinear resampling.

    Args:
        images: (n, 28, 28, 1) of any numeric type, 0 to 255.
        seed: (2,) integers; the same seed gives the same distortions.

    Returns:
        (n, 28, 28, 1) float32, 0 to 255.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=random_transforms(tf.shape(images)[0], images.shape[1], seed),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def pen_ink(nearness: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw pen paths, each with a pen of its own width.

    Args:
        nearness: (n, 28, 28, 1) float32: 255 on the path, less by `UNIT` with each pixel away.
        seed: (2,) integers; the same seed gives the same pens.

    Returns:
        (n, 28, 28, 1) float32 ink, 0 to 255; a pen finer than a pixel leaves a fainter line.
    """
    radius = tf.random.stateless_uniform((tf.shape(nearness)[0], 1, 1, 1), seed, *PEN_RADIUS)
    inside = radius + 0.5 - (255.0 - nearness) / UNIT
    return 255.0 * tf.clip_by_value(inside, 0.0, 1.0) * tf.minimum(1.0, 2 * radius)


def random_transforms(count: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Draw (count, 8) transforms from output to input pixels, about the image's middle."""
    draws = tf.random.stateless_uniform((count, 6), seed, -1.0, 1.0)
    turn, shear, wide, high, right, down = tf.unstack(draws, axis=1)
    cos, sin = tf.cos(turn * ROTATION), tf.sin(turn * ROTATION)
    shear, wide, high = shear * SHEAR, 1 + wide * SCALE, 1 + high * SCALE
    a, b = cos * wide, (shear * cos - sin) * high
    c, d = sin * wide, (shear * sin + cos) * high
    middle = (side - 1) / 2
    x = middle * (1 - a - b) + right * SHIFT
    y = middle * (1 - c - d) + down * SHIFT
    zero = tf.zeros_like(a)
    return tf.stack([a, b, x, c, d, y, zero, zero], axis=1)
