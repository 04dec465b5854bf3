"""What the layers saw, and where the answer comes from."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from space.reader import Classifier, Explainer, Explanation, Release, ReleaseError, normalize
from training.deploy import SPACE

SIDE = 28


@pytest.fixture(scope="module")
def explainer(model_dir: Path) -> Explainer:
    return Explainer(Release(model_dir))


def example(name: str) -> NDArray[np.uint8]:
    return normalize(SPACE / "examples" / f"{name}.png").pixels


def test_every_convolution_has_its_maps_shallow_to_deep(explainer: Explainer) -> None:
    maps = explainer.explain(example("three")).feature_maps
    sides = [(26, 26, 8), (12, 12, 16), (10, 10, 48), (4, 4, 64), (2, 2, 176)]
    assert [layer.shape for layer in maps] == sides
    assert all(layer.min() == 0 < layer.max() for layer in maps)  # after their ReLU


def test_explained_digit_is_the_answered_one(explainer: Explainer, model_dir: Path) -> None:
    classifier = Classifier(Release(model_dir))
    for name in ("two", "five", "nine"):
        likeliest = classifier.predict(example(name).reshape(1, SIDE, SIDE, 1)).argmax()
        assert explainer.explain(example(name)).digit == likeliest


def test_support_lies_where_covering_lowers_the_odds(explainer: Explainer, model_dir: Path) -> None:
    pixels = example("five")
    explanation = explainer.explain(pixels)
    most = np.unravel_index(explanation.support.argmax(), (SIDE, SIDE))
    assert explanation.support.max() == 1
    assert explanation.support[0, 0] == 0  # nothing can be covered there
    covered = pixels.copy()
    covered[most[0] - 3 : most[0] + 4, most[1] - 3 : most[1] + 4] = 0
    before, after = Classifier(Release(model_dir)).predict(np.stack([pixels, covered])[..., None])
    assert after[explanation.digit] < before[explanation.digit]


def test_blank_has_maps_and_no_support(explainer: Explainer) -> None:
    explanation = explainer.explain(np.zeros((SIDE, SIDE), np.uint8))
    assert not explanation.support.any()


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_missing_or_damaged_layers_are_one_sentence(
    model_dir: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copy(model_dir / "metrics.json", tmp_path)
    if damage == "damaged":
        (tmp_path / "layers.tflite").write_bytes(b"not a model")
    with pytest.raises(ReleaseError, match=r"layers\.tflite.*python -m training train"):
        Explainer(Release(tmp_path))


def png(pixels: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def inside_view() -> Any:
    """Imported as on the Space, where the reader is a package of its own."""
    import sys

    sys.path.insert(0, str(SPACE))
    import inside_view

    yield inside_view
    sys.path.remove(str(SPACE))


def test_seen_picture_is_read_back_exactly(inside_view: Any) -> None:
    pixels = example("two")
    assert (inside_view.read_seen(png(pixels)) == pixels).all()


@pytest.mark.parametrize(
    "value",
    [
        7,
        "not a picture",
        "data:image/png;base64,!!!",
        "data:image/png;base64,aGVsbG8=",
        png(np.zeros((29, 28), np.uint8)),
        png(np.zeros((28, 28, 3), np.uint8)),
        "data:image/png;base64," + "A" * 20_000,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_anything_else_is_refused(inside_view: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"[Pp]ass"):
        inside_view.read_seen(value)


def test_maps_are_laid_out_without_loss(inside_view: Any) -> None:
    maps = np.random.default_rng(0).random((10, 10, 48)).astype(np.float32)
    sheet = np.asarray(inside_view.lay_out(maps))
    zoom = (sheet.shape[1] + inside_view.GAP) // 12 - inside_view.GAP
    for number in (0, 13, 47):
        row, column = divmod(number, 12)
        top, left = row * (zoom + inside_view.GAP), column * (zoom + inside_view.GAP)
        tile = sheet[top : top + zoom : zoom // 10, left : left + zoom : zoom // 10]
        expected = np.rint(maps[..., number] / maps.max() * 255)
        assert (tile[..., 0] == expected).all() and (tile[..., 1] == 255).all()


def test_page_explains_a_network_of_any_depth(inside_view: Any) -> None:
    for depth in range(1, 7):
        maps = tuple(np.ones((9 - layer, 9 - layer, 20), np.float32) for layer in range(depth))
        explanation = Explanation(3, maps, np.zeros((SIDE, SIDE), np.float32))
        html = inside_view.render_inside(np.zeros((SIDE, SIDE), np.uint8), explanation)
        assert html.count("<li>") == depth
        assert "1. Edges" in html
