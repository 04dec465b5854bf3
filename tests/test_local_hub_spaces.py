"""Spaces on the stand-in for the Hub: pushed with the real client, and really started."""

from __future__ import annotations

import io
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from training.local_hub import spaces
from training.local_hub.server import running_hub

SPACE = "local/page"
CARD = "---\nsdk: gradio\nsdk_version: 6.31.0\napp_file: app.py\n---\n# Page\n"
APP = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((os.environ["SPACE_ID"] + " {}").encode())
print("starting", flush=True)
address = os.environ["GRADIO_SERVER_NAME"], int(os.environ["GRADIO_SERVER_PORT"])
http.server.HTTPServer(address, Handler).serve_forever()
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HfApi]:
    with running_hub(tmp_path / "hub") as endpoint:
        hub = HfApi(endpoint=endpoint, token="hf_local")
        hub.create_repo(SPACE, repo_type="space", space_sdk="gradio")
        yield hub


def push(hub: HfApi, **files: str) -> str:
    names = {"README": "README.md", "requirements": "requirements.txt", "app": "app.py"}
    operations = [
        CommitOperationAdd(names[name], io.BytesIO(text.encode())) for name, text in files.items()
    ]
    commit = hub.create_commit(SPACE, operations, commit_message="Push", repo_type="space")
    return str(commit.oid)


def read(hub: HfApi) -> str:
    with urllib.request.urlopen(str(hub.space_info(SPACE).host)) as answer:
        return str(answer.read().decode())


def test_a_pushed_space_runs_until_the_next_one_or_the_hubs_end(tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub") as endpoint:
        hub = HfApi(endpoint=endpoint, token="hf_local")
        hub.create_repo(SPACE, repo_type="space", space_sdk="gradio")
        first = push(hub, README=CARD, requirements="", app=APP.replace("{}", "one"))
        runtime = hub.wait_for_space(SPACE, timeout=60, poll_interval=0.1)
        assert (runtime.stage, runtime.raw["sha"]) == ("RUNNING", first)
        assert read(hub) == f"{SPACE} one"
        second = push(hub, app=APP.replace("{}", "two"))
        runtime = hub.wait_for_space(SPACE, timeout=60, poll_interval=0.1)
        assert (runtime.stage, runtime.raw["sha"]) == ("RUNNING", second)
        assert read(hub) == f"{SPACE} two"
        assert any("starting" in line for line in hub.fetch_space_logs(SPACE))
        (_,) = tmp_path.glob("hub/environments/*/whole")  # the second found the first's
        assert (
            len([child for child in psutil.Process().children() if "app.py" in child.cmdline()])
            == 1
        )
    assert not [child for child in psutil.Process().children() if "app.py" in child.cmdline()]


@pytest.mark.parametrize(
    ("broken", "stage", "said"),
    [
        ({"app": "raise SystemExit('no model')"}, "RUNTIME_ERROR", "no model"),
        ({"requirements": "no-such-package-of-anyone==1"}, "BUILD_ERROR", "no-such-package"),
        ({"requirements": "gradio==6.30.0"}, "BUILD_ERROR", "disagree"),
        ({"README": CARD.replace("app.py", "main.py")}, "NO_APP_FILE", "main.py"),
        ({"README": "# Page"}, "CONFIG_ERROR", "sdk"),
    ],
)
def test_a_broken_space_says_how(hub: HfApi, broken: dict[str, str], stage: str, said: str) -> None:
    push(hub, **{"README": CARD, "requirements": "", "app": APP} | broken)
    assert hub.wait_for_space(SPACE, timeout=60, poll_interval=0.1).stage == stage
    log = hub.fetch_space_logs(SPACE, build=stage != "RUNTIME_ERROR")
    assert said in "".join(log)


@pytest.mark.parametrize("elsewhere", ["exit(1)", "address = address[0], 0"])
def test_a_page_of_somebody_else_is_not_taken_for_the_space(
    hub: HfApi, monkeypatch: pytest.MonkeyPatch, elsewhere: str
) -> None:
    look = f"import socket\ntry: socket.create_server(address)\nexcept OSError: {elsewhere}\n"
    app = APP.replace("http.server.HTTPServer(", look + "http.server.HTTPServer(")
    with socket.create_server(("127.0.0.1", 0)) as found:
        taken = int(found.getsockname()[1])
    with ThreadingHTTPServer(("127.0.0.1", taken), SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        ports = iter([taken])  # it was free when it was looked for
        free = spaces.free_port
        monkeypatch.setattr(spaces, "free_port", lambda: next(ports, None) or free())
        push(hub, README=CARD, requirements="", app=app)
        assert hub.wait_for_space(SPACE, timeout=60, poll_interval=0.1).stage == "RUNNING"
        assert read(hub) == f"{SPACE} {{}}" and str(taken) not in str(hub.space_info(SPACE).host)
        other.shutdown()


def test_a_space_that_dies_is_seen(hub: HfApi) -> None:
    push(hub, README=CARD, requirements="", app=APP)
    hub.wait_for_space(SPACE, timeout=60, poll_interval=0.1)
    (process,) = (child for child in psutil.Process().children() if "app.py" in child.cmdline())
    process.kill()
    deadline = time.monotonic() + 10
    while hub.get_space_runtime(SPACE).stage == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert hub.get_space_runtime(SPACE).stage == "RUNTIME_ERROR"
