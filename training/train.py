"""Digits and a configuration → a trained network.

Second stage: writes `build/training/` (model.keras, history.json), which `export.py` reads.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import cluster
from training.augmentation import damage, distort, pen_ink, strengths
from training.calibration import calibrate
from training.callbacks import OneCycle, ProgressBar
from training.config import Config
from training.data import CLASSES, Digits, Split
from training.handwriting import ink_depths
from training.intervals import spread
from training.model import BUILDERS, INPUT_SHAPE, build_trained, prepared
from training.non_digits import outliers
from training.normalization import with_fused_normalization
from training.optimizer import ConvolutionMuon
from training.stage import StageError, fresh_folder, write_json
from training.start import load_start

FEWEST_TRAIN, FEWEST_TEST = 20, 10  # digits

log = logging.getLogger(__name__)


class TrainingError(StageError):
    """Training cannot go on; the message says why and what to try."""


def train(
    config: Config, digits: Digits, build: Path, seeds: int = 1, address: str = ""
) -> keras.Model:
    """Train a network and write it, with its history, to `build/training/`.

    Args:
        config: The run's settings.
        digits: What to fit on (train) and to watch (validation); the test split is not read.
        build: The build folder.
        seeds: How many networks to train, from the configuration's seed on. That which reads most
            validation digits is kept, of equals the one with the lower loss on them.
        address: Of a Ray cluster to train them on side by side, as `cluster.connected` takes it.

    Returns:
        The trained network, not compiled: without an optimizer's state.

    Raises:
        TrainingError: If there are too few digits, or the loss is no longer a number.
        StageError: If the build folder cannot be written.
    """
    sizes = digits.sizes
    if sizes["train"] + sizes["validation"] < FEWEST_TRAIN or sizes["test"] < FEWEST_TEST:
        raise TrainingError(
            f"{digits.dataset} has too few digits: at least {FEWEST_TRAIN} in the split train "
            f"and {FEWEST_TEST} in test are needed."
        )
    with fresh_folder(build / "training") as folder:
        runs = [replace(config, seed=config.seed + more) for more in range(seeds)]
        found = cluster.spread(partial(fit_and_validate, digits), runs, address)
        trained = sorted(found, key=lambda one: one[2])
        *_, seed, model, history = max(trained, key=lambda one: (one[0], -one[1]))
        history["seeds"] = spread([accuracy for accuracy, *_ in trained])
        model.save(folder / "model.keras")
        settings = asdict(replace(config, seed=seed))
        write_json(folder / "history.json", {"config": settings, **history})
    return model


def fit_and_validate(
    digits: Digits, config: Config
) -> tuple[float, float, int, keras.Model, dict[str, Any]]:
    """Train one network; return its accuracy and loss on validation digits, seed, self, history."""
    model, history = fit(config, digits)
    return (*validate(model, digits.validation), config.seed, model, history)


def validate(model: keras.Model, split: Split) -> tuple[float, float]:
    """Return a network's accuracy on digits, 0 to 1, and its log loss."""
    probabilities = model.predict(channel(split.images), batch_size=500, verbose=0)
    right = probabilities[np.arange(len(split.labels)), split.labels].astype(np.float64)
    accuracy = float((probabilities.argmax(1) == split.labels).mean())
    log.info("Read right: %.2f %% of %d validation digits", 100 * accuracy, len(split.labels))
    return accuracy, float(-np.log(np.maximum(right, 1e-15)).mean())


def fit(
    config: Config, digits: Digits, watchers: Sequence[keras.callbacks.Callback] = ()
) -> tuple[keras.Model, dict[str, Any]]:
    """Train and calibrate a network in memory; return it with its curves and what they cost.

    Args:
        config: The run's settings.
        digits: What to fit on (train) and to watch (validation).
        watchers: Callbacks that look on.

    Raises:
        TrainingError: If the loss is no longer a number, or the release that it goes on from is
            another network.
        StageError: If that release cannot be had.
    """
    keras.utils.set_random_seed(config.seed)
    started = time.perf_counter()
    model = begin(config)
    progress = ProgressBar(config.epochs, steps_per_epoch(config, digits))
    curves = learn(model, config, digits, [progress, *watchers])
    progress.bar.close()
    seconds = time.perf_counter() - started
    source = {"dataset": digits.dataset, "revision": digits.revision, "origin": digits.origin}
    model = as_released(model, config)
    history = {
        "curves": curves,
        "temperature": calibrate(model, digits.validation),
        "seconds": seconds,
        "dataset": source | {"sizes": digits.sizes},
    }
    return model, history


def begin(config: Config) -> keras.Model:
    """Build the network to train, with the weights of the release it goes on from, if there is one.

    Raises:
        TrainingError: If that release is another network.
    """
    model = with_fused_normalization(build_trained(config.network))
    if config.start:
        try:
            model.set_weights(load_start(config.start))
        except ValueError as error:
            raise TrainingError(
                f"{config.start} is another network than training/model.py builds. "
                "Go on from a release made with this version, or leave out --from."
            ) from error
    return model


def learn(
    model: keras.Model, config: Config, digits: Digits, watchers: Sequence[keras.callbacks.Callback]
) -> dict[str, list[float]]:
    """Fit the network for the configuration's epochs; return a curve for each metric.

    Raises:
        TrainingError: If the loss is no longer a number.
    """
    steps = steps_per_epoch(config, digits)
    compile_model(model, config, steps)
    curves: dict[str, list[float]] = model.fit(
        **training_input(digits.train, config, steps),
        epochs=config.epochs,
        validation_data=(
            prepared(digits.validation.images, config.network),
            one_hot(digits.validation.labels),
        ),
        validation_batch_size=500,
        callbacks=[keras.callbacks.TerminateOnNaN(), *watchers],
        verbose=0,
    ).history
    if not np.isfinite(curves["loss"]).all():
        raise TrainingError("The loss is no longer a number: lower the learning rate and retry.")
    return curves


def steps_per_epoch(config: Config, digits: Digits) -> int:
    """Count the batches of one pass, as many as make whole calls of some steps, or one call."""
    count = len(digits.train.labels)
    steps = math.ceil((count + round(config.non_digits * count)) / config.batch_size)
    call = min(config.steps_per_call, steps)
    return steps // call * call


def compile_model(model: keras.Model, config: Config, steps: int) -> None:
    """Give the network its loss and its optimizer, for `steps` steps an epoch."""
    rate: float | OneCycle = config.learning_rate
    if config.one_cycle:
        rate = OneCycle(config.learning_rate, config.epochs * steps)
    optimizer = {"muon": ConvolutionMuon, "adam": keras.optimizers.AdamW}[config.optimizer]
    model.compile(
        optimizer(rate, weight_decay=config.weight_decay),
        keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        steps_per_execution=min(config.steps_per_call, steps),
    )
    # What is created within the first step makes TensorFlow build the graph of a step twice.
    model.optimizer.build(model.trainable_variables)


def training_input(split: Split, config: Config, steps: int) -> dict[str, Any]:
    """Return the arguments of `fit` that feed it: the arrays, or a pipeline that distorts them."""
    if config.augment:
        batches = distorted_batches(split, config, config.epochs * steps)
        return {"x": batches, "steps_per_epoch": steps, "shuffle": False}
    return {
        "x": prepared(split.images, config.network),
        "y": one_hot(split.labels),
        "batch_size": config.batch_size,
    }


def distorted_batches(split: Split, config: Config, steps: int) -> tf.data.Dataset:
    """Shuffle, batch and distort, in an order the seed fixes, for so many steps.

    Some of the images are no digits; from some step on, a share of each batch gives its place to
    digits in other handwritings, which are written meanwhile.
    """
    count = round(config.non_digits * len(split.labels))
    unclear, undecided = outliers(split, count, config.seed)
    images = tf.constant(prepared(np.concatenate([split.images, unclear]), config.network))
    targets = tf.constant(np.concatenate([one_hot(split.labels), undecided]))
    written, written_targets = handwritings(split, config)
    rows = tf.data.Dataset.range(len(images)).shuffle(len(images), seed=config.seed)
    seeds = tf.data.Dataset.random(seed=config.seed).batch(2)

    def distorted(rows: tf.Tensor, seed: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(rows)[0]
        progress = tf.cast(step, tf.float32) / steps
        share = tf.where(progress < config.handwriting_from, 0.0, config.handwriting)
        drawn = tf.random.stateless_uniform((count,), seed) < share
        hands = tf.random.stateless_uniform((count,), seed + 1, 0, len(written_targets), tf.int32)
        blank = tf.zeros((count, *INPUT_SHAPE), tf.uint8)
        others = tf.cond(share > 0.0, lambda: await_rows(written, hands), lambda: blank)
        strength = strengths(count, progress, seed + 2)
        place = drawn[:, None, None, None]
        mixed = tf.where(place, others, tf.gather(images, rows))
        moved = distort(mixed, strength, seed + 3)
        inked = tf.where(place, pen_ink(moved, strength, seed + 4), moved)
        theirs = tf.gather(written_targets, hands)
        meant = tf.where(drawn[:, None], theirs, tf.gather(targets, rows))
        return damage(inked, config.damaged, seed + 5), meant

    batches = rows.batch(config.batch_size).repeat()
    pipeline = tf.data.Dataset.zip(batches, seeds, tf.data.Dataset.range(steps))
    as_it_is = tf.autograph.experimental.do_not_convert(distorted)  # saves a second
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread may sleep on for half a minute when all is done
    return pipeline.map(as_it_is, num_parallel_calls=2).prefetch(4).with_options(options)


def handwritings(
    split: Split, config: Config
) -> tuple[Future[NDArray[np.uint8]], NDArray[np.float32]]:
    """Begin to trace digits and to give them handwritings, beside what else is done.

    Returns:
        What waits for their depths (m, 28, 28, 1), as the network would straighten their ink; and
        their targets (m, 10).
    """
    some = split.some(config.traced)
    aside = ThreadPoolExecutor(1)
    written = aside.submit(straight_depths, some, config)
    aside.shutdown(wait=False)
    spread_out = config.handwriting_smoothing
    return written, (1 - spread_out) * one_hot(some.labels) + spread_out / CLASSES


def straight_depths(split: Split, config: Config) -> NDArray[np.uint8]:
    """Give digits handwritings, if there are to be any: (m, 28, 28, 1) depths, straightened."""
    if not config.handwriting:
        return np.empty((0, *INPUT_SHAPE), np.uint8)
    depths = ink_depths(split, config.seed)
    unchanged = tf.zeros(len(depths))
    ink = pen_ink(tf.constant(channel(depths), tf.float32), unchanged, tf.constant((0, 0)))
    return prepared(depths, config.network, ink.numpy()[..., 0])


def await_rows(images: Future[NDArray[np.uint8]], rows: tf.Tensor) -> tf.Tensor:
    """Wait for images and take some rows of them: (n, 28, 28, 1)."""
    taken = tf.numpy_function(lambda rows: images.result()[rows], [rows], tf.uint8)
    return tf.ensure_shape(taken, (None, *INPUT_SHAPE))


def as_released(model: keras.Model, config: Config) -> keras.Model:
    """Copy the network into Keras' own layers, without the optimizer, which would be saved too."""
    copy = BUILDERS[config.network]()
    copy.set_weights(model.get_weights())
    return copy


def channel(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add the channel axis: (n, 28, 28) → (n, 28, 28, 1)."""
    return images[..., np.newaxis]


def one_hot(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn labels (n,) into targets (n, 10) float32."""
    return np.eye(CLASSES, dtype=np.float32)[labels]
