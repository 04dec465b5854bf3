"""The Space's endpoint, with the real server and the real clients; and the pad's drawings."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from space.drawing_pad import PEN_WIDTH, SIDE, UNITS, DrawingError, draw_strokes
from training.bench import SPACE_COMMAND, running_space
from training.deploy import SPACE

EXAMPLES = {"two": 2, "three": 3, "four": 4, "five": 5, "seven": 7, "nine": 9}
NO_DIGITS = ("letter", "star")


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


def classify(client: Client, file: Path) -> dict[str, Any]:
    answer = client.predict(handle_file(file), api_name="/classify")
    assert isinstance(answer, dict)
    return answer


def example(name: str) -> Path:
    return SPACE / "examples" / f"{name}.png"


def save(image: Image.Image, folder: Path, name: str = "image.png") -> Path:
    image.save(folder / name)
    return folder / name


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_read(client: Client, name: str) -> None:
    assert classify(client, example(name))["digit"] == EXAMPLES[name]


@pytest.mark.parametrize("name", NO_DIGITS)
def test_examples_that_are_no_digits_are_not_read(client: Client, name: str) -> None:
    answer = classify(client, example(name))
    assert (answer["digit"], answer["reason"]) == (None, "unsure")


def test_answer_keeps_its_contract(client: Client) -> None:
    answer = classify(client, example("three"))
    assert list(answer) == ["digit", "confidence", "probabilities", "reason", "seen", "model"]
    assert (answer["digit"], answer["reason"]) == (3, None)
    assert len(answer["probabilities"]) == 10
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert answer["confidence"] == answer["probabilities"][3] == max(answer["probabilities"])
    assert set(answer["model"]) == {"id", "commit", "version"}
    kind, data = answer["seen"]["png"].split(",")
    seen = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, seen.size, seen.mode) == ("data:image/png;base64", (28, 28), "L")
    assert answer["seen"]["steps"][0] == "dark on light: inverted"


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (28, 58, 168)])
def test_transparent_image_is_read_by_its_ink(
    client: Client, tmp_path: Path, ink: tuple[int, int, int]
) -> None:
    alpha = Image.open(example("two")).getchannel("A")
    drawing = Image.new("RGBA", alpha.size, (*ink, 255))
    drawing.putalpha(alpha)
    assert classify(client, save(drawing, tmp_path))["digit"] == 2


def test_blank_image_is_an_answer(client: Client, tmp_path: Path) -> None:
    answer = classify(client, save(Image.new("L", (200, 200), 255), tmp_path))
    assert (answer["digit"], answer["reason"], answer["seen"]) == (None, "blank", None)
    assert answer["confidence"] == 0


def test_text_file_named_png_is_a_clear_error(client: Client, tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_text("not an image")
    with pytest.raises(AppError, match=r"cannot be read as an image.* Pass a PNG") as caught:
        classify(client, tmp_path / "digit.png")
    assert "Traceback" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_no_file_is_a_clear_error(client: Client) -> None:
    with pytest.raises(AppError, match="Pass an image file"):
        client.predict(None, api_name="/classify")


def call_over_http(url: str, image: dict[str, Any]) -> tuple[str, Any]:
    """Call as with curl; return the last event's name and data."""
    api = f"{url}/gradio_api/call"
    event = httpx.post(f"{api}/v2/classify", json={"image": image}).json()["event_id"]
    kind, data = httpx.get(f"{api}/classify/{event}").text.strip().split("\n")[-2:]
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_plain_http_is_enough(url: str) -> None:
    files = {"files": example("seven").open("rb")}
    (path,) = httpx.post(f"{url}/gradio_api/upload", files=files).json()
    kind, data = call_over_http(url, {"path": path, "meta": {"_type": "gradio.FileData"}})
    assert (kind, data[0]["digit"]) == ("complete", 7)


def test_files_of_the_server_are_out_of_reach(url: str) -> None:
    for meta in ({"meta": {"_type": "gradio.FileData"}}, {}):
        kind, data = call_over_http(url, {"path": str(SPACE / "requirements.txt"), **meta})
        assert kind == "error"
        assert "gradio==" not in json.dumps(data)


def test_two_clients_at_once_get_their_own_answers(url: str) -> None:
    def ask(name: str) -> list[int]:
        own = Client(url, verbose=False)
        return [classify(own, example(name))["digit"] for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, ["three", "seven"])) == [[3] * 5, [7] * 5]


def test_classify_is_the_only_public_endpoint(url: str) -> None:
    endpoints = httpx.get(f"{url}/gradio_api/info").json()
    assert list(endpoints["named_endpoints"]) == ["/classify"]
    assert endpoints["unnamed_endpoints"] == {}


def test_pictures_of_the_examples_are_not_swept_away_with_uploads(url: str) -> None:
    components = httpx.get(f"{url}/config").json()["components"]
    icons = [part["props"]["icon"] for part in components if part["props"].get("icon")]
    paths = [str(example(name)) for name in (*EXAMPLES, *NO_DIGITS)]
    assert [icon["path"] for icon in icons] == paths
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
    area = ink([[[UNITS // 2, UNITS // 2, PEN_WIDTH]]]).sum() / 255 / SIDE**2
    assert area == pytest.approx(np.pi / 4 * (PEN_WIDTH / UNITS) ** 2, rel=0.03)


def test_stroke_is_as_wide_as_the_pen_and_may_leave_the_pad() -> None:
    line = ink([[[-300, 500, PEN_WIDTH], [1300, 500, PEN_WIDTH]]])
    assert line.sum(0) / 255 == pytest.approx(SIDE * PEN_WIDTH / UNITS, abs=0.6)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "drawing",
        {"strokes": []},
        [1],
        [[1, 2, 3]],
        [[[1, 2]]],
        [[[1, 2, 3, 4]]],
        [[["1", "2", "3"]]],
        [[[True, False, True]]],
        [[[float("nan"), 0, 80]]],
        [[[0, float("inf"), 80]]],
        [[[10**400, 0, 80]]],
        [[[0, 0, 0]]],
        [[[0, 0, -80]]],
        [[[0, 0, UNITS]]],
        [[[0, 0, 80]] * 10_001],
    ],
    ids=lambda value: repr(value)[:24],
)
def test_malformed_drawing_is_refused(value: Any) -> None:
    with pytest.raises(DrawingError):
        draw_strokes(value)
