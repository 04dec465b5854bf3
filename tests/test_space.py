"""The Space with the real server: how it starts, what it shows; and the pad's drawings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from space.drawing_pad import PEN_WIDTH, SIDE, UNITS, DrawingError, draw_strokes
from training.bench import SPACE_COMMAND, running_space
from training.deploy import SPACE

EXAMPLES = ("two", "three", "four", "five", "seven", "nine")


def example(name: str) -> Path:
    return SPACE / "examples" / f"{name}.png"


def test_pictures_of_the_examples_are_not_swept_away_with_uploads(url: str) -> None:
    components = httpx.get(f"{url}/config").json()["components"]
    icons = [part["props"]["icon"] for part in components if part["props"].get("icon")]
    assert [icon["path"] for icon in icons] == [str(example(name)) for name in EXAMPLES]
    assert all(httpx.get(icon["url"]).is_success for icon in icons)


def test_without_a_model_the_space_says_so_and_stops(tmp_path: Path) -> None:
    environment = os.environ | {"MODEL_DIR": str(tmp_path / "nothing")}
    done = subprocess.run(SPACE_COMMAND, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"There is no model at {tmp_path / 'nothing'}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("zero", [True, False])
def test_zero_gpu_is_named_a_function_and_nothing_else_is(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zero: bool
) -> None:
    (tmp_path / "spaces.py").write_text("def GPU(function): print('named', flush=True)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    if zero:
        monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    (tmp_path / "model").symlink_to(model_dir)
    with running_space(tmp_path):
        assert ("named" in (tmp_path / "space.log").read_text()) == zero


def test_space_is_built_with_the_pinned_gradio() -> None:
    pins = (SPACE / "requirements.txt").read_text()
    _, front_matter, _ = (SPACE / "README.md").read_text("utf-8").split("---\n", 2)
    (version,) = [line for line in front_matter.splitlines() if line.startswith("sdk_version: ")]
    assert f"gradio=={version.removeprefix('sdk_version: ')}\n" in pins


def ink(strokes: Any) -> np.ndarray[Any, Any]:
    return 255 - np.asarray(draw_strokes(strokes))


def test_no_strokes_are_a_white_sheet() -> None:
    assert not ink([]).any()
    assert ink([]).shape == (SIDE, SIDE)


def test_tap_is_a_round_dot() -> None:
    area = ink([[[UNITS // 2, UNITS // 2]]]).sum() / 255 / SIDE**2
    assert area == pytest.approx(np.pi / 4 * (PEN_WIDTH / UNITS) ** 2, rel=0.03)


def test_stroke_is_as_wide_as_the_pen_and_may_leave_the_pad() -> None:
    line = ink([[[-300, 500], [1300, 500]]])
    assert (line == line[:, :1]).all()
    assert line[:, 0].sum() / 255 == pytest.approx(SIDE * PEN_WIDTH / UNITS, abs=0.6)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "drawing",
        {"strokes": []},
        [1],
        [[1, 2]],
        [[[1]]],
        [[[1, 2, 3]]],
        [[["1", "2"]]],
        [[[True, False]]],
        [[[float("nan"), 0]]],
        [[[0, float("inf")]]],
        [[[10**400, 0]]],
        [[[0, 0]] * 20_001],
    ],
    ids=lambda value: repr(value)[:24],
)
def test_malformed_drawing_is_refused(value: Any) -> None:
    with pytest.raises(DrawingError):
        draw_strokes(value)
