"""The only place where a release's numbers are born.

Fourth stage: scores the shipped `model.tflite` on the complete test set and writes
`build/model/metrics.json`, from which every document is rendered. Nothing is chosen but the
refusal threshold, and that on validation digits and generated non-digits alone.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from space.reader import Classifier, Release, ReleaseError
from training import redraw
from training.calibration import REFUSED_DIGITS, choose_threshold, coverage_curve
from training.data import Digits, Split
from training.export import TRAIN_COMMAND, load_network, predict
from training.figures import draw_figures
from training.golden import record_golden
from training.non_digits import KINDS, draw_non_digits
from training.redraw import see_redrawn
from training.stage import (
    StageError,
    describe_files,
    read_json,
    require,
    write_json,
    writing,
)

MODULES = Path(__file__).parent / "metric_modules"
METRICS = ("accuracy", "precision_recall_f1", "confusion_matrix", "log_loss", "calibration_error")
NON_DIGITS = 1_000  # of all kinds, to choose the threshold on; as many again to report on
CHOOSING_SEED, REPORTING_SEED = 1_000_001, 1_000_002  # training draws with others
LIBRARIES = ("tensorflow", "keras", "ai-edge-litert", "numpy", "pillow", "datasets", "evaluate")


class MetricsError(StageError):
    """The model cannot be scored; the message says why and what to do."""


def evaluate_release(build: Path, digits: Digits) -> dict[str, Any]:
    """Score `build/model/` and add predictions.npz, figures/ and, last, metrics.json to it.

    Args:
        build: The build folder.
        digits: The digits; test is scored, validation too, for comparison.

    Returns:
        What metrics.json holds.

    Raises:
        MetricsError: If the model is damaged or was not exported.
    """
    folder = require(build / "model" / "model.tflite", TRAIN_COMMAND).parent
    history = read_json(folder / "history.json", TRAIN_COMMAND)
    try:
        classifier = Classifier(Release(folder))
    except ReleaseError as error:
        raise MetricsError(str(error)) from error
    with writing(folder):
        for stale in ("metrics.json", "README.md"):  # they speak of other numbers
            (folder / stale).unlink(missing_ok=True)
        probabilities = predict(classifier, digits.test.images)
        np.savez_compressed(
            folder / "predictions.npz", probabilities=probabilities, labels=digits.test.labels
        )
        test = score(probabilities, digits.test.labels)
        draw_figures(folder / "figures", digits, probabilities, test, history["curves"])
    validated = predict(classifier, digits.validation.images)
    refusal = measure_refusal(classifier, digits, validated, probabilities)
    classifier.threshold = refusal["threshold"]
    record_golden(folder / "golden", classifier, digits.validation)
    metrics = {
        "test": test,
        "redrawn": score_redrawn(classifier, digits.test),
        "validation": score(validated, digits.validation.labels),
        "refusal": refusal,
        "model": describe_model(folder),
        "training": describe_training(history),
        "dataset": history["dataset"] | {"licence": "CC BY-SA 3.0"},
        "files": describe_files(folder),
        "git_commit": git_commit(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "libraries": {name: library_version(name) for name in LIBRARIES},
        "python": platform.python_version(),
    }
    write_json(folder / "metrics.json", metrics)
    return metrics


def trained_on(build: Path) -> str:
    """Return the dataset that the exported model was trained on: it is scored on the same."""
    history = read_json(build / "training" / "history.json", TRAIN_COMMAND)
    return str(history["config"]["dataset"])


def score_redrawn(classifier: Classifier, split: Split) -> dict[str, Any]:
    """Score digits drawn again on a canvas, at any place and size, with any pen."""
    seen = see_redrawn(split.images)
    scores = score(predict(classifier, seen), split.labels)
    kept = ("n", "accuracy", "accuracy_interval", "confusion_matrix")
    return {"version": redraw.VERSION} | {name: scores[name] for name in kept}


def score(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> dict[str, Any]:
    """Compute every metric of `metric_modules/` in one pass.

    Args:
        probabilities: (n, 10), rows summing to 1.
        labels: (n,), 0 to 9.

    Returns:
        The metrics by name, with `n` and accuracy's 95 % interval.
    """
    modules = [evaluate.load(str(MODULES / f"{name}.py"), keep_in_memory=True) for name in METRICS]
    metrics = evaluate.combine(modules).compute(
        predictions=probabilities, references=labels.astype(np.int64)
    )
    right = int((probabilities.argmax(1) == labels).sum())
    return {"n": len(labels), "accuracy_interval": wilson_interval(right, len(labels)), **metrics}


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of n, after Wilson 1927."""
    interval = binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def measure_refusal(
    classifier: Classifier,
    digits: Digits,
    validated: NDArray[np.float32],
    tested: NDArray[np.float32],
) -> dict[str, Any]:
    """Choose the refusal threshold, and count what it refuses.

    Args:
        classifier: The model.
        digits: Validation images stand in the non-digits to choose on, test images in the others.
        validated: Its probabilities on the validation digits, (n, 10).
        tested: Its probabilities on the test digits, (m, 10).

    Returns:
        The threshold; shares refused, 0 to 1; the error among answered test digits; the curve.
    """
    chosen_on = draw_non_digits(digits.validation, NON_DIGITS, CHOOSING_SEED)
    others = draw_non_digits(digits.test, NON_DIGITS, REPORTING_SEED)
    confidences, right = tested.max(1), tested.argmax(1) == digits.test.labels
    threshold = choose_threshold(validated.max(1), predict(classifier, chosen_on).max(1))
    refused = predict(classifier, others).max(1) < threshold
    answered = confidences >= threshold
    return {
        "threshold": threshold,
        "validation_refused_at_most": REFUSED_DIGITS,
        "validation_refused": float((validated.max(1) < threshold).mean()),
        "test_refused": float(1 - answered.mean()),
        "answered_error": float((answered & ~right).sum() / max(1, answered.sum())),
        "non_digits": {
            kind: {"n": len(found), "refused": float(found.mean())}
            for kind, found in zip(KINDS, refused.reshape(-1, len(KINDS)).T, strict=True)
        },
        "curve": coverage_curve(confidences, right),
    }


def describe_model(folder: Path) -> dict[str, Any]:
    """Count the parameters, and list the layers with their output shapes and parameters."""
    model = load_network(folder / "model.keras")
    layers = [
        {
            "name": layer.name,
            "type": type(layer).__name__,
            "output": list(layer.output.shape[1:]),
            "parameters": layer.count_params(),
        }
        for layer in model.layers
    ]
    return {"name": model.name, "parameters": model.count_params(), "layers": layers}


def describe_training(history: dict[str, Any]) -> dict[str, Any]:
    """Say how the network was trained, for how long, on what."""
    return {
        **history["config"],
        "temperature": history["temperature"],
        "seconds": history["seconds"],
        "hardware": hardware(),
    }


def hardware() -> str:
    """Name the processor and count its cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores, {processor}"


def git_commit() -> str | None:
    """Return the commit this runs from, marked where files differ from it; None outside git."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=-modified"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def library_version(name: str) -> str:
    """Return the installed version; TensorFlow's CPU build goes by another name."""
    for candidate in (f"{name}-cpu", name) if name == "tensorflow" else (name,):
        try:
            return f"{importlib.metadata.version(candidate)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"
