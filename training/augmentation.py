"""Distortions of training images: what hands do and MNIST's 60,000 digits only sample.

Works on whole batches inside the input pipeline; imports TensorFlow.
"""

from __future__ import annotations

import math

import tensorflow as tf

from training.handwriting import OUTLINE, UNIT

ROTATION = math.radians(12)  # each is the largest distortion to either side
SHEAR = 0.15
SCALE = 0.12
SHIFT = 1.0  # pixels
SWELLING = 0.35  # pixels, of a pen's radius
EDGE = 1.1  # pixels in which ink fades into paper, as after the reader's area averaging

# The reader brings every digit into place, so that the network also has to see some in place, and
# in the end mostly: in all of the images' sharpness lies what tells MNIST's digits from drawn ones.
UNDISTORTED = 0.15  # share of the images
FADING = 0.4  # share of a cycle, its end, in which distortions grow weaker
WEAKEST = 0.2  # of their strength is left at the end


def strengths(count: tf.Tensor, progress: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Say how much each image is to be distorted.

    Args:
        count: How many images.
        progress: How far the learning rate's cycle has come, 0 to 1; 0 where there is none.
        seed: (2,) integers; fixes which images stay as they are.

    Returns:
        (n,) float32, 0 to 1.
    """
    chosen = tf.random.stateless_uniform((count,), seed) >= UNDISTORTED
    left = tf.clip_by_value((1.0 - progress) / FADING, WEAKEST, 1.0)
    return tf.cast(chosen, tf.float32) * left


def distort(images: tf.Tensor, strength: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Rotate, shear, scale and shift each image a little, in one bilinear resampling.

    Args:
        images: (n, 28, 28, 1) of any numeric type, 0 to 255.
        strength: (n,) of the distortions, 0 to 1.
        seed: (2,) integers; the same seed gives the same distortions.

    Returns:
        (n, 28, 28, 1) float32, 0 to 255.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=random_transforms(strength, images.shape[1], seed),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def pen_ink(depths: tf.Tensor, strength: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Ink drawn digits, each with a pen a little wider or narrower than it was.

    Args:
        depths: (n, 28, 28, 1) float32 in the ink, as `ink_depths` gives them.
        strength: (n,) of the change, 0 to 1.
        seed: (2,) integers; the same seed gives the same pens.

    Returns:
        (n, 28, 28, 1) float32 ink, 0 to 255.
    """
    swelling = strength * tf.random.stateless_uniform(tf.shape(strength), seed, -SWELLING, SWELLING)
    inwards = (depths - OUTLINE) / UNIT + swelling[:, None, None, None]
    return 255.0 * tf.clip_by_value(inwards / EDGE + 0.5, 0.0, 1.0)


def random_transforms(strength: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Draw (n, 8) transforms from output to input pixels, about the image's middle."""
    draws = tf.random.stateless_uniform((tf.shape(strength)[0], 6), seed, -1.0, 1.0)
    draws *= strength[:, None]
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
