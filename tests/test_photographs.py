"""1,000 redrawn test digits, photographed: how many are read right, and by a plain resize."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from space.reader import Classifier, EmptyDrawingError, Release, normalize
from tests.photographs import COUNT, SEED, SIDE, photograph
from training.strokes import trace

LINE = np.array([[8.0, 4.0], [20.0, 4.0], [12.0, 24.0]]), np.array([[0, 1], [1, 2]])


def resized(picture: bytes) -> NDArray[np.uint8]:
    """What a naive app would feed the network: the picture, inverted, at 28 × 28."""
    image = Image.open(io.BytesIO(picture))
    image.draft("L", (300, 300))  # decoded smaller, which averages as well
    return 255 - np.asarray(image.convert("L").resize((28, 28), Image.Resampling.BOX))


def seen(picture: bytes) -> NDArray[np.uint8]:
    try:
        return normalize(picture).pixels
    except EmptyDrawingError:
        return np.zeros((28, 28), np.uint8)  # an error, counted as one


@pytest.mark.slow
def test_photographed_digits_are_read(
    model_dir: Path, mnist: dict[str, NDArray[np.uint8]], capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(len(mnist["test_images"]))[:COUNT]
    pixels = np.empty((2, COUNT, 28, 28, 1), np.uint8)
    for row, digit in enumerate(chosen):
        picture = photograph(*trace(mnist["test_images"][digit]), rng)
        pixels[:, row, ..., 0] = seen(picture), resized(picture)
    classifier = Classifier(Release(model_dir))
    read, plain = (
        np.mean(classifier.predict(images).argmax(1) == mnist["test_labels"][chosen])
        for images in pixels
    )
    with capsys.disabled():
        print(f"\nPhotographs (n {COUNT}): read {read:.1%}, after a plain resize {plain:.1%}")
    assert read >= 0.97
    assert plain < 0.60


def test_a_photograph_is_decided_by_its_seed_alone() -> None:
    first, again, other = (photograph(*LINE, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("seed", range(5))
def test_a_photograph_is_a_jpeg_of_the_promised_size(seed: int) -> None:
    picture = Image.open(io.BytesIO(photograph(*LINE, np.random.default_rng(seed))))
    assert picture.format == "JPEG" and picture.mode == "RGB"
    assert SIDE[0] <= max(picture.size) <= SIDE[1]


def test_a_tables_edge_and_other_light_are_not_ink() -> None:
    rng = np.random.default_rng(0)
    scene = Image.new("RGB", (1200, 900), (96, 62, 40))  # a table
    canvas = ImageDraw.Draw(scene)
    canvas.polygon([(150, -10), (1210, -10), (1210, 700), (190, 760)], fill=(228, 226, 220))
    canvas.line([(500, 200), (700, 200), (580, 520)], fill=(40, 44, 110), width=22, joint="curve")
    grain = rng.normal(0, 5, (900, 1200, 1))
    scene = Image.fromarray(np.clip(np.asarray(scene) + grain, 0, 255).astype(np.uint8))
    result = normalize(scene)
    assert result.inverted and result.credible
    assert np.abs(np.array(result.box) - (500, 189, 711, 520)).max() <= 12
