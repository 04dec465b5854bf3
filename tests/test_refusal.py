"""What is no digit gets no digit for an answer; needs a release trained with non-digits."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from space.reader import Answer, Classifier, Release, ReleaseError, guess_digit, read_digit
from space.reader.classifier import default_classifier
from tests import non_digits
from tests.conftest import ROOT
from training.calibration import REFUSED_DIGITS, choose_threshold, coverage_curve
from training.card import interval, percent

REFUSED_OF_EACH_CLASS = 0.80  # at least
REFUSED_OF_ALL_CLASSES = 0.90  # at least
REFUSED_OF_TEST_DIGITS = 0.02  # at most
IMAGES = 200  # of each class
SEED = 0

confidences = st.lists(st.floats(0.125, 1, width=32), min_size=1, max_size=300).map(
    lambda values: np.array(values, np.float32)
)


@pytest.fixture(scope="module")
def answers(model_dir: Path, mnist: dict[str, NDArray[np.uint8]]) -> dict[str, list[Answer]]:
    """The answers to each class of images that are no digit."""
    reader = Classifier(Release(model_dir))
    return {
        kind: [
            reader.classify(image)
            for image in non_digits.images(kind, IMAGES, mnist["test_images"], SEED)
        ]
        for kind in non_digits.KINDS
    }


def share_refused(answers: list[Answer]) -> float:
    return sum(answer.digit is None for answer in answers) / len(answers)


@pytest.mark.parametrize("kind", non_digits.KINDS)
def test_what_is_no_digit_is_refused(answers: dict[str, list[Answer]], kind: str) -> None:
    assert len(answers[kind]) == IMAGES
    assert share_refused(answers[kind]) >= REFUSED_OF_EACH_CLASS


def test_nine_in_ten_non_digits_are_refused(answers: dict[str, list[Answer]]) -> None:
    assert share_refused(sum(answers.values(), [])) >= REFUSED_OF_ALL_CLASSES


def test_few_digits_are_refused(model_dir: Path) -> None:
    refusal = json.loads((model_dir / "metrics.json").read_text())["refusal"]
    confidence = np.load(model_dir / "predictions.npz")["probabilities"].max(1)
    refused = (confidence < refusal["threshold"]).mean()
    assert refusal["test_refused"] == pytest.approx(refused)
    assert refusal["validation_refused"] <= REFUSED_DIGITS
    assert 0 < refused <= REFUSED_OF_TEST_DIGITS


def blanks() -> Iterator[Image.Image]:
    for mode, colour in (("L", 0), ("L", 128), ("L", 255), ("RGB", (30, 60, 90)), ("1", 1)):
        yield Image.new(mode, (280, 280), colour)
    yield Image.new("RGBA", (280, 280))
    speck = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(speck).rectangle((100, 100, 101, 101), fill=0)
    yield speck
    grain = np.random.default_rng(0).integers(245, 256, (280, 280))
    yield Image.fromarray(grain.astype(np.uint8))


@pytest.mark.parametrize("image", list(blanks()))
def test_a_blank_or_nearly_blank_image_is_answered_blank(
    model_dir: Path, image: Image.Image
) -> None:
    answer = Classifier(Release(model_dir)).classify(image)
    assert (answer.digit, answer.reason, answer.confidence) == (None, "blank", 0.0)


@pytest.fixture
def doubtful(model_dir: Path, tmp_path: Path) -> Path:
    """A release that is never sure enough."""
    shutil.copy(model_dir / "model.tflite", tmp_path)
    (tmp_path / "metrics.json").write_text('{"refusal": {"threshold": 1.1}}')
    return tmp_path


def test_an_unsure_answer_still_says_what_it_saw(model_dir: Path, doubtful: Path) -> None:
    three = ROOT / "space" / "examples" / "three.png"
    sure, unsure = (Classifier(Release(folder)).classify(three) for folder in (model_dir, doubtful))
    assert (sure.digit, sure.reason) == (3, None)
    assert (unsure.digit, unsure.reason) == (None, "unsure")
    assert unsure.probabilities == sure.probabilities
    assert unsure.confidence == sure.confidence > 0.5
    assert unsure.seen is not None and sure.seen is not None
    assert (unsure.seen.pixels == sure.seen.pixels).all()


def test_guessing_refuses_nothing_but_a_blank(
    doubtful: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(doubtful))
    default_classifier.cache_clear()
    try:
        with Image.open(ROOT / "space" / "examples" / "three.png") as three:
            assert (read_digit(three), guess_digit(three)) == (None, 3)
        blank = Image.new("L", (28, 28))
        assert (read_digit(blank), guess_digit(blank)) == (None, None)
    finally:
        default_classifier.cache_clear()


@pytest.mark.parametrize("metrics", [None, "{}", '{"test": {"n": 3}}'])
def test_a_release_without_a_threshold_answers_everything(
    doubtful: Path, metrics: str | None
) -> None:
    (doubtful / "metrics.json").unlink()
    if metrics is not None:
        (doubtful / "metrics.json").write_text(metrics)
    assert Classifier(Release(doubtful)).threshold == 0


@pytest.mark.parametrize(
    "metrics", ["", "[]", '{"refusal": {}}', '{"refusal": null}', '{"refusal": {"threshold": "x"}}']
)
def test_a_damaged_threshold_is_one_clear_error(doubtful: Path, metrics: str) -> None:
    (doubtful / "metrics.json").write_text(metrics)
    with pytest.raises(ReleaseError, match=r"metrics\.json is damaged .*training evaluate"):
        Classifier(Release(doubtful))


@given(confidences, confidences)
def test_no_other_threshold_refuses_more_non_digits_for_as_few_digits(
    digits: NDArray[np.float32], others: NDArray[np.float32]
) -> None:
    chosen = choose_threshold(digits, others)
    budget = int(REFUSED_DIGITS * len(digits))
    assert (digits < chosen).sum() <= budget
    for threshold in {*digits.tolist(), *others.tolist(), 1.1}:
        more = (others < threshold).sum() - (others < chosen).sum()
        if (digits < threshold).sum() <= budget:
            assert more <= 0
        if threshold < chosen:
            assert more < 0, "a lower one would do"


def test_the_threshold_parts_digits_from_non_digits_that_can_be_parted() -> None:
    digits, others = np.linspace(0.9, 1, 1_000), np.linspace(0.1, 0.8, 500)
    threshold = choose_threshold(digits, others)
    assert 0.8 < threshold < 0.8001


@given(
    confidences.flatmap(
        lambda values: st.tuples(
            st.just(values), st.lists(st.booleans(), min_size=len(values), max_size=len(values))
        )
    )
)
def test_every_point_of_the_curve_is_what_its_threshold_does(
    case: tuple[NDArray[np.float32], list[bool]],
) -> None:
    confidence, right = case[0], np.array(case[1])
    curve = coverage_curve(confidence, right, [1.0, 0.75, 0.5, 0.001])
    assert curve[0]["coverage"] == 1
    assert curve[0]["error"] == pytest.approx(1 - right.mean())
    for wanted, point in zip([1.0, 0.75, 0.5, 0.001], curve, strict=True):
        answered = confidence >= point["threshold"]
        assert point["coverage"] == answered.mean() >= wanted
        assert point["error"] == pytest.approx((~right)[answered].mean())
        assert (confidence > point["threshold"]).mean() < wanted, "a higher one would leave enough"


def test_the_card_states_what_is_refused(model_dir: Path) -> None:
    refusal = json.loads((model_dir / "metrics.json").read_text())["refusal"]
    card = (model_dir / "README.md").read_text()
    section = re.split(r"^## ", card.split("## When it does not answer")[1], flags=re.MULTILINE)[0]
    assert f"below {refusal['threshold']:.3f}," in section
    for name in ("test_refused", "validation_refused", "answered_error"):
        assert percent(refusal[name]) in section
    for kind, found in refusal["non_digits"].items():
        cells = [
            kind,
            str(found["n"]),
            percent(found["refused"], 1),
            interval(found["interval"], 1),
        ]
        assert f"| {' | '.join(cells)} |" in section
    for point in refusal["curve"]:
        shares = [percent(point["coverage"]), percent(point["error"]), interval(point["interval"])]
        cells = [f"{point['threshold']:.3f}", f"{point['n']:,}", *shares]
        assert f"| {' | '.join(cells)} |" in section
