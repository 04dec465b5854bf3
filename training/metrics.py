"""The only place where a release's numbers are born.

Fourth stage: scores the shipped `model.tflite` on the complete test set and writes
`build/model/metrics.json`, from which every document is rendered. Nothing is chosen but the
refusal threshold, and that on validation digits and generated non-digits alone. How the numbers
are made is in breakdown.py, corruptions.py, intervals.py, refusal.py and metric_modules/.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from space.reader import Classifier, Release, ReleaseError
from training import corruptions, redraw
from training.breakdown import by_drawing, mean_confidence, reliability, share
from training.config import REFERENCE
from training.data import CLASSES, Digits
from training.figures import draw_figures, draw_redrawn
from training.git import git_commit, github_repository
from training.golden import record_golden
from training.intervals import resampled_intervals, wilson_interval
from training.predictions import predict
from training.redraw import see_redrawn
from training.refusal import measure_refusal
from training.stage import (
    PREPARE_COMMAND,
    TRAIN_COMMAND,
    StageError,
    describe_files,
    read_json,
    require,
    write_json,
    writing,
)

MODULES = Path(__file__).parent / "metric_modules"
METRICS = ("accuracy", "precision_recall_f1", "confusion_matrix", "log_loss", "calibration_error")
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
        MetricsError: If the model is damaged, or not as this version exports it.
    """
    folder = require(build / "model" / "model.tflite", TRAIN_COMMAND).parent
    history = read_json(folder / "history.json", TRAIN_COMMAND)
    try:
        classifier = Classifier(Release(folder))
    except ReleaseError as error:
        raise MetricsError(str(error)) from error
    require_as_exported(folder, history)
    with writing(folder):
        for stale in ("metrics.json", "README.md"):  # they speak of other numbers
            (folder / stale).unlink(missing_ok=True)
    with ThreadPoolExecutor(1) as meanwhile:  # it takes longest, in processes of its own
        redrawn = meanwhile.submit(see_redrawn, digits.test.images)
        probabilities = predict(classifier, digits.test.images)
        with writing(folder):
            np.savez_compressed(
                folder / "predictions.npz", probabilities=probabilities, labels=digits.test.labels
            )
        validated = predict(classifier, digits.validation.images)
        refusal = measure_refusal(classifier, digits, validated, probabilities)
        classifier.threshold = refusal["threshold"]
        measured = {
            "test": score_fully(probabilities, digits.test.labels),
            "validation": score_fully(validated, digits.validation.labels),
            "refusal": refusal,
            "corruptions": corruptions.measure(classifier, digits.test),
        }
        with writing(folder):
            draw_figures(folder / "figures", digits, probabilities, measured, history["curves"])
        record_golden(folder / "golden", classifier, digits.validation)
        measured["redrawn"] = score_redrawn(classifier, redrawn.result(), digits.test.labels)
    with writing(folder):
        draw_redrawn(folder / "figures", measured["redrawn"]["by"])
    metrics = measured | {
        "model": history["model"],
        "training": describe_training(history),
        "reference": read_json(REFERENCE, "make reference"),
        "dataset": history["dataset"],
        "files": describe_files(folder),
        "git_commit": git_commit(),
        "git_repository": github_repository(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "libraries": {name: library_version(name) for name in LIBRARIES},
        "python": platform.python_version(),
    }
    write_json(folder / "metrics.json", metrics)
    return metrics


def require_as_exported(folder: Path, history: dict[str, Any]) -> None:
    """Let only those files through whose agreement `export.py` has checked.

    Raises:
        MetricsError: If one has changed, or was exported by an earlier version.
    """
    exported, found = history.get("exported", {}), describe_files(folder)
    if not exported or any(found.get(name) != file for name, file in exported.items()):
        raise MetricsError(
            f"{folder} is not as it was exported, or was exported by an earlier version. "
            f"Make it anew: {PREPARE_COMMAND} --preset {history['config']['preset']}"
        )


def score_redrawn(
    classifier: Classifier, seen: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> dict[str, Any]:
    """Score digits drawn again on a canvas, at any place and size, with any pen."""
    right = predict(classifier, seen).argmax(1) == labels
    whole = share(right)
    return {
        "version": redraw.VERSION,
        "n": whole["n"],
        "accuracy": whole["share"],
        "accuracy_interval": whole["interval"],
        "by_digit": [share(right[labels == digit]) for digit in range(CLASSES)],
        "by": by_drawing(right),
    }


def score_fully(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> dict[str, Any]:
    """Compute every metric with its interval, and how sure the model was, right or wrong.

    Args:
        probabilities: (n, 10), rows summing to 1.
        labels: (n,), 0 to 9.
    """
    confidences, right = probabilities.max(1), probabilities.argmax(1) == labels
    return score(probabilities, labels) | {
        "intervals": resampled_intervals(probabilities, labels),
        "reliability": reliability(confidences, right),
        "confidence_when_right": mean_confidence(confidences[right]),
        "confidence_when_wrong": mean_confidence(confidences[~right]),
    }


def score(probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> dict[str, Any]:
    """Compute every metric of `metric_modules/` in one pass.

    Args:
        probabilities: (n, 10), rows summing to 1.
        labels: (n,), 0 to 9.

    Returns:
        The metrics by name, with `n` and accuracy's 95 % interval.
    """
    import evaluate  # takes two seconds: not before digits are drawn again in other processes

    modules = [evaluate.load(str(MODULES / f"{name}.py"), keep_in_memory=True) for name in METRICS]
    metrics = evaluate.combine(modules).compute(
        predictions=probabilities, references=labels.astype(np.int64)
    )
    right = int((probabilities.argmax(1) == labels).sum())
    return {"n": len(labels), "accuracy_interval": wilson_interval(right, len(labels)), **metrics}


def describe_training(history: dict[str, Any]) -> dict[str, Any]:
    """Say how the network was trained, for how long, on what."""
    return {
        **history["config"],
        "seeds": history.get("seeds"),
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


def library_version(name: str) -> str:
    """Return the installed version; TensorFlow's CPU build goes by another name."""
    for candidate in (f"{name}-cpu", name) if name == "tensorflow" else (name,):
        try:
            return f"{importlib.metadata.version(candidate)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"
