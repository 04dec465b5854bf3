"""What callers may ask of the Space, and what they may not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import safehttpx

from space import uploads
from space.intake import MAX_BYTES, IntakeError, fetch, is_public, receive
from space.uploads import keeping_uploads_briefly, sweep
from tests.test_api import MARK, as_base64, assert_is_a_sentence, call_over_http, example, post
from training.bench.serving import running_space
from training.deploy import SPACE

MAX_WAITING, MAX_BODY_BYTES, MAX_VALUES = 200, 40_000_000, 200_000
AT_ONCE = 4  # addresses, or large images


class Elsewhere(BaseHTTPRequestHandler):
    """A server of somebody's on the internet, of good and bad manners."""

    asked: list[str] = []
    released = Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        page, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if page == "/to":
            self.answer(302, b"", Location=query["address"][0])
        elif page == "/nothing":
            self.answer(404, b"")
        elif page == "/huge":
            self.answer(200, bytes(MAX_BYTES + 1))
        elif page == "/slow":
            time.sleep(2)
        elif page == "/held":
            self.released.wait(20)
            self.answer(200, example("seven").read_bytes())
        else:
            self.answer(200, example("seven").read_bytes())

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def public_url(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Space that takes 127.0.0.1, and nothing else of this machine, for the internet."""
    folder = tmp_path_factory.mktemp("public")
    (folder / "model").symlink_to(model_dir)
    (folder / "sitecustomize.py").write_text(
        "import safehttpx\n"
        "inside = safehttpx.is_public_ip\n"
        "safehttpx.is_public_ip = lambda ip: ip == '127.0.0.1' or inside(ip)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        with running_space(folder) as (url, _):
            yield url


INSIDE = (
    "http://127.0.0.2:{port}/",
    "http://127.1.1.1/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.2]:{port}/",
    "http://0.0.0.0:{port}/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://[fd00::1]/",
    "http://169.254.169.254/latest/meta-data",
    "http://[fe80::1]/",
    "http://100.64.0.1/",
    "http://[::ffff:100.64.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://2130706434:{port}/",
    "http://0x7f.0.0.2:{port}/",
)


@pytest.mark.parametrize(
    "address", [*INSIDE, "http://127.0.0.1:{port}/", "http://localhost:{port}"]
)
@pytest.mark.parametrize("marked", [True, False])
def test_an_address_that_leads_inside_is_refused(
    url: str, elsewhere: str, address: str, marked: bool
) -> None:
    Elsewhere.asked.clear()
    address = address.format(port=elsewhere.rpartition(":")[2])
    image: Any = {"path": address, "url": address, **MARK} if marked else address
    kind, data = call_over_http(url, "classify", {"image": image})
    assert kind == "error" and "none on the public internet" in data["error"]
    assert not Elsewhere.asked


@pytest.mark.parametrize("address", [*INSIDE, "file:///etc/passwd", "ftp://example.org/"])
def test_neither_does_a_redirect_lead_inside(public_url: str, elsewhere: str, address: str) -> None:
    Elsewhere.asked.clear()
    address = address.format(port=elsewhere.rpartition(":")[2])
    sent = str(httpx.URL(elsewhere).join("/to").copy_set_param("address", address))
    kind, data = call_over_http(public_url, "classify", {"image": sent})
    assert kind == "error"
    assert_is_a_sentence(data)
    assert len(Elsewhere.asked) == 1


@pytest.mark.parametrize("path", ["/seven.png", "/to?address=/seven.png", "/to?address=seven.png"])
def test_an_address_on_the_internet_is_read(public_url: str, elsewhere: str, path: str) -> None:
    for image in (elsewhere + path, {"path": elsewhere + path, "url": elsewhere + path, **MARK}):
        kind, data = call_over_http(public_url, "classify", {"image": image})
        assert (kind, data[0]["digit"]) == ("complete", 7), data


@pytest.mark.parametrize(
    ("path", "said"),
    [("/nothing", "HTTP 404"), ("/huge", "larger than 20 MB"), ("/to?address=/to", "too often")],
)
def test_an_address_of_no_use_is_named_so(
    public_url: str, elsewhere: str, path: str, said: str
) -> None:
    sent = elsewhere + path.replace("/to?address=/to", "/to?address=" + "/to%3Faddress%3D" * 8)
    kind, data = call_over_http(public_url, "classify", {"image": sent})
    assert kind == "error" and said in data["error"]
    assert_is_a_sentence(data)


def test_an_address_is_not_waited_for_without_end(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safehttpx, "is_public_ip", lambda ip: True)
    with pytest.raises(IntakeError, match="in time"):
        asyncio.run(fetch(f"{elsewhere}/slow", 0.3))


def test_a_name_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, enough, ended = Event(), Event(), Event()

    def look_up(*_: object) -> None:
        asked.set()
        enough.wait(5)
        ended.set()

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    with pytest.raises(IntakeError, match="in time"):
        receive("http://example.org/", time.monotonic() + 0.3)
    assert asked.is_set() and not ended.is_set()
    enough.set()


def test_no_address_mapped_into_another_is_public() -> None:
    assert is_public("93.184.215.14") and is_public("::ffff:93.184.215.14")
    for inside in ("100.64.0.1", "10.0.0.1", "127.0.0.1", "169.254.169.254"):
        assert not is_public(inside) and not is_public(f"::ffff:{inside}")


def test_the_pages_own_events_fetch_nothing(public_url: str, elsewhere: str) -> None:
    Elsewhere.asked.clear()
    image = {"path": f"{elsewhere}/seven.png", "url": f"{elsewhere}/seven.png", **MARK}
    events = httpx.get(f"{public_url}/config").json()["dependencies"]
    own = [event["id"] for event in events if event["api_visibility"] != "public"]
    assert len(own) > 10
    for event in own:
        body = {"data": [image], "fn_index": event, "session_hash": f"fetch-{event}"}
        if post(public_url, "queue/join", json=body).is_success:
            httpx.get(f"{public_url}/gradio_api/queue/data?session_hash=fetch-{event}", timeout=60)
    assert not Elsewhere.asked


@pytest.mark.parametrize(
    "path",
    [
        "app.py",
        "release.json",
        "/etc/passwd",
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        f"{SPACE}/app.py",
        f"{SPACE}/release.json",
        f"{SPACE}/examples/../app.py",
        f"{SPACE}/examples%2f..%2fapp.py",
        f"{SPACE}/examples",
        f"{SPACE}/reader/classifier.py",
        "http://127.0.0.1/",
        "/proc/self/environ",
    ],
)
@pytest.mark.parametrize(
    "route", ["gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/"]
)
def test_no_file_of_the_server_is_served(url: str, model_dir: Path, route: str, path: str) -> None:
    answer = httpx.get(f"{url}/{route}{path}", follow_redirects=False)
    assert answer.status_code in (400, 403, 404), answer.text[:300]
    assert len(answer.content) < 500 and "root:" not in answer.text


def test_nor_is_the_model_or_a_file_made_public_by_an_upload(url: str, model_dir: Path) -> None:
    assert httpx.get(f"{url}/gradio_api/file={model_dir}/metrics.json").status_code == 403
    name = ("../../../app.py", b"not this", "image/png")
    (path,) = post(url, "upload", files={"files": name}).json()
    assert Path(path).parts[-1] == "app.py" and not Path(path).is_relative_to(SPACE)


def test_an_upload_has_a_limit(url: str) -> None:
    fits = post(url, "upload", files={"files": ("large.png", bytes(MAX_BYTES))})
    assert fits.is_success
    answer = post(url, "upload", files={"files": ("larger.png", bytes(MAX_BYTES + 1))})
    assert answer.status_code == 413
    assert_is_a_sentence(answer.json())


@pytest.mark.parametrize("trickled", [True, False])
@pytest.mark.parametrize("route", ["call/v2/classify", "call/classify", "queue/join"])
def test_a_request_has_a_limit(url: str, route: str, trickled: bool) -> None:
    body = b'{"image": "' + bytes(MAX_BODY_BYTES) + b'"}'
    pieces = (body[at : at + 1_000_000] for at in range(0, len(body), 1_000_000))
    content: Any = pieces if trickled else body
    refused_as_too_large(url, route, content=content, headers={"Content-Type": "application/json"})


def test_several_uploads_at_once_have_a_limit(url: str) -> None:
    files = [("files", (f"{number}.png", bytes(MAX_BYTES - 1000))) for number in range(3)]
    refused_as_too_large(url, "upload", files=files)


def refused_as_too_large(url: str, route: str, **request: Any) -> None:
    try:
        answer = post(url, route, **request)
    except (httpx.WriteError, httpx.RemoteProtocolError):  # it did not listen to the end
        assert httpx.get(f"{url}/config").is_success
        return
    assert answer.status_code == 413
    assert_is_a_sentence(answer.json())


def test_a_request_has_no_more_values_than_can_be_looked_at(url: str) -> None:
    values = "[" + ",".join(["[]"] * MAX_VALUES) + "]"
    content = f'{{"data": [{values}], "fn_index": 0, "session_hash": "many"}}'
    headers = {"Content-Type": "application/json"}
    refused_as_too_large(url, "run/predict", content=content.encode(), headers=headers)


@pytest.mark.parametrize(
    "route", ["process_recording", "process_recording/", "deep_link?session_hash=a"]
)
def test_what_nothing_here_needs_is_closed(url: str, route: str) -> None:
    for answer in (post(url, route), httpx.get(f"{url}/gradio_api/{route}")):
        assert answer.status_code == 404
        assert_is_a_sentence(answer.json())


def test_uploads_are_swept_by_their_age_and_all_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with keeping_uploads_briefly():
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        (folder / "old").mkdir()
        (folder / "old" / "digit.png").touch()
        sweep(folder)
        assert (folder / "old" / "digit.png").exists()
        monkeypatch.setattr(uploads, "KEEP_SECONDS", -1)
        sweep(folder)
        assert not list(folder.iterdir())
    assert not folder.exists()


def test_addresses_that_take_long_hold_up_no_small_image(public_url: str, elsewhere: str) -> None:
    Elsewhere.asked.clear()
    Elsewhere.released.clear()
    calls = f"{public_url}/gradio_api/call/v2/classify"
    held = [httpx.post(calls, json={"image": f"{elsewhere}/held"}).json() for _ in range(8)]
    while len(Elsewhere.asked) < AT_ONCE:
        time.sleep(0.01)
    kind, small = call_over_http(public_url, "classify", {"image": as_base64("two")})
    assert kind == "complete" and small[0]["digit"] == 2
    assert Elsewhere.asked == ["/held"] * AT_ONCE
    Elsewhere.released.set()
    for call in held:
        events = f"{public_url}/gradio_api/call/classify/{call['event_id']}"
        assert '"digit": 7' in httpx.get(events, timeout=60).text


def test_a_full_queue_says_so_and_is_served_to_its_end(public_url: str, elsewhere: str) -> None:
    Elsewhere.asked.clear()
    Elsewhere.released.clear()
    batches = f"{public_url}/gradio_api/call/v2/classify_batch"
    with httpx.Client(timeout=60) as http:
        held = http.post(batches, json={"images": [f"{elsewhere}/held"] * 24})
        while "/held" not in Elsewhere.asked:  # until it is at work, and no longer waits
            time.sleep(0.01)
        answers = [http.post(batches, json={"images": [as_base64("two")]}) for _ in range(202)]
    accepted = [answer for answer in answers if answer.is_success]
    assert len(accepted) == MAX_WAITING  # so only one batch was at work
    assert answers[-1].status_code == 503 and "Try again" in answers[-1].json()["error"]
    Elsewhere.released.set()
    for answer, digit in ((held, 7), (accepted[0], 2), (accepted[-1], 2)):
        events = f"{public_url}/gradio_api/call/classify_batch/{answer.json()['event_id']}"
        assert f'"digit": {digit}' in httpx.get(events, timeout=120).text
