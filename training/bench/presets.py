"""What each preset costs and gives, against the recipe of the article this project grew out of."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from space.reader import Classifier, Release
from training.config import PRESETS, Config
from training.data import Digits, load_digits
from training.export import export
from training.metrics import evaluate_release
from training.model import BUILDERS, prepared
from training.predictions import predict
from training.redraw import see_redrawn, see_resized
from training.train import channel, compile_model, fit, one_hot, train

GOAL = 0.99  # test accuracy, for the seconds until it
RACERS = ("baseline", "quick")
PAIRS = 4  # of epochs, the baseline's and a bare one


def measure_presets(seeds: int, place: Path) -> dict[str, Any]:
    """Train every preset with `seeds` seeds, in turn; score each export on the test set.

    Beside redrawn digits as the reader normalises them stand the same merely shrunk to 28 × 28.

    Returns:
        For each preset, by seed: accuracies and seconds of training, drawing and tracing included;
        what damage costs the first seed; and its epochs, network and parameters.
    """
    digits = load_digits()
    resized = see_redrawn(digits.test.images, see_resized)
    results: dict[str, Any] = {}
    for seed in range(seeds):
        for name, preset in PRESETS.items():
            build = place / f"{name}-{seed}"
            train(replace(preset, seed=seed), digits, build)
            export(build, digits.test.images)
            metrics = evaluate_release(build, digits)
            answers = predict(Classifier(Release(build / "model")), resized).argmax(1)
            measured = {
                "test_accuracy": metrics["test"]["accuracy"],
                "redrawn_accuracy": metrics["redrawn"]["accuracy"],
                "resized_accuracy": float((answers == digits.test.labels).mean()),
                "seconds": round(metrics["training"]["seconds"], 1),
            }
            result = results.setdefault(name, {key: [] for key in measured})
            for key, value in measured.items():
                result[key].append(value)
            result.setdefault("corruptions", metrics["corruptions"])  # the first seed's
            result |= {
                "epochs": preset.epochs,
                "network": preset.network,
                "parameters": metrics["model"]["parameters"],
            }
    return results


def measure_race() -> dict[str, Any]:
    """Return the seconds of training that the baseline and quick take to `GOAL` test accuracy.

    The time of the look-ups on the test set is left out; None where the goal was not reached.
    """
    digits = load_digits()
    return {name: seconds_to_goal(PRESETS[name], digits) for name in RACERS}


def seconds_to_goal(config: Config, digits: Digits) -> float | None:
    """Train until the goal, looked up at the end of each epoch."""
    finish = Finish(digits)
    fit(config, digits, [finish])
    return finish.seconds


class Finish(keras.callbacks.Callback):
    """Stops the training where the goal is reached, and notes when."""

    def __init__(self, digits: Digits) -> None:
        """Start the clock."""
        super().__init__()
        self.digits = digits
        self.seconds: float | None = None
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look up the accuracy while the clock stands."""
        paused = time.perf_counter()
        test = self.digits.test
        images = prepared(test.images, self.model.name)
        answers = self.model.predict(images, batch_size=500, verbose=0).argmax(1)
        if (answers == test.labels).mean() >= GOAL:
            self.seconds = paused - self.started
            self.model.stop_training = True
        self.started += time.perf_counter() - paused


def measure_baselines_overhead() -> dict[str, float]:
    """Time the baseline as it is trained here, and a bare `model.fit` on the same arrays, in turn.

    The best epoch of a few: on a shared machine one may take half as long again as the next.
    """
    digits, config = load_digits(), replace(PRESETS["baseline"], epochs=1)
    ours, bare = [], []
    for _ in range(PAIRS):
        ours.append(fit(config, digits)[1]["seconds"])
        bare.append(bare_seconds(config, digits))
    best = {"seconds": min(ours), "bare_seconds": min(bare)}
    return best | {"ratio": best["seconds"] / best["bare_seconds"]}


def bare_seconds(config: Config, digits: Digits) -> float:
    """Fit the baseline for an epoch with nothing around it; return the seconds."""
    started = time.perf_counter()
    model = BUILDERS[config.network]()
    compile_model(model, config, steps=1)
    model.fit(
        channel(digits.train.images),
        one_hot(digits.train.labels),
        batch_size=config.batch_size,
        validation_data=(channel(digits.validation.images), one_hot(digits.validation.labels)),
        validation_batch_size=500,
        verbose=0,
    )
    return time.perf_counter() - started


def print_presets(presets: dict[str, Any]) -> None:
    """Print a row for each preset, with the ratio of its seconds to the baseline's."""
    print(f"\n{'Training':<12}{'test set':>22}{'redrawn':>10}{'seconds':>20}{'ratio':>8}")
    for name, found in presets.items():
        ratios = [
            own / other
            for own, other in zip(found["seconds"], presets["baseline"]["seconds"], strict=True)
        ]
        print(
            f"  {name:<10}{spread(found['test_accuracy'], '.2%'):>22}"
            f"{statistics.mean(found['redrawn_accuracy']):>10.2%}"
            f"{spread(found['seconds'], '.0f'):>20}{statistics.mean(ratios):>8.2f}"
        )


def print_race(race: dict[str, Any], overhead: dict[str, float]) -> None:
    """Print the seconds to the goal, and whether the baseline runs as fast as it can."""
    print(f"\nSeconds to {GOAL:.1%} of the test set")
    for name, seconds in race.items():
        print(f"  {name:<10}" + (f"{seconds:.0f} s" if seconds else "not reached"))
    print(f"The baseline's training to a bare model.fit: {overhead['ratio']:.2f}")


def spread(values: list[float], form: str) -> str:
    """Give the mean, and where there are several values their standard deviation and lowest."""
    if len(values) == 1:
        return format(values[0], form)
    deviation = float(np.std(values, ddof=1))
    return f"{statistics.mean(values):{form}} ± {deviation:{form}} (≥ {min(values):{form}})"
