import keras
import numpy as np
import pytest
from keras import layers

from training.config import PRESETS
from training.model import build_baseline, build_model
from training.normalization import FusedNormalization, with_fused_normalization
from training.train import as_released, begin


def test_fused_normalization_computes_what_keras_own_does() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(3, 2, (64, 6, 6, 5)).astype(np.float32)
    own, fused = layers.BatchNormalization(), FusedNormalization()
    for layer in (own, fused):
        layer.build(images.shape)
        layer.gamma.assign([0.5, 1.0, 1.5, 2.0, 2.5])
        layer.beta.assign([-1.0, 0.0, 1.0, 2.0, 3.0])
    for _ in range(3):
        assert np.array(fused(images, training=True)) == pytest.approx(
            np.array(own(images, training=True)), abs=1e-4
        )
    for kept, expected in zip(fused.get_weights(), own.get_weights(), strict=True):
        assert kept == pytest.approx(expected, rel=1e-3)
    assert np.array(fused(images)) == pytest.approx(np.array(own(images)), abs=1e-2)


def test_every_normalization_of_the_network_is_fused_and_nothing_else_changed() -> None:
    model = build_model()
    fused = with_fused_normalization(model)
    fused.set_weights(model.get_weights())
    kinds = [type(layer) for layer in model.layers]
    assert [
        layers.BatchNormalization if kind is FusedNormalization else kind
        for kind in map(type, fused.layers)
    ] == kinds
    assert layers.BatchNormalization not in map(type, fused.layers)
    images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), np.uint8)
    assert fused.predict(images, verbose=0) == pytest.approx(
        model.predict(images, verbose=0), abs=1e-6
    )


def test_a_network_without_normalization_stays_as_it_is() -> None:
    model = build_baseline()
    assert [layer.get_config() for layer in with_fused_normalization(model).layers[1:]] == [
        layer.get_config() for layer in model.layers[1:]
    ]


def test_the_copy_starts_from_weights_the_seed_fixes() -> None:
    def first_weights(seed: int) -> np.ndarray:
        keras.utils.set_random_seed(seed)
        weights: np.ndarray = with_fused_normalization(build_model()).get_weights()[0]
        return weights

    assert (first_weights(0) == first_weights(0)).all()
    assert (first_weights(0) != first_weights(1)).any()


def test_what_is_trained_is_fused_and_what_is_released_is_keras_own() -> None:
    config = PRESETS["release"]
    trained = begin(config)
    assert FusedNormalization in map(type, trained.layers)
    released = as_released(trained, config)
    assert FusedNormalization not in map(type, released.layers)
    for kept, learned in zip(released.get_weights(), trained.get_weights(), strict=True):
        assert (kept == learned).all()
