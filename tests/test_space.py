"""The Space with the real server: how it starts, what it shows; and the pad's drawings."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from huggingface_hub import HfApi
from huggingface_hub.repocard import metadata_load

from space.drawing_pad import PEN_WIDTH, SIDE, UNITS, DrawingError, draw_strokes
from space.reader import SERVED
from training.bench.serving import SPACE_COMMAND, running_space
from training.deploy import SPACE, stage_space
from training.local_hub.server import running_hub

EXAMPLES = ("two", "three", "four", "five", "seven", "nine", "letter", "star")


def example(name: str) -> Path:
    return SPACE / "examples" / f"{name}.png"


def test_pictures_of_the_examples_are_not_swept_away_with_uploads(url: str) -> None:
    components = httpx.get(f"{url}/config").json()["components"]
    icons = [part["props"]["icon"] for part in components if part["props"].get("icon")]
    paths = [str(example(name)) for name in EXAMPLES]
    assert [icon["path"] for icon in icons] == paths
    assert all(httpx.get(icon["url"]).is_success for icon in icons)


def test_without_a_model_the_space_says_so_and_stops(tmp_path: Path) -> None:
    environment = os.environ | {"MODEL_DIR": str(tmp_path / "nothing")}
    done = subprocess.run(SPACE_COMMAND, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"There is no model at {tmp_path / 'nothing'}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `space/` that knows of no model but the one it is to find on the Hub."""
    monkeypatch.delenv("MODEL_DIR", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(SPACE, tmp_path / "space"))


@contextlib.contextmanager
def starting(folder: Path, hub: str) -> Iterator[str]:
    """Start a Space as its own folder says; yield its address at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    environment = os.environ | place | {"HF_ENDPOINT": hub}
    with (folder.parent / "space.log").open("w") as log:
        command = [sys.executable, "-u", "app.py"]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def wait_for(url: str, status: int) -> httpx.Response:
    """Ask until an answer has a status."""
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):  # nobody listens yet
            if (answer := httpx.get(url)).status_code == status:
                return answer
        time.sleep(0.1)
    raise TimeoutError(url)


@pytest.mark.slow  # it waits for a Hub that is down, and then starts twice more
def test_a_space_waits_for_the_hub_once_and_then_starts_without_it(
    alone: Path, model_dir: Path, tmp_path: Path
) -> None:
    with running_hub(tmp_path / "hub") as endpoint:
        hub = HfApi(endpoint=endpoint, token="hf_local")
        hub.create_repo("local/digits")
        commit = hub.upload_folder(folder_path=model_dir, repo_id="local/digits").oid
    release = {"id": "local/digits", "commit": commit, "version": "v2026.01.01.1"}
    (alone / "release.json").write_text(json.dumps(release))
    port = int(endpoint.rpartition(":")[2])
    with starting(alone, endpoint) as url:
        wait_for(f"{url}/config", 503)
        page = httpx.get(url)
        assert page.status_code == 200 and "cannot be loaded from the Hub" in page.text
        for secret in ("local/digits", str(tmp_path), "Traceback", "Python"):
            assert secret not in page.text + str(page.headers)
        call = httpx.post(f"{url}/gradio_api/call/v2/classify", json={"image": ""})
        assert call.status_code == 503 and "Call again later." in call.json()["error"]
        with running_hub(tmp_path / "hub", port):
            wait_for(f"{url}/config", 200)
            assert Client(url, verbose=False).predict(api_name="/model").items() >= release.items()
    with starting(alone, endpoint) as url:  # the Hub is down again
        wait_for(f"{url}/config", 200)
        answer = Client(url, verbose=False).predict(
            handle_file(example("two")), api_name="/classify"
        )
        assert (answer["digit"], answer["model"]) == (2, release)
    assert "waits" not in (tmp_path / "space.log").read_text()
    (kept,) = (tmp_path / "home").rglob("model.tflite")
    kept.resolve().write_bytes(kept.read_bytes()[:9_000])
    with running_hub(tmp_path / "hub", port), starting(alone, endpoint) as url:
        wait_for(f"{url}/config", 200)  # what is damaged is fetched anew


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


COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def test_front_matter_is_what_the_platform_asks_for() -> None:
    card = metadata_load(SPACE / "README.md")
    assert card
    assert (card["sdk"], card["app_file"], card["license"]) == ("gradio", "app.py", "apache-2.0")
    pins = (SPACE / "requirements.txt").read_text("utf-8").splitlines()
    assert f"gradio=={card['sdk_version']}" in pins
    assert card["python_version"] == "3.12.12"  # the one of ZeroGPU's two that the project runs on
    assert {card["colorFrom"], card["colorTo"]} <= COLOURS
    assert card["title"] and card["emoji"] and 0 < len(card["short_description"]) <= 60
    assert card["datasets"] == ["ylecun/mnist"] and "image-classification" in card["tags"]
    assert not {"models", "preload_from_hub"} & set(card)  # of a release: deploy writes them


def test_the_page_says_how_many_drawings_its_memory_holds() -> None:
    text = " ".join((SPACE / "README.md").read_text("utf-8").split())
    most = re.search(r"^MAX_SESSIONS = (\d+)", (SPACE / "limits.py").read_text("utf-8"), re.M)
    assert most and f"memory holds the last one of at most {most[1]} visitors" in text


def test_deployed_front_matter_names_the_release_and_preloads_its_files(tmp_path: Path) -> None:
    release = {"id": "local/digits", "commit": "0123456789" * 4, "version": "v2026.01.01.1"}
    stage_space(tmp_path / "staged", "local/page", release)
    card = metadata_load(tmp_path / "staged" / "README.md")
    assert card
    before = metadata_load(SPACE / "README.md")
    assert before and card.items() >= before.items()
    assert card["models"] == ["local/digits"]
    (preloaded,) = card["preload_from_hub"]
    assert preloaded.split(" ") == ["local/digits", ",".join(SERVED), release["commit"]]
    assert json.loads((tmp_path / "staged" / "release.json").read_text()) == release


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
