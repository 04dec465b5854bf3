"""Distortions of training images: what hands do and MNIST's 60,000 digits only sample; and damage.

Works on whole batches inside the input pipeline; imports TensorFlow.
"""

from __future__ import annotations

import math

import tensorflow as tf

from space.reader.preprocessing import SIDE
from training.handwriting import OUTLINE, UNIT

ROTATION = math.radians(16)  # each is the largest distortion to either side
SHEAR = 0.21
SCALE = 0.16
SHIFT = 1.15  # pixels
SWELLING = 0.4  # pixels, of a pen's radius
EDGE = 1.1  # pixels in which ink fades into paper, as after the reader's area averaging

# The reader brings every digit into place, so that the network also has to see some in place, and
# in the end mostly: in all of the images' sharpness lies what tells MNIST's digits from drawn ones.
UNDISTORTED = 0.15  # share of the images
FADING = 0.4  # share of the training, its end, in which distortions grow weaker
WEAKEST = 0.2  # of their strength is left at the end

# What scans and photographs do to a digit, each up to the strongest that still shows it.
STRIPES, VEIL, NOISE = 200.0, 0.7, 100.0  # grey values, share of white, standard deviation
WIPED = (2.0, 5.0)  # pixels, half the side of a square
WIPED_PLACES = (6.0, 22.0)  # of its middle, across and down


def strengths(count: tf.Tensor, progress: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Say how much each image is to be distorted.

    Args:
        count: How many images.
        progress: How far the training has come, 0 to 1.
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


def damage(images: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """Damage the first images of a batch: stripes, a veil, a square wiped out, or noise.

    Args:
        images: (n, 28, 28, 1) float32, 0 to 255, in random order.
        share: How many of them, 0 to 1.
        seed: (2,) integers; the same seed gives the same damage.

    Returns:
        (n, 28, 28, 1) float32, 0 to 255.
    """
    count = tf.cast(share * tf.cast(tf.shape(images)[0], tf.float32), tf.int32)
    whole = images[:count]
    draws = tf.random.stateless_uniform((count, 5, 1, 1, 1), seed)
    kind, strength, *places = tf.unstack(draws, axis=1)
    noise = tf.random.stateless_normal(tf.shape(whole), seed + 1)
    ways = (
        whole + STRIPES * strength * bars(*places),
        veiled(whole, VEIL * strength, seed + 2),
        wiped(whole, strength, *places[:2]),
        whole + NOISE * strength * noise,
    )
    chosen = tf.cast(kind * len(ways), tf.int32)
    damaged = tf.add_n([tf.where(chosen == number, way, 0.0) for number, way in enumerate(ways)])
    return tf.concat([tf.clip_by_value(damaged, 0.0, 255.0), images[count:]], 0)


def bars(width: tf.Tensor, offset: tf.Tensor, way: tf.Tensor) -> tf.Tensor:
    """Return bars, 0 or 1, three or four pixels wide; each draw is (n, 1, 1, 1), 0 to 1."""
    pixels = 3.0 + tf.floor(2 * width)
    along = tf.reshape(tf.range(SIDE, dtype=tf.float32), (1, 1, -1, 1))
    upright = tf.math.floormod(tf.floor((along + 2 * pixels * offset) / pixels), 2.0)
    return tf.where(way < 0.5, upright, tf.transpose(upright, (0, 2, 1, 3)))


def veiled(images: tf.Tensor, share: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw an uneven veil over images, of white up to a share (n, 1, 1, 1)."""
    coarse = tf.random.stateless_uniform((tf.shape(images)[0], 5, 5, 1), seed)
    white = share * tf.image.resize(coarse, (SIDE, SIDE))
    return (1.0 - white) * images + 255.0 * white


def wiped(images: tf.Tensor, strength: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Wipe out a square of each image, larger with strength; each draw is (n, 1, 1, 1)."""
    least, most = WIPED
    low, high = WIPED_PLACES
    half = least + strength * (most - least)
    along = tf.range(SIDE, dtype=tf.float32) + 0.5
    rows = tf.abs(tf.reshape(along, (1, -1, 1, 1)) - low - (high - low) * down) < half
    columns = tf.abs(tf.reshape(along, (1, 1, -1, 1)) - low - (high - low) * right) < half
    return tf.where(rows & columns, 0.0, images)
