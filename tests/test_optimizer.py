import keras
import numpy as np
import pytest

from training.optimizer import ADAM_SHARE, ConvolutionMuon


def step(shape: tuple[int, ...], gradient: np.ndarray, rate: float = 0.01) -> np.ndarray:
    weights = keras.Variable(np.zeros(shape, np.float32))
    optimizer = ConvolutionMuon(rate, weight_decay=0.0)
    optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [weights])
    return weights.numpy()


@pytest.mark.parametrize("shape", [(3, 3, 4, 16), (3, 3, 48, 24), (5, 5, 1, 16)])
def test_a_kernel_moves_equally_far_in_all_directions(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    strong = np.outer(rng.normal(size=np.prod(shape[:-1])), rng.normal(size=shape[-1]))
    gradient = 10 * strong + rng.normal(size=strong.shape)
    moved = step(shape, gradient.reshape(shape)).reshape(gradient.shape)
    lengths = np.linalg.svd(moved, compute_uv=False) / (0.01 * 0.2 * np.sqrt(max(moved.shape)))
    assert np.linalg.svd(gradient, compute_uv=False)[[0, -1]] @ [1, -10] > 0, "one leads by far"
    assert 0.3 < lengths.min() and lengths.max() < 1.3
    assert (moved * gradient).sum() < 0, "downhill"


@pytest.mark.parametrize("shape", [(3, 3, 4, 16), (3, 3, 1, 24), (3, 3, 64, 176)])
def test_an_orthogonal_step_is_keras_own(shape: tuple[int, ...]) -> None:
    optimizer = ConvolutionMuon(0.01, weight_decay=0.0)
    rng = np.random.default_rng(0)
    step = rng.normal(size=shape).astype(np.float32) * np.logspace(0, -3, shape[-1], dtype="f")
    matrix = keras.ops.convert_to_tensor(step.reshape(-1, shape[-1]))
    own = keras.optimizers.Muon.zeropower_via_newtonschulz5(optimizer, matrix, 5)
    ours = optimizer.zeropower_via_newtonschulz5(keras.ops.convert_to_tensor(step), 5)
    assert np.reshape(ours, matrix.shape) == pytest.approx(np.array(own), abs=2e-3)


def test_other_weights_take_adams_steps() -> None:
    gradient = np.array([5.0, -0.01, 2.0])
    moved = step((3,), gradient)
    assert moved == pytest.approx(-0.01 * ADAM_SHARE * np.sign(gradient), rel=1e-3)
    matrix = np.array([[3.0, -1.0], [0.5, 2.0]])
    assert step((2, 2), matrix) == pytest.approx(-0.01 * ADAM_SHARE * np.sign(matrix), rel=1e-3)
