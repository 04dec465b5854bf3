from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.breakdown import by_drawing, compare, mean_confidence, reliability, share
from training.intervals import resampled_intervals
from training.metrics import score
from training.redraw import CANVAS, pen_of, redraw


def test_the_pen_of_a_row_is_what_its_drawing_shows(mnist: dict[str, NDArray[np.uint8]]) -> None:
    for row in range(12):
        drawing, pen = np.asarray(redraw(mnist["test_images"][row], row)), pen_of(row)
        assert (drawing[0, 0] == 255) == pen.dark
        ink = drawing < 128 if pen.dark else drawing > 127
        longest = max(np.ptp(np.flatnonzero(ink.any(axis))) for axis in (0, 1))
        assert longest == pytest.approx(pen.size * CANVAS + pen.width, abs=5)
        left = np.flatnonzero(ink.any(0))
        room = CANVAS - 2 - (np.ptp(left) + 1)
        assert left[0] - 1 == pytest.approx(pen.place[0] * room, abs=5)


def test_every_redrawn_digit_is_in_one_group_of_each_aspect() -> None:
    right = np.arange(2_000) % 10 > 0
    for aspect, parts in by_drawing(right).items():
        assert sum(part["n"] for part in parts.values()) == 2_000, aspect
        assert sum(part["n"] * part["share"] for part in parts.values()) == pytest.approx(1_800)
        for part in parts.values():
            low, high = part["interval"]
            assert low < part["share"] < high and part["n"] > 100


def test_the_bins_of_the_reliability_diagram_make_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(10, 0.2), 3_000).astype(np.float32)
    labels = rng.integers(0, 10, 3_000).astype(np.uint8)
    right = probabilities.argmax(1) == labels
    bins = reliability(probabilities.max(1), right)
    assert sum(bin["n"] for bin in bins) == 3_000
    error = sum(bin["n"] * abs(bin["share"] - bin["confidence"]) for bin in bins) / 3_000
    assert score(probabilities, labels)["calibration_error"] == pytest.approx(error, abs=1e-6)


def test_resampled_intervals_hold_the_scores() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 2_000).astype(np.uint8)
    probabilities = (0.3 * rng.dirichlet(np.ones(10), 2_000) + 0.7 * np.eye(10)[labels]).astype(
        np.float32
    )
    probabilities[:100] = np.roll(probabilities[:100], 1, axis=1)
    scores, found = score(probabilities, labels), resampled_intervals(probabilities, labels)
    for name, bounds in found.items():
        for value, (low, high) in zip(
            np.ravel(scores[name]), np.reshape(bounds, (-1, 2)), strict=True
        ):
            assert low <= value <= high, name
            assert high - low < 0.2
    assert found == resampled_intervals(probabilities, labels)


def test_a_share_of_nothing_and_a_mean_of_nothing_say_so() -> None:
    nothing = np.zeros(0, bool)
    assert share(nothing) == {"n": 0, "share": 0.0, "interval": (0.0, 1.0)}
    assert mean_confidence(np.zeros(0))["n"] == 0


def test_two_releases_are_compared_on_the_same_images_only(tmp_path: Path) -> None:
    labels = np.zeros(100, np.uint8)
    answers = {"new": np.r_[np.zeros(97), np.ones(3)], "old": np.r_[np.ones(8), np.zeros(92)]}
    for name, found in answers.items():
        (tmp_path / name).mkdir()
        np.savez(
            tmp_path / name / "predictions.npz",
            probabilities=np.eye(10)[found.astype(int)],
            labels=labels,
        )
    change = compare(tmp_path / "new", tmp_path / "old")
    assert change is not None
    assert (change["won"], change["lost"], change["n"]) == (8, 3, 100)
    assert change["difference"] == pytest.approx(0.05)
    low, high = change["interval"]
    assert low < 0 < 0.05 < high
    np.savez(tmp_path / "old" / "predictions.npz", probabilities=np.eye(10), labels=labels[:10])
    assert compare(tmp_path / "new", tmp_path / "old") is None
