import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from space.reader import preprocessing
from tests.conftest import PARAMETERS, ROOT
from training import gate
from training.data import Digits
from training.gate import is_whole
from training.intervals import wilson_interval
from training.metrics import MetricsError, evaluate_release, score
from training.stage import StageError


def random_answers(
    n: int, skill: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n).astype(np.uint8)
    shares = rng.dirichlet(np.ones(10), n)
    mixed = (1 - skill) * shares + skill * np.eye(10)[labels]
    return mixed.astype(np.float32), labels


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_every_metric_equals_scikit_learns(n: int, skill: float, seed: int) -> None:
    probabilities, labels = random_answers(n, skill, seed)
    answers, classes = probabilities.argmax(1), list(range(10))
    scores = score(probabilities, labels)
    assert scores["n"] == n
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(labels, answers))
    by_class = reference.precision_recall_fscore_support(
        labels, answers, labels=classes, zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1"), by_class, strict=False):
        assert scores[f"{name}_by_class"] == pytest.approx(values.tolist())
        assert scores[f"macro_{name}"] == pytest.approx(values.mean())
    matrix = reference.confusion_matrix(labels, answers, labels=classes)
    assert scores["confusion_matrix"] == matrix.tolist()
    doubled = probabilities.astype(np.float64)
    expected = reference.log_loss(labels, doubled / doubled.sum(1, keepdims=True), labels=classes)
    assert scores["log_loss"] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_calibration_error_of_answers_as_sure_as_they_are_right_is_nothing() -> None:
    probabilities = np.full((1_000, 10), 0.2 / 9, np.float32)
    probabilities[:, 3] = 0.8
    labels = np.where(np.arange(1_000) < 800, 3, 4).astype(np.uint8)
    assert score(probabilities, labels)["calibration_error"] == pytest.approx(0, abs=1e-6)
    labels[:] = 3
    assert score(probabilities, labels)["calibration_error"] == pytest.approx(0.2, abs=1e-6)


def test_calibration_error_weighs_each_of_fifteen_bins_by_its_share() -> None:
    probabilities = np.zeros((4, 10), np.float32)
    probabilities[np.arange(4), [0, 0, 0, 0]] = [0.99, 0.97, 0.5, 0.45]
    probabilities[:, 1] = 1 - probabilities[:, 0]
    labels = np.array([0, 0, 1, 1], np.uint8)
    # 0.45 answers class 1 with 0.55, rightly; 0.5 ties, answers 0, wrongly
    expected = (abs(2 - 0.99 - 0.97) + abs(0 - 0.5) + abs(1 - 0.55)) / 4
    assert score(probabilities, labels)["calibration_error"] == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_shares_that_are_not_rejected(case: tuple[int, int]) -> None:
    right, n = case
    low, high = wilson_interval(right, n)
    assert 0 <= low <= right / n <= high <= 1
    z = norm.ppf(0.975)
    for bound in (low, high):
        if 0 < bound < 1 and 0 < right < n:
            assert (right / n - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / n)


def test_metrics_state_what_the_shipped_files_are(
    model_dir: Path, mnist: dict[str, object]
) -> None:
    metrics = json.loads((model_dir / "metrics.json").read_text())
    probabilities = np.load(model_dir / "predictions.npz")["probabilities"]
    assert metrics["test"]["n"] == 10_000
    assert metrics["test"]["accuracy"] == (probabilities.argmax(1) == mnist["test_labels"]).mean()
    assert metrics["model"]["parameters"] == PARAMETERS
    assert sum(layer["parameters"] for layer in metrics["model"]["layers"]) == PARAMETERS
    assert {"model.tflite", "model.keras", "figures/curves.png"} <= set(metrics["files"])
    for name, file in metrics["files"].items():
        content = (model_dir / name).read_bytes()
        assert len(content) == file["bytes"]
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
    assert metrics["dataset"]["revision"] == "77f3279092a1c1579b2250db8eafed0ad422088c"
    assert metrics["training"]["seed"] == 0
    assert metrics["training"]["seconds"] > 0
    assert "not installed" not in metrics["libraries"].values()


def test_quick_reads_99_percent_of_the_test_set(model_dir: Path) -> None:
    metrics = json.loads((model_dir / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] >= 0.99
    assert metrics["test"]["calibration_error"] < 0.01


def test_a_release_is_whole_until_a_byte_of_it_changes(model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    assert is_whole(folder)
    with (folder / "model.tflite").open("r+b") as file:
        file.write(b"x")
    assert not is_whole(folder)
    shutil.copy(model_dir / "model.tflite", folder)
    assert is_whole(folder)
    (folder / "README.md").unlink()
    assert not is_whole(folder)


def test_a_release_that_lacks_what_the_card_says_now_is_not_whole(
    model_dir: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["git_repository"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert not is_whole(folder)


def test_a_release_beside_another_reference_is_not_whole(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reference.json").write_text("{}")
    monkeypatch.setattr(gate, "REFERENCE", tmp_path / "reference.json")
    assert not is_whole(model_dir)


def test_a_release_scored_with_another_reader_is_not_whole(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = shutil.copy(preprocessing.__file__, tmp_path)
    with Path(changed).open("a") as file:
        file.write("# another\n")
    assert is_whole(model_dir)
    monkeypatch.setattr(preprocessing, "__file__", changed)
    assert not is_whole(model_dir)


def test_scoring_does_not_load_tensorflow() -> None:
    code = """if True:
        import sys
        import numpy as np
        from training.metrics import score
        score(np.eye(10, dtype=np.float32), np.arange(10, dtype=np.uint8))
        sys.exit(bool({"tensorflow", "keras"} & sys.modules.keys()))"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("case", ["earlier version", "damaged", "missing"])
def test_a_model_that_is_not_as_exported_is_to_be_made_anew(
    case: str, model_dir: Path, tmp_path: Path, few_digits: Digits
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    network, file = folder / "model.keras", folder / "history.json"
    if case == "earlier version":
        history = json.loads(file.read_text())
        del history["exported"]
        file.write_text(json.dumps(history))
    elif case == "damaged":
        network.write_bytes(network.read_bytes()[:-1])
    else:
        network.unlink()
    with pytest.raises(MetricsError, match="not as it was exported.*prepare --preset quick"):
        evaluate_release(tmp_path, few_digits)
    assert (folder / "metrics.json").exists(), "nothing is lost"


def test_a_truncated_model_file_is_one_clear_line(
    model_dir: Path, tmp_path: Path, few_digits: Digits
) -> None:
    file = shutil.copytree(model_dir, tmp_path / "model") / "model.tflite"
    file.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(MetricsError, match=r"is damaged.*python -m training train"):
        evaluate_release(tmp_path, few_digits)


def test_scoring_that_fails_leaves_no_numbers_of_another_model(
    model_dir: Path, tmp_path: Path, few_digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")

    def fail(*_: object) -> None:
        raise StageError("no numbers")

    monkeypatch.setattr("training.metrics.measure_refusal", fail)
    with pytest.raises(StageError, match="no numbers"):
        evaluate_release(tmp_path, few_digits)
    assert not is_whole(folder)
    assert not (folder / "metrics.json").exists() and not (folder / "README.md").exists()


def test_a_model_of_another_kind_is_refused(
    model_dir: Path, tmp_path: Path, few_digits: Digits
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    three = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    three.export(folder / "model.tflite", format="litert", verbose=False)
    with pytest.raises(MetricsError, match=r"answers with \(1, 3\)"):
        evaluate_release(tmp_path, few_digits)
