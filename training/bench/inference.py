"""What one answer costs, and many: the same network in five runtimes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from training.data import load_embedded_mnist

BATCHES = (1, 32, 1024)
BUDGET = 0.5  # seconds for each runtime, size and round
ROUNDS = 3

Predict = Callable[[NDArray[np.float32]], Any]


def measure_inference(model_dir: Path) -> dict[str, Any]:
    """Time every runtime on every batch size, in turn, `ROUNDS` times.

    Returns:
        For each runtime: `one_image_ms`, `images_per_second` (the best batch's), and by batch size
        the median milliseconds of a call and every round's.
    """
    digits = load_embedded_mnist()["test_images"][: max(BATCHES), ..., np.newaxis]
    images = digits.astype(np.float32)
    found: dict[str, dict[int, list[float]]] = {}
    for _ in range(ROUNDS):
        for name, predict in runtimes(model_dir).items():
            times = found.setdefault(name, {size: [] for size in BATCHES})
            for size in BATCHES:
                times[size].append(milliseconds(predict, images[:size]))
    return {name: summarize(times) for name, times in found.items()}


def runtimes(model_dir: Path) -> dict[str, Predict]:
    """Load the model for each runtime; each takes (n, 28, 28, 1) float32."""
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(model_dir / "model.keras")
    traced = tf.function(lambda images: model(images, training=False), reduce_retracing=True)
    return {
        "model.predict": lambda images: model.predict(images, batch_size=len(images), verbose=0),
        "direct call": lambda images: model(images, training=False).numpy(),
        "traced function": lambda images: traced(tf.constant(images)).numpy(),
        "LiteRT, 1 thread": litert(model_dir / "model.tflite", 1),
        "LiteRT, 2 threads": litert(model_dir / "model.tflite", 2),
    }


def litert(file: Path, threads: int) -> Predict:
    """Load the model for LiteRT with so many threads."""
    interpreter = Interpreter(str(file), num_threads=threads)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    output = interpreter.get_output_details()[0]["index"]

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        if interpreter.get_tensor(entry).shape != images.shape:
            interpreter.resize_tensor_input(entry, images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(entry, images)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(output))

    return predict


def milliseconds(predict: Predict, images: NDArray[np.float32]) -> float:
    """Return the median time of a call, after two that warm up."""
    times: list[float] = []
    for _ in range(2):
        predict(images)
    ending = time.perf_counter() + BUDGET
    while not times or time.perf_counter() < ending:
        started = time.perf_counter()
        predict(images)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def summarize(times: dict[int, list[float]]) -> dict[str, Any]:
    """Give one runtime's figures from the milliseconds of each batch size and round."""
    medians = {size: statistics.median(each) for size, each in times.items()}
    return {
        "one_image_ms": medians[1],
        "images_per_second": max(1000 * size / median for size, median in medians.items()),
        "batch_ms": {str(size): median for size, median in medians.items()},
        "each_ms": {str(size): each for size, each in times.items()},
    }


def print_inference(inference: dict[str, Any]) -> None:
    """Print a row for each runtime, with its ratio to `model.predict`."""
    first = inference["model.predict"]
    print(f"\n{'One network':<22}{'one image':>12}{'ratio':>8}{'images/s':>12}{'ratio':>8}")
    for name, found in inference.items():
        slower = found["one_image_ms"] / first["one_image_ms"]
        faster = found["images_per_second"] / first["images_per_second"]
        print(
            f"  {name:<20}{found['one_image_ms']:>9.3f} ms{slower:>8.3f}"
            f"{found['images_per_second']:>12,.0f}{faster:>8.2f}"
        )
