from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from space.reader import FIGURES
from training.breakdown import by_drawing, reliability
from training.data import Digits
from training.figures import draw_figures, draw_redrawn
from training.metrics import score


def test_a_release_has_every_figure_and_they_are_small(model_dir: Path) -> None:
    files = list((model_dir / "figures").iterdir())
    assert {file.stem for file in files} == set(FIGURES)
    assert sum(file.stat().st_size for file in files) < 1_500_000
    for file in files:
        image = Image.open(file)
        assert 500 <= image.width <= 1_200, file
        assert min(image.convert("L").getpixel((3, 3)), 240) == 240, "the paper is light"


@pytest.mark.parametrize("right", [True, False], ids=["all right", "all wrong"])
def test_figures_are_drawn_however_many_mistakes_there_are(
    right: bool, few_digits: Digits, tmp_path: Path
) -> None:
    labels = few_digits.test.labels
    answers = np.eye(10, dtype=np.float32)[labels if right else (labels + 1) % 10]
    curves = {key: [0.5] for key in ("accuracy", "loss", "val_accuracy", "val_loss")}
    sure = answers.max(1)
    scores = {
        "test": score(answers, labels)
        | {"reliability": reliability(sure, answers.argmax(1) == labels)},
        "refusal": {
            "threshold": 0.9,
            "curve": [{"threshold": 1.0, "coverage": 1.0, "error": 0.0, "interval": [0.0, 0.1]}],
        },
    }
    draw_figures(tmp_path / "figures", few_digits, answers, scores, curves)
    draw_redrawn(tmp_path / "figures", by_drawing(answers.argmax(1) == labels))
    assert {file.stem for file in (tmp_path / "figures").iterdir()} == set(FIGURES)
