import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from space.reader import Classifier, Release
from training import export as exporting
from training.data import Digits
from training.export import ExportError, check_agreement, export

FILES = {
    "README.md",
    "config.json",
    "figures",
    "golden",
    "history.json",
    "layers.tflite",
    "metadata.json",
    "metrics.json",
    "model.keras",
    "model.tflite",
    "model.weights.h5",
    "predictions.npz",
    "preprocessing.py",
}


def test_a_release_holds_every_file_of_the_contract(model_dir: Path) -> None:
    assert {file.name for file in model_dir.iterdir()} == FILES


def test_layers_show_every_convolution_and_the_same_answer(
    model_dir: Path, mnist: dict[str, NDArray[np.uint8]]
) -> None:
    image = mnist["test_images"][:1, ..., None].astype(np.float32)
    interpreter = Interpreter(str(model_dir / "layers.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    maps = sorted(output.shape[1:] for output in outputs if output.ndim == 4)
    assert maps == [(2, 2, 176), (4, 4, 64), (10, 10, 48), (12, 12, 16), (26, 26, 8)]
    assert all((output >= 0).all() for output in outputs)
    probabilities = next(output for output in outputs if output.ndim == 2)
    expected = Classifier(Release(model_dir)).predict(image)
    assert probabilities == pytest.approx(expected, abs=1e-6)


def test_forms_that_disagree_are_refused() -> None:
    right = np.eye(10, dtype=np.float32)
    check_agreement("model.keras", right, right + 5e-6)
    with pytest.raises(ExportError, match="0 of 10 images.*2.0e-05"):
        check_agreement("model.keras", right, right + 2e-5)
    with pytest.raises(ExportError, match="2 of 10 images get another digit"):
        check_agreement("model.keras", right, right[[1, 0, *range(2, 10)]])
    with pytest.raises(ExportError):
        check_agreement("model.keras", right, right * np.nan)


@pytest.mark.parametrize(
    ("write", "named"),
    [("export_litert", "model.keras"), ("save_unzipped", "config.json with model.weights.h5")],
)
def test_a_form_that_disagrees_stops_the_export_and_leaves_the_old_one(
    build: Path,
    tmp_path: Path,
    few_digits: Digits,
    monkeypatch: pytest.MonkeyPatch,
    write: str,
    named: str,
) -> None:
    shutil.copytree(build / "training", tmp_path / "training")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.tflite").write_text("old")

    original = getattr(exporting, write)

    def swapped(model: keras.Model, place: Path) -> None:
        last = model.layers[-1]
        last.set_weights([np.roll(weights, 1, axis=-1) for weights in last.get_weights()])
        original(model, place)
        last.set_weights([np.roll(weights, -1, axis=-1) for weights in last.get_weights()])

    monkeypatch.setattr(exporting, write, swapped)
    with pytest.raises(ExportError, match=f"{named} and .* disagree: 300 of 300 images"):
        export(tmp_path, few_digits.test.images)
    assert (tmp_path / "model" / "model.tflite").read_text() == "old"
    assert sorted(place.name for place in tmp_path.iterdir()) == ["model", "training"]


def test_a_truncated_network_says_how_to_make_it_anew(
    build: Path, tmp_path: Path, few_digits: Digits
) -> None:
    shutil.copytree(build / "training", tmp_path / "training")
    file = tmp_path / "training" / "model.keras"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ExportError, match="damaged .*Make it anew: python -m training train"):
        export(tmp_path, few_digits.test.images)
    assert not (tmp_path / "model").exists()


def test_metadata_names_the_keras_that_wrote_it(model_dir: Path) -> None:
    assert (
        json.loads((model_dir / "metadata.json").read_text())["keras_version"] == keras.__version__
    )
