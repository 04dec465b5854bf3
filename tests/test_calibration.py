import keras
import numpy as np
import pytest

from training.calibration import best_temperature, calibrate
from training.data import Split
from training.metrics import score
from training.model import build_model


def test_the_temperature_that_blurred_the_answers_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 10))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (shares.cumsum(1) > rng.random((20_000, 1))).argmax(1).astype(np.uint8)
    assert best_temperature(logits, labels) == pytest.approx(1, rel=0.03)
    assert best_temperature(logits / 3, labels) == pytest.approx(1 / 3, rel=0.03)


def test_calibrating_changes_how_sure_but_not_what() -> None:
    keras.utils.set_random_seed(0)
    model = build_model()
    images = np.random.default_rng(0).integers(0, 256, (400, 28, 28), np.uint8)
    before = model.predict(images[..., None], verbose=0)
    labels = before.argmax(1).astype(np.uint8)
    labels[:40] = (labels[:40] + 1) % 10  # right in 90 %
    temperature = calibrate(model, Split(images, labels))
    after = model.predict(images[..., None], verbose=0)
    assert temperature < 1
    assert (after.argmax(1) == before.argmax(1)).all()
    error = [score(answers, labels)["calibration_error"] for answers in (before, after)]
    assert error[1] < error[0] - 0.1
