"""What the gate lets through, and what it stops: each for its own reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from space.reader import Classifier, Release
from training import gate
from training.card import render_card
from training.config import Floors
from training.export import export_litert
from training.gate import GateError, judge, require_passed, table
from training.metrics import score_fully
from training.predictions import predict
from training.stage import describe_files

Arrays = dict[str, NDArray[np.uint8]]


@pytest.fixture
def folder(model_dir: Path, tmp_path: Path) -> Path:
    """A release that may be changed."""
    return Path(shutil.copytree(model_dir, tmp_path / "model"))


def failed(folder: Path, published: Path | None = None) -> list[str]:
    return [check.name for check in judge(folder, published) if not check.passed]


def change_metrics(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    change(metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics))


def change_weights(folder: Path, mnist: Arrays, change: Callable[[Any], Any]) -> None:
    """Make and score a release with other weights, as the stages do."""
    model = keras.saving.load_model(folder / "model.keras")
    change(model)
    export_litert(model, folder / "model.tflite")
    labels = mnist["test_labels"]
    probabilities = predict(Classifier(Release(folder)), mnist["test_images"])
    np.savez_compressed(folder / "predictions.npz", probabilities=probabilities, labels=labels)
    scored = {"test": score_fully(probabilities, labels), "files": describe_files(folder)}
    change_metrics(folder, lambda metrics: metrics.update(scored))
    render_card(folder.parent)


def swap_two_classes(model: Any) -> None:
    *others, kernel, bias = model.get_weights()
    order = [0, 1, 2, 5, 4, 3, 6, 7, 8, 9]
    model.set_weights([*others, kernel[:, order], bias[order]])


def round_weights(model: Any) -> None:
    def coarse(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        step = np.abs(weights).max() / 3
        return np.round(weights / step) * step if weights.ndim == 4 else weights

    model.set_weights([coarse(weights) for weights in model.get_weights()])


def test_a_first_release_and_its_equal_pass(model_dir: Path, folder: Path) -> None:
    assert failed(folder) == []
    checks = judge(folder, model_dir)
    require_passed(checks)
    assert "Against the release before | 0 more read, 0 no more" in table(checks)
    assert table(checks).count("✓") == len(checks) == 7


def test_two_swapped_classes_fall_below_the_floor(folder: Path, mnist: Arrays) -> None:
    change_weights(folder, mnist, swap_two_classes)
    assert "Test accuracy" in failed(folder)
    with pytest.raises(GateError, match=r"Test accuracy: 8\d\.\d\d %, required: at least 99\.00 %"):
        require_passed(judge(folder))


def test_rounded_weights_are_worse_than_the_release_before(
    model_dir: Path, folder: Path, mnist: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FLOORS", Floors(0.5, 0.5, 0.5))
    change_weights(folder, mnist, round_weights)
    assert failed(folder) == []  # were it the first
    assert failed(folder, model_dir) == ["Against the release before"]


@pytest.mark.parametrize(
    ("lost", "won", "passes"), [(0, 0, True), (10, 10, True), (6, 1, True), (5, 0, False)]
)
def test_worse_is_what_chance_does_not_explain(
    tmp_path: Path, lost: int, won: int, passes: bool
) -> None:
    for name, wrong in (("now", slice(0, lost)), ("then", slice(lost, lost + won))):
        labels = np.zeros(100, np.uint8)
        probabilities = np.eye(10)[labels]
        probabilities[wrong] = np.eye(10)[1]
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "predictions.npz", probabilities=probabilities, labels=labels)
    check = gate.check_not_worse(tmp_path / "now", tmp_path / "then")
    assert check.passed == passes
    assert check.found.startswith(f"{won} more read, {lost} no more")


def test_a_card_with_a_field_missing_is_stopped(folder: Path) -> None:
    change_metrics(folder, lambda metrics: metrics["test"].pop("macro_f1"))
    assert failed(folder) == ["Card"]
    with pytest.raises(GateError, match=r"Card: .*macro_f1.*required"):
        require_passed(judge(folder))


@pytest.mark.parametrize("change", ["alter", "remove"])
def test_a_card_that_is_not_the_metrics_is_stopped(folder: Path, change: str) -> None:
    card = folder / "README.md"
    if change == "remove":
        card.unlink()
    else:
        card.write_text(card.read_text().replace("99.", "100.", 1))
    assert failed(folder) == ["Card"]


@pytest.mark.parametrize("change", ["alter", "remove", "add"])
def test_files_that_are_not_as_they_were_measured_are_stopped(folder: Path, change: str) -> None:
    file = folder / "golden" / "answers.json"
    if change == "alter":
        file.write_text("{}")
    elif change == "remove":
        file.unlink()
    else:
        (folder / "notes.txt").write_text("mine")
    assert failed(folder) == ["Files"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda m: m["redrawn"].update(accuracy=0.96), "Redrawn accuracy"),
        (lambda m: m["test"].update(calibration_error=0.02), "Calibration error"),
        (lambda m: m["model"]["layers"][-1].update(output=[11]), "Input and output"),
    ],
)
def test_every_number_is_held_against_its_floor(
    model_dir: Path, folder: Path, change: Callable[[dict[str, Any]], Any], name: str
) -> None:
    change_metrics(folder, change)
    render_card(folder.parent)
    assert failed(folder, model_dir) == [name]


def test_other_test_images_are_not_compared(model_dir: Path, folder: Path) -> None:
    file = folder / "predictions.npz"
    np.savez(file, probabilities=np.eye(10), labels=np.arange(10))
    check = gate.check_not_worse(folder, model_dir)
    assert check.passed and "other images" in check.found
