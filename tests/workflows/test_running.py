"""The workflow files, run by act on this machine against a local Hub, as GitHub would run them.

Each test is a scenario that goes on where the one before it ended: one Hub, one repository. All but
the first bring what the first has trained.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi

from tests.conftest import ROOT
from tests.workflows.test_reading import actions
from training.local_hub.access import Token
from training.local_hub.mnist import seed_mnist
from training.local_hub.server import running_hub
from training.local_hub.storage import Commit, Repository

MODEL, SPACE = "local/handwritten-digits", "local/draw-a-digit"
PLANTED = "hf_" + "Planted7" * 4
STUBS = Path(__file__).parent / "actions"
FOREIGN = ("HF_", "GITHUB_", "ACTIONS_", "GRADIO_")  # what this machine would tell the runner
BIN = Path(sys.executable).parent
JOBS = {
    "train": "Train, unless this is released",
    "publish": "Publish what was trained",
    "deploy": "Make the Space serve it, and ask it",
    "rollback": "Serve an earlier release",
}
VARIABLES = (f"HF_MODEL_ID={MODEL}", f"HF_SPACE_ID={SPACE}", "PRESET=quick")
OFFERS = ("GET /_actions/identity", "POST /oauth/token")  # how a workflow without a key gets one

pytestmark = pytest.mark.slow


@dataclass
class Run:
    """How a run ended, and what it printed."""

    code: int
    log: str

    def ended(self, job: str) -> bool | None:
        """Tell whether a job succeeded; None if it did not run."""
        if f"/{job}" not in self.log:
            return None
        return re.search(rf"/{re.escape(job)}\s*\] .*Job succeeded", self.log) is not None


class Github:
    """A fork on GitHub, with the Hub it releases to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tree, self.build = folder, folder / "tree", folder / "build"
        self._runs = 0
        self._stack = ExitStack()
        seed_mnist(folder / "hub")
        self.start(0)
        self.api = HfApi(endpoint=self.endpoint, token="hf_local")
        self.api.create_repo(MODEL)
        self.api.create_repo(SPACE, repo_type="space", space_sdk="gradio")
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in listed.stdout.splitlines():
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.tree / name)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit()

    def start(self, port: int) -> None:
        tokens = {"hf_local": Token("local"), PLANTED: Token("local")}
        running = running_hub(self.folder / "hub", port, tokens)
        self.endpoint = self._stack.enter_context(running)

    def stop(self) -> None:
        self._stack.close()

    def git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=self.tree, check=True)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A change")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.tree / name).read_text("utf-8")
        assert old in text
        (self.tree / name).write_text(text.replace(old, new), "utf-8")
        self.commit()

    def run(
        self,
        event: str,
        *arguments: str,
        workflow: str = "release",
        secret: str = "",
        variables: tuple[str, ...] = VARIABLES,
    ) -> Run:
        """Let an event happen; return how its run ended."""
        self._runs += 1
        home = self.folder / f"run-{self._runs}"
        artifacts = home / "artifacts"
        artifacts.mkdir(parents=True)
        (home / "secrets").write_text(f"HF_TOKEN={secret}\n")
        environment = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.endpoint}/_actions/identity?",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "workflow",
            "ARTIFACTS": str(artifacts),
            "VENV": sys.prefix,
            "BUILD": str(self.build) if self.build.exists() else "",
            "UV_CACHE_DIR": str(self.folder / "uv"),
        }
        command = [
            str(BIN / "act"),
            event,
            *("--platform", "ubuntu-latest=-self-hosted", "--no-cache-server"),
            *("--workflows", f".github/workflows/{workflow}.yml"),
            *("--secret-file", str(home / "secrets"), "--insecure-secrets"),  # no log is mended
            *(f"--var={variable}" for variable in variables),
            *(f"--env={name}={value}" for name, value in environment.items()),
            *(f"--local-repository={use}={STUBS / name}" for use, name in actions().items()),
            *arguments,
        ]
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)
        }
        done = subprocess.run(
            command,
            cwd=self.tree,
            env=inherited | {"HOME": str(home), "XDG_CONFIG_HOME": str(Path.home() / ".config")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(done.stdout)
        assert "hf_jwt_" not in done.stdout and PLANTED not in done.stdout
        self.artifacts = artifacts
        return Run(done.returncode, done.stdout)

    def asked(self, **fault: Any) -> list[str]:
        """Return what the Hub was asked since the last call; order a fault."""
        seen: list[str] = httpx.post(f"{self.endpoint}/_faults", json=fault).json()
        return seen

    def releases(self) -> dict[str, str]:
        return Repository(self.folder / "hub", "model", MODEL).refs()["tags"]

    def commits(self, kind: str, id: str) -> list[Commit]:
        return list(Repository(self.folder / "hub", kind, id).history("main"))

    def state(self) -> tuple[list[Commit], list[Commit]]:
        return self.commits("model", MODEL), self.commits("space", SPACE)

    def served(self) -> str:
        """The version that the Space serves."""
        file = self.commits("space", SPACE)[0].files["release.json"]
        content = Repository(self.folder / "hub", "space", SPACE).content(file)
        version: str = json.loads(content.read_text())["version"]
        return version

    def keep_what_was_trained(self) -> None:
        """Let the runs from now on begin with it."""
        with tarfile.open(self.artifacts / "model" / "model.tar") as packed:
            packed.extractall(self.build, filter="data")
        (self.build / "training").mkdir()
        shutil.copy(self.build / "model" / "history.json", self.build / "training")


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Github]:
    github = Github(tmp_path_factory.mktemp("github"))
    yield github
    github.stop()


def test_a_fork_that_was_not_set_up_releases_nothing_and_is_not_red(github: Github) -> None:
    run = github.run("push", variables=())
    assert run.code == 0 and [run.ended(job) for job in JOBS.values()] == [None] * 4
    assert not any(offer in request for request in github.asked() for offer in OFFERS)


def test_a_push_releases(github: Github) -> None:
    run = github.run("push")
    assert run.code == 0 and "Run Main Train, evaluate" in run.log
    assert [run.ended(job) for job in JOBS.values()] == [True] * 3 + [None]
    (version,) = github.releases()
    assert github.served() == version
    assert "gives the release's 22 golden answers" in run.log
    assert re.search(r"Summary - [^⭐]*Digits drawn on a canvas \| 9\d\.\d\d %", run.log)
    assert set(OFFERS) <= {request.split("?")[0] for request in github.asked()}
    github.keep_what_was_trained()


def test_a_push_that_only_touches_the_page_redeploys_without_training(github: Github) -> None:
    models, (before, *_) = github.state()
    (version,) = github.releases()
    with (github.tree / "space" / "page.css").open("a") as file:
        file.write("/* another look */\n")
    github.commit()
    run = github.run("push")
    assert run.code == 0
    assert "Run Main Train, evaluate" not in run.log
    assert run.ended(JOBS["publish"]) is None and run.ended(JOBS["deploy"])
    after = github.state()
    assert after[0] == models
    changed = {name for name, file in after[1][0].files.items() if before.files.get(name) != file}
    assert changed == {"page.css"} and github.served() == version


def test_a_pull_request_publishes_nothing_and_asks_for_no_token(github: Github) -> None:
    before = github.state()
    github.asked()
    run = github.run("pull_request", "--job", "rehearse", workflow="ci")
    assert run.code == 0
    assert (github.artifacts / "figures" / "confusion_matrix.png").is_file()
    (version,) = github.releases()
    assert re.search(rf"Summary - [^⭐]*\| {version} \| change", run.log)
    assert "answers:" in run.log and github.state() == before
    asked = github.asked()
    assert asked and all(request.startswith(("GET", "HEAD")) for request in asked)
    assert not any(offer in request for request in asked for offer in OFFERS)
    run = github.run("pull_request")
    assert "Could not find any stages to run" in run.log


def test_a_worse_model_is_stopped_by_the_gate(github: Github) -> None:
    before, good = github.state(), github.folder / "good"
    shutil.copytree(github.build, good)
    metrics_file = github.build / "model" / "metrics.json"
    metrics = json.loads(metrics_file.read_text())
    metrics["test"]["accuracy"] = 0.98
    metrics_file.write_text(json.dumps(metrics))
    github.edit("training/config.py", "# The article's", "# Of old: the article's")
    run = github.run("push")
    assert run.code == 1
    assert run.ended(JOBS["train"]) and run.ended(JOBS["publish"]) is False
    assert run.ended(JOBS["deploy"]) is None
    assert "Not published. Test accuracy: 98.00 %, required: at least 99.00 %" in run.log
    assert re.search(r"Summary - [^⭐]*\| Test accuracy \| 98\.00 %", run.log)
    assert github.state() == before
    shutil.rmtree(github.build)
    good.rename(github.build)


def test_a_dry_run_changes_nothing(github: Github) -> None:
    before = github.state()
    github.asked()
    run = github.run("workflow_dispatch", "--input", "dry_run=true", "--input", "preset=quick")
    assert run.code == 0
    assert run.ended(JOBS["train"]) and run.ended(JOBS["publish"]) is None
    assert run.ended(JOBS["deploy"]) is None
    assert "A dry run: nothing was published" in run.log
    assert re.search(r"Summary - [^⭐]*\| Test accuracy \| 99\.", run.log)
    asked = github.asked()
    assert all(request.startswith(("GET", "HEAD")) for request in asked)
    assert not any(offer in request for request in asked for offer in OFFERS)
    assert github.state() == before


def test_a_hub_that_fails_in_the_middle_is_found_as_it_was_by_the_next_run(github: Github) -> None:
    (first,) = github.releases()
    _, (space, *_) = github.state()
    github.asked(wanted=f"POST /api/spaces/{SPACE}/commit/main", answer="stop")
    run = github.run("push")  # of what the gate stopped: now it is the good model
    assert run.code == 1
    assert run.ended(JOBS["publish"]) and run.ended(JOBS["deploy"]) is False
    assert "it goes on where it stopped" in run.log
    assert github.state()[1][0] == space
    github.stop()
    github.start(int(github.endpoint.rpartition(":")[2]))
    run = github.run("push")
    assert run.code == 0 and run.ended(JOBS["deploy"])
    assert len(github.releases()) == 2 and github.served() != first


def test_a_broken_space_is_put_back_and_the_run_is_red(github: Github) -> None:
    before = github.state()
    version = github.served()
    github.edit("space/api.py", 'api_name="classify"', 'api_name="read"')
    run = github.run("push", secret=PLANTED)  # with the token that the documentation calls second
    assert run.code == 1
    assert run.ended(JOBS["train"]) and run.ended(JOBS["deploy"]) is False
    assert f"is back on {MODEL} {version}, which answers." in run.log
    models, (space, *_) = github.state()
    assert models == before[0] and space.files == before[1][0].files
    github.edit("space/api.py", 'api_name="read"', 'api_name="classify"')


def test_an_earlier_release_is_served_again_by_hand(github: Github) -> None:
    first, second = github.releases()
    assert github.served() == second
    run = github.run("workflow_dispatch", "--input", f"rollback={first}")
    assert run.code == 0
    assert run.ended(JOBS["rollback"]) and run.ended(JOBS["train"]) is None
    assert github.served() == first
    assert list(github.releases()) == [first, second]
