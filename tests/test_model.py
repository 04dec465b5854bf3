import keras
import numpy as np
import pytest

from tests.conftest import PARAMETERS
from training.model import BUILDERS, build_baseline, build_model


@pytest.mark.parametrize(("name", "parameters"), [("baseline", 225_034), ("small", PARAMETERS)])
def test_networks_have_the_parameters_they_are_known_by(name: str, parameters: int) -> None:
    assert BUILDERS[name]().count_params() == parameters


def test_the_baseline_is_the_articles_network() -> None:
    kinds = [type(layer).__name__ for layer in build_baseline().layers]
    assert kinds == [
        "InputLayer",
        "Rescaling",
        "Conv2D",
        "MaxPooling2D",
        "Conv2D",
        "MaxPooling2D",
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
    ]


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_grey_values_go_in_and_probabilities_come_out(build: type) -> None:
    model: keras.Model = build()
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (3, 10)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(1) == pytest.approx(1, abs=1e-5)


def test_scaling_travels_with_the_model() -> None:
    scaling = build_model().layers[1]
    assert np.asarray(scaling(np.array([255.0]))) == pytest.approx(1)
