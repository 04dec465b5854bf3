"""A trained network → the weights' files of a release.

Third stage: reads `build/training/`, writes a fresh `build/model/`, and lets nothing through whose
forms disagree.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from space.reader import Classifier, Release, preprocessing
from training.predictions import BATCH, predict
from training.stage import (
    TRAIN_COMMAND,
    StageError,
    describe_files,
    fresh_folder,
    read_json,
    require,
    write_json,
)

TOLERANCE = 1e-5  # of a probability, between the forms of one model


class ExportError(StageError):
    """The model's forms do not agree, or a file of it cannot be read."""


def export(build: Path, images: NDArray[np.uint8]) -> None:
    """Write the trained network of `build/training/` in all its forms to `build/model/`.

    Args:
        build: The build folder.
        images: (n, 28, 28) on which the forms must agree: the test images.

    Raises:
        ExportError: If a form gives another class, or a probability further off than 1e-5.
    """
    trained = require(build / "training" / "model.keras", TRAIN_COMMAND)
    model = load_network(trained)
    with fresh_folder(build / "model") as folder:
        model.save(folder / "model.keras")
        save_unzipped(model, folder)
        export_litert(model, folder / "model.tflite")
        export_litert(with_layer_outputs(model), folder / "layers.tflite")
        shutil.copy(preprocessing.__file__, folder / "preprocessing.py")
        history = read_json(build / "training" / "history.json", TRAIN_COMMAND)
        del history["config"]["dataset"]  # may be a path of this machine
        start = history["config"]["start"]
        if start and Path(start).is_dir():
            history["config"]["start"] = "a release on the machine that trained it"
        check_forms(folder, images)
        history |= {"model": describe_network(model), "exported": describe_files(folder)}
        write_json(folder / "history.json", history)


def load_network(file: Path) -> keras.Model:
    """Load a `.keras` file, or a folder that holds config.json and model.weights.h5.

    Raises:
        ExportError: If it is damaged.
    """
    try:
        return keras.saving.load_model(file)
    except Exception as error:  # zip, HDF5 and Keras each raise their own
        raise ExportError(
            f"{file} is damaged ({type(error).__name__}). Make it anew: {TRAIN_COMMAND}"
        ) from error


def save_unzipped(model: keras.Model, folder: Path) -> None:
    """Write config.json, metadata.json and model.weights.h5: what `hf://` loads."""
    place = folder / "unzipped"
    keras.saving.save_model(model, place, zipped=False)
    for name in ("config.json", "metadata.json", "model.weights.h5"):
        (place / name).rename(folder / name)
    shutil.rmtree(place)  # an empty folder for assets is left


def with_layer_outputs(model: keras.Model) -> keras.Model:
    """Return the network with each feature map, after its ReLU, before its probabilities."""
    maps = [
        layer.output for layer in model.layers if ends_in_relu(layer) and layer.output.ndim == 4
    ]
    return keras.Model(model.inputs, [*maps, model.output])


def ends_in_relu(layer: keras.Layer) -> bool:
    """Tell whether a layer is a ReLU or a layer with one built in."""
    builtin = getattr(layer, "activation", None) is keras.activations.relu
    return builtin or isinstance(layer, keras.layers.ReLU)


def describe_network(model: keras.Model) -> dict[str, Any]:
    """Count the parameters, and list the layers with their output shapes and parameters."""
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


def export_litert(model: keras.Model, file: Path) -> None:
    """Write the network for LiteRT; it takes batches of any size."""
    model.export(file, format="litert", verbose=False)


def check_forms(folder: Path, images: NDArray[np.uint8]) -> None:
    """Hold every form against `model.tflite` on all images.

    Raises:
        ExportError: If one gives another class, or a probability further off than 1e-5.
    """
    shipped = predict(Classifier(Release(folder)), images)
    forms = {"model.keras": folder / "model.keras", "config.json with model.weights.h5": folder}
    for name, place in forms.items():
        model = load_network(place)
        found = model.predict(images[..., np.newaxis], batch_size=BATCH, verbose=0)
        check_agreement(name, shipped, found)


def check_agreement(name: str, shipped: NDArray[Any], found: NDArray[Any]) -> None:
    """Compare two forms' probabilities (n, 10).

    Raises:
        ExportError: If they give another class, or a probability further off than 1e-5.
    """
    others = int((shipped.argmax(1) != found.argmax(1)).sum())
    gap = float(np.abs(shipped - found).max())
    if others or not gap <= TOLERANCE:
        raise ExportError(
            f"{name} and model.tflite disagree: {others} of {len(shipped)} images get another "
            f"digit, and probabilities differ by up to {gap:.1e} (allowed: {TOLERANCE}). "
            "Nothing was exported."
        )
