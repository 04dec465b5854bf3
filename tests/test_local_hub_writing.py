"""Writing to the stand-in for the Hub, with the real clients: each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from training.local_hub.access import Token
from training.local_hub.server import running_hub

TOKENS = {
    "hf_all": Token("me"),
    "hf_one": Token("me", frozenset({"model me/digits"})),
    "hf_read": Token("me", frozenset()),
    "hf_other": Token("you"),
}
Ask = Callable[..., Any]
START = """
import io, json, huggingface_hub as hf
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete
hub = hf.HfApi()
def refusal(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Exception as error:
        return [type(error).__name__, getattr(getattr(error, "response", None), "status_code", 0)]
"""


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    with running_hub(tmp_path / "hub", tokens=TOKENS) as endpoint:
        yield endpoint


@pytest.fixture
def environment(endpoint: str, tmp_path: Path) -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": "hf_all",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


@pytest.fixture
def ask(environment: dict[str, str], tmp_path: Path) -> Ask:
    """Run lines of Python in a process that knows no other Hub; return what they call answer."""

    def run(lines: str, token: str = "hf_all") -> Any:
        done = subprocess.run(
            [sys.executable, "-c", f"{START}\n{lines}\nprint(json.dumps(answer))"],
            env=environment | {"HF_TOKEN": token},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_what_is_committed_can_be_read_again(ask: Ask) -> None:
    answer = ask("""
hub.create_repo("me/digits")
files = {"README.md": b"# Digits", "model.keras": b"large" * 9, "a b/ü.txt": b"x"}
operations = [Add(path, io.BytesIO(content)) for path, content in files.items()]
first = hub.create_commit("me/digits", operations, commit_message="First")
read = {path: open(hub.hf_hub_download("me/digits", path), "rb").read() for path in files}
second = hub.create_commit("me/digits", [Delete("a b/", is_folder=True), Delete("model.keras")],
    commit_message="Second", parent_commit=first.oid)
answer = [read == files, sorted(hub.list_repo_files("me/digits", revision=first.oid)),
    hub.list_repo_files("me/digits"), [c.title for c in hub.list_repo_commits("me/digits")],
    first.commit_url.endswith("/me/digits/commit/" + first.oid),
    hub.model_info("me/digits").sha == second.oid]
""")
    there = [".gitattributes", "README.md", "a b/ü.txt", "model.keras"]
    titles = ["Second", "First", "initial commit"]
    assert answer == [True, there, [".gitattributes", "README.md"], titles, True, True]


def test_only_what_changed_makes_a_commit(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    (tmp_path / "folder" / "model.h5").write_bytes(b"weights")
    answer = ask("""
hub.create_repo("me/digits")
first = hub.upload_folder(repo_id="me/digits", folder_path="folder")
again = hub.upload_folder(repo_id="me/digits", folder_path="folder")
open("folder/config.json", "w").write("[]")
__import__("os").remove("folder/model.h5")
other = hub.upload_folder(repo_id="me/digits", folder_path="folder", delete_patterns="*.h5")
answer = [first.oid == again.oid, first.oid != other.oid, hub.list_repo_files("me/digits")]
""")
    assert answer == [True, True, [".gitattributes", "config.json"]]


def test_a_commit_on_another_than_the_expected_parent_is_refused(ask: Ask) -> None:
    answer = ask("""
hub.create_repo("me/digits")
old = hub.model_info("me/digits").sha
new = lambda text: [Add("file.txt", io.BytesIO(text))]
hub.create_commit("me/digits", new(b"a"), commit_message="a", parent_commit=old)
answer = [refusal(hub.create_commit, "me/digits", new(b"b"), commit_message="b", parent_commit=old),
    open(hub.hf_hub_download("me/digits", "file.txt")).read()]
""")
    assert answer == [["HfHubHTTPError", 412], "a"]


def test_tags_stay_where_they_were_put(ask: Ask) -> None:
    answer = ask("""
hub.create_repo("me/digits")
old = hub.model_info("me/digits").sha
hub.create_tag("me/digits", tag="v1", tag_message="First")
hub.create_commit("me/digits", [Add("a", io.BytesIO(b"a"))], commit_message="a")
again = refusal(hub.create_tag, "me/digits", tag="v1")
tags = [[tag.name, tag.target_commit == old] for tag in hub.list_repo_refs("me/digits").tags]
hub.delete_tag("me/digits", tag="v1")
answer = [again, tags, hub.list_repo_refs("me/digits").tags]
""")
    assert answer == [["HfHubHTTPError", 409], [["v1", True]], []]


def test_repositories_are_created_once_and_of_every_kind(ask: Ask) -> None:
    answer = ask("""
made = [str(hub.create_repo("me/digits", repo_type=kind, space_sdk=sdk))
    for kind, sdk in (("model", None), ("dataset", None), ("space", "gradio"))]
hub.create_repo("digits", exist_ok=True)
answer = [[url.split("/", 3)[3] for url in made], refusal(hub.create_repo, "me/digits"),
    refusal(hub.create_repo, "you/digits"), hub.whoami()["name"]]
""")
    assert answer[0] == ["me/digits", "datasets/me/digits", "spaces/me/digits"]
    assert answer[1:] == [["HfHubHTTPError", 409], ["HfHubHTTPError", 403], "me"]


@pytest.mark.parametrize(
    ("token", "create", "own", "other"),
    [
        ("hf_all", None, None, None),
        ("hf_one", 401, None, 403),
        ("hf_read", 401, 403, 403),
        ("hf_other", 403, 403, 403),
        ("hf_nobody", 401, 401, 401),
    ],
)
def test_a_token_writes_what_it_was_made_for(
    ask: Ask, token: str, create: int | None, own: int | None, other: int | None
) -> None:
    ask('hub.create_repo("me/digits"); hub.create_repo("me/more"); answer = 0')
    answer = ask(
        """
add = lambda id: refusal(hub.create_commit, id, [Add("a", io.BytesIO(b"a"))], commit_message="a")
answer = [refusal(hub.create_repo, "me/new"), add("me/digits"), add("me/more")]
""",
        token,
    )
    assert [refused and refused[1] for refused in answer] == [create, own, other]
    assert ask('answer = [hub.model_info("me/digits").id]', "hf_read") == ["me/digits"]


def test_a_card_is_checked_before_it_is_taken(ask: Ask) -> None:
    answer = ask("""
hub.create_repo("me/digits")
put = lambda text: refusal(
    hub.upload_file, path_or_fileobj=text, path_in_repo="README.md", repo_id="me/digits")
answer = [put(b"---\\nlicense: mit\\n---\\n# Digits"), put(b"---\\n[ :\\n---\\n"),
    hf.ModelCard.load("me/digits").validate()]
""")
    assert answer == [None, ["ValueError", 0], None]


def test_the_hf_command_uploads(environment: dict[str, str], ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"weights")
    command = [str(Path(sys.executable).with_name("hf")), "upload", "me/digits", "model.keras"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ask('answer = hub.list_repo_files("me/digits")') == [".gitattributes", "model.keras"]


def test_a_large_upload_passes_through_little_memory(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "large.h5").write_bytes(os.urandom(1_000_000) * 200)
    command = (
        "import sys, signal; from pathlib import Path; from training.local_hub.access import Token;"
        "from training.local_hub.server import running_hub\n"
        "with running_hub(Path(sys.argv[1]), tokens={'hf_all': Token('me')}) as endpoint:\n"
        "    print(endpoint, flush=True); signal.pause()"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", command, str(tmp_path / "own")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout
    endpoint = server.stdout.readline().strip()
    try:
        process = psutil.Process(server.pid)
        upload = f"""
hub = hf.HfApi(endpoint={endpoint!r})
hub.create_repo("me/digits")
answer = hub.upload_file(path_or_fileobj=%r, path_in_repo=%r, repo_id="me/digits").oid
"""
        (tmp_path / "small.h5").write_bytes(b"small")
        ask(upload % ("small.h5", "small.h5"))
        before = process.memory_info().rss
        ask(upload.replace("hub.create_repo", "#") % ("large.h5", "large.h5"))
        peak = int(Path(f"/proc/{server.pid}/status").read_text().split("VmHWM:")[1].split()[0])
        assert peak * 1024 - before < 100e6
    finally:
        server.kill()
        server.wait()
