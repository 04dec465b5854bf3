"""After any failure the public finds the old release or the new one, and the next run completes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import close_session, constants, file_download

from tests.conftest import ROOT
from tests.test_release import (
    MODEL,
    SPACE,
    TOKENS,
    Release,
    call_from_here,
    measure_anew,
    other_reader,
    release_on,
)
from training import deploy, hub
from training.deploy import stage_space
from training.golden import ANSWERS
from training.local_hub.server import running_hub
from training.local_hub.storage import Commit, Repository
from training.publish import publish
from training.stage import StageError, sha256
from training.verify import ask_for, verify

FAULTS = ("429", "500", "503", "drop", "delay", "stop", "kill")
# The clients, the Space's too, ask it for themselves, once a process, and do without an answer.
CLIENTS_OWN = "GET /api/agent-harnesses"
GOLDEN = re.compile(r"golden/.*\.png")
CLIENT_SECONDS = 1.0  # that a client waits where a fault strikes; a delay exceeds it

pytestmark = pytest.mark.slow


class Stage:
    """A Hub that can be stopped and started, with two releases to put on it."""

    def __init__(self, folder: Path, build: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self.start(0)
        self.old = release_on(folder, self.endpoint, build)
        self.new = Release(
            Path(shutil.copytree(build, folder / "new")),
            self.endpoint,
            self.old.folder,
            self.old.environment,
        )
        for release in (self.old, self.new):
            keep_few_golden(release.build)
        other_reader(self.new.build)

    def start(self, port: int) -> None:
        running = running_hub(self.folder / "hub", port, TOKENS)
        self.endpoint = self._stack.enter_context(running)

    def stop(self) -> None:
        self._stack.close()

    def order(self, **fault: Any) -> list[str]:
        """Order a fault; return the requests seen since the last order."""
        seen: list[str] = httpx.post(f"{self.endpoint}/_faults", json=fault).json()
        return seen

    def distinct(self, command: Callable[[], object]) -> list[str]:
        """The requests that a command makes, each once; of those for golden drawings one."""
        forget(self.new)
        self.order()
        command()
        asked = [request for request in self.order() if request != CLIENTS_OWN]
        alike = {GOLDEN.sub("golden", request): request for request in reversed(asked)}
        return list(reversed(alike.values()))

    def strike(self, request: str, answer: str, command: Callable[[], object], *shell: str) -> None:
        """Let a command meet a fault, in this process, or in one of its own to be killed."""
        if answer == "kill":
            environment = os.environ | self.new.environment
            arguments = [sys.executable, "-m", "training", *shell]
            with (self.folder / "killed.log").open("wb") as said:
                process = subprocess.Popen(
                    arguments, cwd=ROOT, env=environment, stdout=said, stderr=said
                )
                self.order(wanted=request, answer=answer, process=process.pid)
                assert process.wait(180) == -9, (request, (self.folder / "killed.log").read_text())
            return
        self.order(wanted=request, answer=answer, seconds=CLIENT_SECONDS * 1.5)
        with suppress(StageError), pytest.MonkeyPatch.context() as hurried:
            limit_clients(hurried, CLIENT_SECONDS)
            command()
        if answer == "stop":
            self.stop()
            self.start(int(self.endpoint.rpartition(":")[2]))


def keep_few_golden(build: Path) -> None:
    """Leave verify a few drawings to ask for: it is run after every fault."""
    golden = build / "model" / "golden"
    answers = json.loads((golden / ANSWERS).read_text())
    few = {name: answers[name] for name in ("0-0.png", "blank.png", "no-digit.png")}
    for name in answers.keys() - few.keys():
        (golden / name).unlink()
    (golden / ANSWERS).write_text(json.dumps(few))
    measure_anew(build)


@pytest.fixture(scope="module")
def stage(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("faults"), build)
    yield stage
    stage.stop()


@pytest.fixture(autouse=True)
def hurried(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pauses are short; what makes a command lose patience, too, is in `strike`."""
    call_from_here(stage.endpoint, tmp_path, monkeypatch)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.05)))
    close_session()
    yield
    stage.order()
    close_session()


def limit_clients(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set how long the clients in this process wait for an answer."""
    monkeypatch.setattr(hub, "ANSWER_SECONDS", seconds)
    for module in (constants, file_download):
        for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, seconds)


def forget(release: Release) -> None:
    """Empty what the clients have kept: else they do not ask."""
    for cache in (constants.HF_HUB_CACHE, release.environment["HF_HOME"]):
        shutil.rmtree(cache, ignore_errors=True)


def contents(repository: Repository, commit: Commit) -> dict[str, str]:
    """Every file's sha256, but the Hub's own."""
    files = {path: sha256(repository.content(file)) for path, file in commit.files.items()}
    files.pop(".gitattributes", None)
    return files


def folder_contents(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): sha256(file)
        for file in folder.rglob("*")
        if file.is_file()
    }


def is_whole_release(stage: Stage, commit: Commit) -> str:
    """Hold a commit's files against its own metrics; return its version."""
    repository = Repository(stage.old.folder, "model", MODEL)
    found = contents(repository, commit)
    metrics = json.loads(repository.content(commit.files["metrics.json"]).read_text())
    wanted = {name: file["sha256"] for name, file in metrics["files"].items()}
    assert found.keys() - wanted.keys() == {"README.md", "metrics.json"}
    assert {name: found[name] for name in wanted} == wanted
    version: str = metrics["release"]["version"]
    assert version in repository.content(commit.files["README.md"]).read_text()
    return version


def test_publishing_survives_every_fault(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = stage.old.folder / "models"
    publish(stage.old.build, MODEL)
    shutil.copytree(models, tmp_path / "models")
    (old,) = stage.old.tags().values()

    def reset() -> None:
        shutil.rmtree(models)
        forget(stage.new)
        shutil.copytree(tmp_path / "models", models)

    command = partial(publish, stage.new.build, MODEL)
    requests = stage.distinct(command)
    count = 0
    for request in requests:
        for answer in FAULTS:
            print(request, answer)
            reset()
            stage.strike(request, answer, command, "publish", "--build", str(stage.new.build))
            for version, id in stage.old.tags().items():
                tagged = Repository(stage.old.folder, "model", MODEL).commit_at(id)
                assert is_whole_release(stage, tagged) == version, (request, answer)
            head = stage.old.commits()[0]
            is_whole_release(stage, head)
            assert old in (head.id, head.parent), (request, answer)
            stage.order()
            published = command()
            head = stage.old.commits()[0]
            assert published["commit"] == head.id and head.parent == old, (request, answer)
            assert stage.old.tags()[published["version"]] == head.id, (request, answer)
            assert len(stage.old.tags()) == 2, (request, answer)
            count += 1
    with capsys.disabled():
        print(f"\npublish: {len(requests)} requests, {count} faults survived")
    assert len(requests) >= 10


def test_deploying_and_verifying_survive_every_fault(
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(deploy, "LIMIT_SECONDS", 180.0)
    wanted = {}
    for release in (stage.old, stage.new):
        published = publish(release.build, MODEL)
        stage_space(tmp_path / "space", SPACE, published)
        wanted[published["commit"]] = folder_contents(tmp_path / "space")

    def state() -> str:
        """The commit of the release that the Space holds, whole, and serves."""
        repository = Repository(stage.old.folder, "space", SPACE)
        head = stage.old.commits("space", SPACE)[0]
        release = json.loads(repository.content(head.files["release.json"]).read_text())
        assert contents(repository, head) == wanted[release["commit"]]
        runtime = stage.old.hub.wait_for_space(SPACE, timeout=60, poll_interval=0.1)
        assert (runtime.stage, runtime.raw["sha"]) == ("RUNNING", head.id)
        page = str(stage.old.hub.space_info(SPACE).host)
        assert ask_for(page, stage.old.build / "model" / "golden" / "0-0.png")["model"] == release
        return str(release["commit"])

    def served(release: Release) -> None:
        deploy.deploy(release.build, SPACE)
        verify(release.build, SPACE)

    served(stage.old)
    asked = {
        "deploy": stage.distinct(partial(deploy.deploy, stage.new.build, SPACE)),
        "verify": stage.distinct(partial(verify, stage.new.build, SPACE)),
    }
    asked["deploy"] = [one for one in asked["deploy"] if MODEL not in one]  # the Space's own
    current, other = stage.new, stage.old
    counts = dict.fromkeys(asked, 0)
    for request in asked["deploy"]:
        for answer in FAULTS:
            print(request, answer)
            command = partial(deploy.deploy, other.build, SPACE)
            stage.strike(request, answer, command, "deploy", "--build", str(other.build))
            stage.order()
            assert state() in wanted, (request, answer)
            served(other)
            current, other = other, current
            counts["deploy"] += 1
    for request in asked["verify"]:
        for answer in FAULTS:
            print(request, answer)
            before = stage.old.commits("space", SPACE)[0].id
            forget(current)
            command = partial(verify, current.build, SPACE)
            stage.strike(request, answer, command, "verify", "--build", str(current.build))
            stage.order()
            assert state() in wanted, (request, answer)  # a Hub that stopped starts its Spaces anew
            assert stage.old.commits("space", SPACE)[0].id == before, (request, answer)
            assert verify(current.build, SPACE), (request, answer)
            counts["verify"] += 1
    with capsys.disabled():
        for name, count in counts.items():
            print(f"\n{name}: {len(asked[name])} requests, {count} faults survived")
    assert min(counts.values()) >= 20
