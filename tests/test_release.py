"""Publish, deploy, verify: the commands, against the stand-in for the Hub and a Space that runs."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import httpx2
import numpy as np
import psutil
import pytest
from gradio_client import Client
from huggingface_hub import HfApi, constants, hf_api, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError

from space.reader import SERVED
from tests.conftest import ROOT, run_training
from tests.photographs import photograph
from training import deploy, hub, rollback
from training import verify as verifying
from training.card import README, render_card
from training.deploy import DeployError
from training.hub import RefusedError
from training.local_hub.access import Token
from training.local_hub.server import running_hub
from training.local_hub.storage import Commit, Repository
from training.publish import hash_sources, publish
from training.rollback import or_put_back, roll_back
from training.stage import StageError, describe_files
from training.start import find_network
from training.strokes import trace
from training.verify import (
    VerifyError,
    ask,
    ask_for,
    check,
    differs,
    keeps_contract,
    read_deployed,
    verify,
)

MODEL, SPACE = "local/handwritten-digits", "local/draw-a-digit"
THREE = (ROOT / "space" / "examples" / "three.png").read_bytes()
TOKENS = {
    "hf_local": Token("local"),
    "hf_other": Token("other"),
    "hf_one": Token("local", frozenset({f"model {MODEL}"})),
}


@dataclass
class Release:
    """A build folder, a Hub, and what a shell would export."""

    build: Path
    endpoint: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, **changed: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | self.environment | changed
        return run_training(*command, "--build", self.build, env=environment)

    def commits(self, kind: str = "model", id: str = MODEL) -> list[Commit]:
        return list(Repository(self.folder, kind, id).history("main"))

    def tags(self) -> dict[str, str]:
        return Repository(self.folder, "model", MODEL).refs()["tags"]

    @property
    def hub(self) -> HfApi:
        return HfApi(endpoint=self.endpoint, token="hf_local")


def release_on(folder: Path, endpoint: str, build: Path) -> Release:
    """Copy what the stages made, and point the clients at the Hub."""
    copy = Path(shutil.copytree(build, folder / "build"))
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": "hf_local",
        "HF_HOME": str(folder / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_MODEL_ID": MODEL,
        "HF_SPACE_ID": SPACE,
    }
    return Release(copy, endpoint, folder / "hub", environment)


@pytest.fixture
def release(build: Path, tmp_path: Path) -> Iterator[Release]:
    """A release that is not published, and an empty Hub."""
    with running_hub(tmp_path / "hub", tokens=TOKENS) as endpoint:
        yield release_on(tmp_path, endpoint, build)


@pytest.fixture(scope="module")
def live(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """A release that is published, deployed and verified; not to be changed."""
    folder = tmp_path_factory.mktemp("live")
    with running_hub(folder / "hub", tokens=TOKENS) as endpoint:
        release = release_on(folder, endpoint, build)
        for command in ("publish", "deploy", "verify"):
            done = release.run(command)
            assert done.returncode == 0, done.stderr
            (folder / f"{command}.log").write_text(done.stderr)
        yield release


def test_a_release_is_one_commit_with_everything_and_a_tag(release: Release) -> None:
    done = release.run("publish")
    assert done.returncode == 0, done.stderr
    commit, _ = release.commits()
    files = {
        file.relative_to(release.build / "model").as_posix()
        for file in (release.build / "model").rglob("*")
        if file.is_file()
    }
    assert set(commit.files) == files | {".gitattributes"}
    ((version, tagged),) = release.tags().items()
    assert tagged == commit.id and re.fullmatch(r"v\d{4}\.\d\d\.\d\d\.1", version)
    published = json.loads((release.build / "published.json").read_text())
    assert published == {"id": MODEL, "commit": commit.id, "version": version}
    assert "| Test accuracy | 99." in (release.build / "gate.md").read_text()
    card = (release.build / "model" / "README.md").read_text()
    assert (
        f"{version} of `{MODEL}`. Releases scored on the test set so far, with this one: 1." in card
    )


def test_what_is_published_is_not_published_again(release: Release) -> None:
    first = release.run("publish")
    again = release.run("publish")
    assert (first.returncode, again.returncode) == (0, 0)
    assert "holds this release already" in again.stderr
    assert len(release.commits()) == 2 and len(release.tags()) == 1


def test_a_dry_run_says_what_would_be_published_and_changes_nothing(release: Release) -> None:
    done = release.run("publish", "--dry-run")
    assert done.returncode == 0 and "| Test accuracy | 99." in done.stderr
    assert done.stderr.endswith("A dry run: nothing was published\n")
    assert not (release.build / "published.json").exists()
    with pytest.raises(RepositoryNotFoundError):
        release.hub.model_info(MODEL)


def test_a_release_of_what_is_here_is_found(release: Release, tmp_path: Path) -> None:
    assert release.run("released").stdout == f"{MODEL} has no release of what is here\n"
    assert "| read right | here | no release yet |" in release.run("summary").stdout
    release.run("publish")
    file = release.build / "published.json"
    (version, commit) = next(iter(release.tags().items()))
    file.unlink()
    assert release.run("released").stdout == f"{MODEL} {version}\n"
    assert json.loads(file.read_text()) == {"id": MODEL, "commit": commit, "version": version}
    said = release.run("summary").stdout
    assert f"| here | {version} | change |" in said and said.count("| +0.00 points |") == 2
    release.hub.delete_tag(MODEL, tag=version)
    assert "has no release" in release.run("released").stdout  # it was not published to the end


def test_a_release_is_of_what_is_here_until_a_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "training", tmp_path / "training")
    shutil.copytree(ROOT / "space", tmp_path / "space")
    for name in ("model_card.md", "requirements.lock", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr("training.publish.ROOT", tmp_path)
    before = hash_sources()
    for name in ("space/app.py", "space/page.css", "training/local_hub/spaces.py", "README.md"):
        (tmp_path / name).write_text("another")
        assert hash_sources() == before, name
    for name in (
        "space/reader/preprocessing.py",
        "space/requirements.txt",
        "requirements.lock",
        "model_card.md",
        "training/config.py",
        "training/metric_modules/calibration_error.py",
    ):
        (tmp_path / name).write_text("another")
        assert hash_sources() != before, name
        before = hash_sources()


def test_a_release_that_ended_before_its_tag_gets_it(release: Release) -> None:
    release.run("publish")
    (tags,) = [release.tags()]
    (version,) = tags
    release.hub.delete_tag(MODEL, tag=version)
    assert release.run("publish").returncode == 0
    assert release.tags() == tags and len(release.commits()) == 2


def test_what_the_gate_refuses_is_forced_with_a_reason_that_card_and_tag_state(
    release: Release,
) -> None:
    file = release.build / "model" / "metrics.json"
    metrics = json.loads(file.read_text())
    metrics["test"]["accuracy"] = 0.98
    file.write_text(json.dumps(metrics))
    assert release.run("card").returncode == 0
    refused = release.run("publish")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        "error: Not published. Test accuracy: 98.00 %, required: at least 99.00 %. "
        "Train or evaluate anew, or pass --force with a reason."
    )
    assert len(release.commits()) == 1 and not release.tags()
    assert release.run("publish", "--force", "a rehearsal").returncode == 0
    assert release.commits()[0].message.endswith("Forced: a rehearsal")
    (tag,) = Repository(release.folder, "model", MODEL).folder.glob("tags/v*")
    assert tag.read_text() == "a rehearsal"
    card = (release.build / "model" / "README.md").read_text()
    assert "published nevertheless, for this\nreason: a rehearsal." in card


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"HF_MODEL_ID": ""}, "HF_MODEL_ID is '', not a repository. Set it: export HF_MODEL_ID="),
        ({"HF_TOKEN": "hf_unknown"}, r"refused \(HTTP 401\)\. Set HF_TOKEN"),
        ({"HF_TOKEN": "hf_other"}, r"refused \(HTTP 403\)\. The token may not write"),
        ({"HF_TOKEN": "hf_one"}, r"refused \(HTTP 401\).*create it by hand at http.*/new: a"),
    ],
)
def test_a_refusal_is_one_sentence_that_says_what_to_do(
    release: Release, changed: dict[str, str], said: str
) -> None:
    done = release.run("publish", **changed)
    assert done.returncode == 1
    assert re.search(rf"^error: .*{said}", done.stderr.splitlines()[-1]), done.stderr
    assert "Traceback" not in done.stderr
    assert not (release.build / "published.json").exists()


def test_a_token_for_this_repository_alone_is_enough_where_it_exists(release: Release) -> None:
    release.hub.create_repo(MODEL)
    assert release.run("publish", HF_TOKEN="hf_one").returncode == 0


def test_of_two_releases_at_the_same_moment_one_wins_and_the_other_says_so(
    release: Release, tmp_path: Path
) -> None:
    release.hub.create_repo(MODEL)
    builds = [release.build, Path(shutil.copytree(release.build, tmp_path / "second"))]
    other_reader(builds[1])
    late = {"wanted": f"POST /api/models/{MODEL}/commit/main", "answer": "delay", "seconds": 6.0}
    httpx.post(f"{release.endpoint}/_faults", json=late)
    environment = os.environ | release.environment
    command = [sys.executable, "-m", "training", "publish", "--build"]
    both = [
        subprocess.Popen(
            [*command, str(build)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        for build in builds
    ]
    said = [process.communicate()[1].splitlines()[-1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], said
    assert (
        "Someone else changed it at the same moment, and nothing was done" in said[codes.index(1)]
    )
    (commit, _), (tagged,) = release.commits(), release.tags().values()
    assert tagged == commit.id
    won, lost = builds[codes.index(0)], builds[codes.index(1)]
    assert json.loads((won / "published.json").read_text())["commit"] == commit.id
    assert not (lost / "published.json").exists()


@pytest.mark.slow  # a whole release, watched
def test_a_token_is_seen_nowhere_but_by_the_hub(build: Path, tmp_path: Path) -> None:
    planted = "hf_" + "Planted7" * 4
    seen: list[str] = []

    def look_at_processes() -> None:
        while not done.wait(0.05):
            for process in psutil.process_iter(["cmdline"]):
                seen.extend(process.info["cmdline"] or [])

    done = threading.Event()
    with running_hub(tmp_path / "hub", tokens={planted: Token("local")}) as endpoint:
        release = release_on(tmp_path, endpoint, build)
        watch = threading.Thread(target=look_at_processes)
        watch.start()
        for command in ("publish", "deploy", "verify"):  # refused, did it not reach the Hub
            said = release.run(command, HF_TOKEN=planted)
            assert said.returncode == 0, said.stderr
            assert planted not in said.stdout + said.stderr
        done.set()
        watch.join()
        pages = [child for child in psutil.Process().children() if "app.py" in child.cmdline()]
        assert pages and not any(planted in page.environ().values() for page in pages)
    assert any("deploy" in word for word in seen) and not any(planted in word for word in seen)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(files) > 100
    assert not [file for file in files if planted.encode() in file.read_bytes()]


def keyless(release: Release, resource: str) -> dict[str, str]:
    """What a step of a workflow has in its environment, and no other token."""
    return {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{release.endpoint}/_actions/identity?",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "workflow",
        "HF_OIDC_RESOURCE": resource,
        "HF_TOKEN": "",
    }


def test_a_workflow_publishes_without_a_key_where_the_repositories_are(release: Release) -> None:
    done = release.run("publish", **keyless(release, MODEL))
    assert done.returncode == 1
    assert re.search(r"HTTP 401.*create it by hand at .*/new: a token for one", done.stderr)
    release.hub.create_repo(MODEL)
    done = release.run("publish", **keyless(release, f"spaces/{SPACE}"))
    assert done.returncode == 1 and "HTTP 403" in done.stderr
    done = release.run("publish", **keyless(release, "other/digits"))
    assert done.returncode == 1 and "Trusted Publisher" in done.stderr
    assert "Traceback" not in done.stderr
    done = release.run("publish", **keyless(release, MODEL))
    assert done.returncode == 0, done.stderr
    assert len(release.tags()) == 1


def test_the_live_space_serves_the_commit_that_was_published(live: Release) -> None:
    said = (live.build.parent / "verify.log").read_text()
    assert "gives the release's 22 golden answers" in said
    (commit, *_) = live.commits("space", SPACE)
    pin = json.loads(
        Repository(live.folder, "space", SPACE).content(commit.files["release.json"]).read_text()
    )
    assert pin["commit"] == live.commits()[0].id
    assert f'Client("{SPACE}")' in (live.build / "space" / "README.md").read_text()
    card = live.hub.space_info(SPACE).card_data
    assert card["models"] == [MODEL]
    assert card["preload_from_hub"] == [f"{MODEL} {','.join(SERVED)} {pin['commit']}"]
    assert set(SERVED) <= set(live.commits()[0].files)


def test_the_live_space_has_its_own_folder_and_requirements_and_nothing_else(live: Release) -> None:
    (page,) = (
        child
        for child in psutil.Process().children()
        if "app.py" in child.cmdline() and child.environ()["SPACE_ID"] == SPACE
    )
    assert not Path(page.cwd()).is_relative_to(ROOT)
    assert {"app.py", "api.py", "reader", "release.json"} <= set(os.listdir(page.cwd()))
    look = "import importlib.util as u; print([n for n in {} if u.find_spec(n)])"
    others = ["training", "space", "tests", "tensorflow", "keras", "pytest"]
    done = subprocess.run(
        [page.cmdline()[0], "-c", look.format(others)],
        cwd=page.cwd(),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_space_that_serves_this_already_is_not_changed(live: Release) -> None:
    before = live.commits("space", SPACE)
    assert live.run("deploy").returncode == 0
    assert live.commits("space", SPACE) == before


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `space/` to break, deployed in the place of it."""
    copy = Path(shutil.copytree(deploy.SPACE, tmp_path / "space"))
    monkeypatch.setattr(deploy, "SPACE", copy)
    return copy


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")


@pytest.fixture
def here(live: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    """The same, for what is called in this process."""
    call_from_here(live.endpoint, tmp_path, monkeypatch)
    monkeypatch.setattr(deploy, "LIMIT_SECONDS", 60.0)
    yield live
    httpx.post(f"{live.endpoint}/_faults", json={})  # what a test that failed has left


def call_from_here(endpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point this process's Hub libraries at a Hub, as the environment does before an import."""
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(hf_api.api, "endpoint", endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_local")


BROKEN = "local/broken"
CRASH = ("import sys\n", "import sys\n\nsys.exit('no more')\n")  # before all that takes long


@pytest.mark.slow  # each starts three Spaces
@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("requirements.txt", "numpy==2.4.6", "numpy==0.0.1", r"BUILD_ERROR.*numpy==0\.0\.1"),
        ("requirements.txt", "scipy==", "# scipy==", r"RUNTIME_ERROR.*No module named 'scipy'"),
        ("app.py", *CRASH, "RUNTIME_ERROR.*no more"),
        (
            "reader/classifier.py",
            "confidence = max(prob",
            "confidence = min(prob",
            r"SURE of 22 golden drawings otherwise than the release did: "
            r"(\d)-\d\.png unsure \([\d.]+\) instead of \1 ",
        ),
        ("api.py", '"version": release.version', '"version": ""', "broken serves .* not "),
        (
            "api.py",
            "    return to_json(answer, self.classifier.release)",
            '    return {"digit": 0}',
            "broken answers in another form .*'digit': 0",
        ),
        ("api.py", 'api_name="classify"', 'api_name="read"', "broken does not answer"),
    ],
    ids=[
        "wrong pin",
        "missing requirement",
        "crash",
        "wrong answers",
        "other release",
        "another form",
        "no answer",
    ],
)
def test_a_broken_space_is_seen_and_put_back(
    here: Release,
    broken: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    old: str,
    new: str,
    said: str,
) -> None:
    monkeypatch.setattr(hub, "PAUSES", (0.1,))
    intact = (broken / name).read_text("utf-8")
    deploy.deploy(here.build, BROKEN)
    before = here.commits("space", BROKEN)[0]
    edit(broken / name, old, new)
    (broken / "notes.txt").write_text("of no use")
    with pytest.raises((DeployError, VerifyError)) as caught, or_put_back(here.build, BROKEN):
        deploy.deploy(here.build, BROKEN)
        verify(here.build, BROKEN)
    (broken / name).write_text(intact, "utf-8")
    golden = json.loads((here.build / "model" / "golden" / "answers.json").read_text())
    sure = sum(answer["digit"] is not None for answer in golden.values())
    assert re.search(said.replace("SURE", f" {sure}"), str(caught.value), re.DOTALL), caught.value
    version = json.loads((here.build / "published.json").read_text())["version"]
    assert str(caught.value).endswith(f"is back on {MODEL} {version}, which answers.")
    after, bad, *_ = here.commits("space", BROKEN)
    assert after.files == before.files and "notes.txt" in bad.files
    assert verify(here.build, BROKEN)


def test_a_first_space_that_does_not_run_has_nothing_to_be_put_back(
    here: Release, broken: Path
) -> None:
    edit(broken / "app.py", *CRASH)
    with pytest.raises(DeployError) as caught, or_put_back(here.build, "local/first"):
        deploy.deploy(here.build, "local/first")
    said = r"RUNTIME_ERROR.*no more.*It was not put back: .*has served nothing before"
    assert re.search(said, str(caught.value), re.DOTALL), caught.value


def test_a_rollback_in_the_meantime_is_not_undone(here: Release, tmp_path: Path) -> None:
    before = here.commits("space", SPACE)
    release = json.loads((here.build / "published.json").read_text())
    newer = release | {"version": "v2099.01.01.1"}  # as if this run had deployed it
    (tmp_path / "published.json").write_text(json.dumps(newer))
    with pytest.raises(VerifyError) as caught, or_put_back(tmp_path, SPACE):
        raise VerifyError("It answers otherwise.")
    said = f"It was not put back: {SPACE} is to serve {MODEL} {release['version']} by now."
    assert str(caught.value) == f"It answers otherwise. {said}"
    assert here.commits("space", SPACE) == before


def test_what_the_hub_gives_in_part_is_asked_for_again(
    here: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "PAUSES", (0.1,))
    given = [tmp_path / "an earlier download's"]

    def download(*arguments: Any, **options: Any) -> str:
        return str(given.pop()) if given else snapshot_download(*arguments, **options)

    monkeypatch.setattr(hub, "snapshot_download", download)
    commit = here.commits("space", SPACE)[0]
    folder = hub.fetch_folder(SPACE, "space", commit.id)
    assert all((folder / name).is_file() for name in commit.files) and not given


def test_a_space_that_serves_no_release_yet_is_to_be_deployed(here: Release) -> None:
    here.hub.create_repo("local/bare", repo_type="space", space_sdk="gradio")
    with pytest.raises(StageError, match="bare serves no release yet. Deploy one: python -m"):
        verify(here.build, "local/bare")


class Sleeper:
    """Stands in for the Hub: its Space is in these stages, one after the other."""

    def __init__(self, *stages: str) -> None:
        self.stages, self.visits = list(stages), 0

    def get_space_runtime(self, _: str) -> Any:
        if self.stages[0] == "unknown":
            self.stages.pop(0)
            raise httpx2.ReadTimeout("late")
        stage = self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
        return SimpleNamespace(stage=stage, raw={"sha": "new"})

    def space_info(self, _: str) -> Any:
        self.visits += 1
        return SimpleNamespace(host="http://127.0.0.1:9", sha="new")


def test_a_space_that_sleeps_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "POLL_SECONDS", 0)
    hub = Sleeper("SLEEPING", "SLEEPING", "APP_STARTING", "RUNNING")
    deploy.wait_until_it_runs(cast(HfApi, hub), "local/asleep", "new")
    assert (hub.stages, hub.visits) == (["RUNNING"], 2)


def test_a_hub_that_does_not_say_what_the_space_does_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deploy, "POLL_SECONDS", 0)
    monkeypatch.setattr(hub, "PAUSES", (0.0,))
    sleeper = Sleeper(*["BUILDING", "unknown"] * 5, "RUNNING")  # each time with all its patience
    deploy.wait_until_it_runs(cast(HfApi, sleeper), "local/unknown", "new")
    assert sleeper.stages == ["RUNNING"]


def test_a_space_that_this_machine_cannot_reach_is_not_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(*_: object) -> list[Any]:
        raise httpx.ConnectError("no route")

    monkeypatch.setattr(verifying, "ask", ask)
    monkeypatch.setattr(verifying, "HfApi", lambda: Sleeper("RUNNING"))
    monkeypatch.setattr(hub, "PAUSES", (0.0,))
    with pytest.raises(RefusedError, match="cannot be reached from here"):
        verifying.ask_patiently("local/far", Path(), [])


def test_a_space_that_does_not_answer_is_woken_before_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub_of_it, done = Sleeper("SLEEPING", "RUNNING"), []

    def ask(*_: object) -> list[Any]:
        if hub_of_it.stages != ["RUNNING"]:
            raise OSError("asleep")
        done.append("asked")
        return []

    monkeypatch.setattr(verifying, "ask", ask)
    monkeypatch.setattr(verifying, "HfApi", lambda: hub_of_it)
    monkeypatch.setattr(hub, "PAUSES", (0.0,))
    assert verifying.ask_patiently("local/asleep", Path(), []) == []
    assert done == ["asked"] and hub_of_it.visits == 2  # to know its commit, and to wake it


def test_a_space_that_its_owner_paused_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "put_back", lambda *_: pytest.fail("it was put back"))
    with (
        pytest.raises(StageError, match="is paused. Restart it at"),
        or_put_back(Path(), "local/paused"),
    ):
        deploy.wait_until_it_runs(cast(HfApi, Sleeper("PAUSED")), "local/paused", "new")


def test_a_space_that_waits_for_its_model_runs_and_does_not_verify(
    here: Release, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "PAUSES", (0.1,))
    edit(
        broken / "reader" / "classifier.py",
        "fetched = fetch(pin, anew)",
        "raise OSError('no route')",
    )
    deploy.deploy(here.build, "local/waiting")
    with pytest.raises(VerifyError) as caught:
        verify(here.build, "local/waiting")
    said = (
        r"local/waiting does not answer.*Its log ends with:.*could not be downloaded \(no route\)"
    )
    assert re.search(said, str(caught.value), re.DOTALL), caught.value


@pytest.mark.parametrize(
    ("wanted", "number", "said"),
    [
        ("GET /api/spaces/{}/logs/run", 1, "Its log is at http://127.*/spaces/{}[?]logs=cont"),
        ("GET /api/spaces/{}/commits/main", 1, "no more"),
        ("GET /api/spaces/{}/tree/*", 2, "no more"),
    ],
)
def test_a_hub_that_fails_meanwhile_does_not_keep_a_space_from_being_put_back(
    here: Release, broken: Path, wanted: str, number: int, said: str
) -> None:
    space = "local/" + re.sub(r"\W", "", wanted.split("/")[-2])
    edit(broken / "app.py", *CRASH)
    fault = {"wanted": wanted.format(space), "number": number, "answer": "503"}
    httpx.post(f"{here.endpoint}/_faults", json=fault)
    with pytest.raises(DeployError) as caught, or_put_back(here.build, space):
        deploy.deploy(here.build, space)
    seen = httpx.post(f"{here.endpoint}/_faults", json={}).json()
    assert seen.count(fault["wanted"]) >= number
    said = said.format(space) + ".*has served nothing before"
    assert re.search(said, str(caught.value), re.DOTALL), caught.value


def test_a_space_that_is_not_up_in_time_fails_to_deploy(
    here: Release, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(broken / "app.py", "import sys\n", "import time\n\ntime.sleep(60)\n")
    monkeypatch.setattr(deploy, "LIMIT_SECONDS", 6.0)
    with pytest.raises(DeployError, match="still APP_STARTING after 6 s"):
        deploy.deploy(here.build, "local/slow")


@pytest.mark.slow
def test_an_earlier_release_is_put_back_by_its_version(
    here: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads((here.build / "published.json").read_text())
    build = Path(shutil.copytree(here.build, tmp_path / "build"))
    other_reader(build)
    second = publish(build, MODEL)
    deploy.deploy(build, "local/two")
    assert check(second, "local/two")
    roll_back(build, MODEL, "local/two", first["version"])
    assert read_deployed("local/two") == first == json.loads((build / "published.json").read_text())
    roll_back(build, MODEL, "local/two", second["version"])
    assert here.commits("space", "local/two")[0].message.startswith("Return to ")
    assert check(second, "local/two")

    def check_otherwise(release: dict[str, str], id: str) -> object:
        if release == first:
            raise VerifyError("It answers otherwise.")
        return check(release, id)

    with monkeypatch.context() as patch:
        patch.setattr("training.rollback.check", check_otherwise)
        with pytest.raises(VerifyError, match=rf"is back on {MODEL} {second['version']}, which"):
            roll_back(build, MODEL, "local/two", first["version"])
    assert read_deployed("local/two") == second
    listed = here.run("releases").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == [second["version"], first["version"]]
    assert re.search(r"9\d\.\d\d % +99\.\d\d %$", listed[1])
    with pytest.raises(StageError, match=f"no release v1; there are: {second['version']}, v"):
        roll_back(build, MODEL, "local/two", "v1")


def other_reader(build: Path) -> None:
    """Make another release of a build: its reader has another comment."""
    folder = build / "model"
    with (folder / "preprocessing.py").open("a") as file:
        file.write("# another\n")
    measure_anew(build)


def measure_anew(build: Path) -> None:
    """Take a build's changed files for the measured ones."""
    folder = build / "model"
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["files"] = describe_files(folder)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    render_card(build)


def test_a_space_that_is_not_there_does_not_answer(live: Release) -> None:
    done = live.run("verify", HF_SPACE_ID="local/nothing")
    assert done.returncode == 1
    assert "local/nothing refused (HTTP 404). There is no such space" in done.stderr


def readers() -> int:
    """How many of gradio_client's readers wait for a Space: Python ends when they do."""
    found = 0
    for frame in sys._current_frames().values():
        while frame := frame.f_back:  # type: ignore[assignment]
            found += frame.f_code.co_name == "stream_messages"
    return found


def wait_for_readers() -> None:
    deadline = time.monotonic() + 20
    while readers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not readers()


def test_the_space_is_asked_as_by_a_visitor_and_nobody_waits_for_it_afterwards(
    here: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    class Watched(Client):  # type: ignore[misc]
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            shown.extend([*self.headers, *self.headers.values()])

    monkeypatch.setattr("training.verify.Client", Watched)
    golden = here.build / "model" / "golden"
    assert len(ask(SPACE, golden, ["0-0.png", "blank.png"])) == 2
    assert "user-agent" in shown
    assert not any("authorization" in word or "hf_local" in word for word in shown)
    wait_for_readers()


def test_a_hub_that_fails_is_not_taken_for_the_space(
    here: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "RETRIED", frozenset({0}))  # a connection kept too long is no answer
    before = here.commits("space", SPACE)
    fault = {"wanted": f"GET /api/spaces/{SPACE}", "number": 2, "answer": "503"}
    httpx.post(f"{here.endpoint}/_faults", json=fault)
    with pytest.raises(RefusedError, match="HTTP 503"), or_put_back(here.build, SPACE):
        verify(here.build, SPACE)
    assert here.commits("space", SPACE) == before


def test_a_published_release_is_there_to_go_on_from(here: Release) -> None:
    (version,) = here.tags()
    found = find_network(f"{MODEL}@{version}")
    assert found.read_bytes() == (here.build / "model" / "model.keras").read_bytes()
    with pytest.raises(StageError, match=r"v1999\.01\.01\.1 is neither a folder with model.keras"):
        find_network(f"{MODEL}@v1999.01.01.1")


def test_a_space_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio

    monkeypatch.setattr("gradio.utils.get_heartbeat_rate", lambda: 0.5)  # it lives, and only hangs
    monkeypatch.setattr("training.verify.LIMIT_SECONDS", 6.0)
    woken = threading.Event()
    page = gradio.Interface(lambda _: woken.wait(60), "file", "json", api_name="classify")
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True)
    with pytest.raises(TimeoutError):
        ask_for(url, ROOT / "space" / "examples" / "three.png")
    wait_for_readers()
    woken.set()
    page.close()


ANSWER = {
    "digit": 0,
    "reason": None,
    "probabilities": [0.95, *[0.05 / 9] * 9],
    "model": {"id": MODEL, "commit": "0" * 40, "version": "v2000.01.01.1"},
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, False),
        ({"probabilities": [0.95009, *[0.05 / 9] * 9]}, False),
        ({"probabilities": [0.95011, *[0.05 / 9] * 9]}, True),
        ({"probabilities": [math.nan, *[0.05 / 9] * 9]}, True),
        ({"digit": 1}, True),
        ({"digit": None, "reason": "unsure"}, True),
    ],
)
def test_an_answer_is_the_same_within_a_tenthousandth(
    changed: dict[str, Any], expected: bool
) -> None:
    assert differs(ANSWER | changed, ANSWER) is expected
    assert keeps_contract(ANSWER | changed)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "0",
        {},
        ANSWER | {"model": None},
        ANSWER | {"model": {}},
        ANSWER | {"probabilities": [1.0] * 9},
        ANSWER | {"probabilities": ["1"] * 10},
        {name: value for name, value in ANSWER.items() if name != "reason"},
    ],
)
def test_an_answer_in_another_form_is_seen(answer: object) -> None:
    assert not keeps_contract(answer)


def python_blocks(document: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.DOTALL)


def parameters(release: Release) -> int:
    metrics = json.loads((release.build / "model" / "metrics.json").read_text())
    return int(metrics["model"]["parameters"])


@pytest.mark.parametrize(
    ("block", "says"), [(0, "3 0.9"), (1, "3 0.9"), (2, "Total params: {0:,}")]
)
def test_the_cards_snippets_run_as_printed(
    live: Release, tmp_path: Path, block: int, says: str
) -> None:
    code = python_blocks(live.build / "model" / "README.md")[block]
    assert json.loads((live.build / "published.json").read_text())["version"] in code
    assert says.format(parameters(live)) in run_snippet(live, code, tmp_path)


def readme_block(live: Release, block: int) -> str:
    """A snippet of README; its version is a release's, and its page is where this one is."""
    code = python_blocks(README)[block]
    for version in re.findall(r'revision="(v.*?)"', code):
        live.hub.create_tag(MODEL, tag=version, exist_ok=True)
    return code.replace("http://127.0.0.1:7860", str(live.hub.space_info(SPACE).host))


@pytest.mark.parametrize(
    ("block", "says"), [(0, "3 0.9"), (1, "{0} {0}"), (2, "3\n"), (3, "3 0.9")]
)
def test_the_readmes_snippets_run_as_printed(
    live: Release, tmp_path: Path, block: int, says: str
) -> None:
    shutil.copytree(ROOT / "space", tmp_path / "space")
    said = run_snippet(live, readme_block(live, block), tmp_path)
    assert says.format(parameters(live)) in said


@pytest.mark.parametrize("document", ["card", "README"])
def test_a_photograph_is_read_as_printed_without_tensorflow(
    live: Release, tmp_path: Path, mnist: dict[str, Any], document: str
) -> None:
    card = python_blocks(live.build / "model" / "README.md")[0]
    code = card if document == "card" else readme_block(live, 0)
    picture = photograph(*trace(mnist["test_images"][0]), np.random.default_rng(1))
    code += "\nimport sys; print({'tensorflow', 'keras'} & sys.modules.keys())"
    said = run_snippet(live, code, tmp_path, picture).splitlines()
    assert said[-2].startswith(f"{mnist['test_labels'][0]} 0.9") and said[-1] == "set()"


def run_snippet(live: Release, code: str, folder: Path, picture: bytes = THREE) -> str:
    (folder / "digit.png").write_bytes(picture)
    environment = os.environ | live.environment | {"MODEL_DIR": str(live.build / "model")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_space_that_is_to_serve_another_release_is_not_blamed(live: Release) -> None:
    file = live.build / "published.json"
    published = file.read_text()
    file.write_text(json.dumps(json.loads(published) | {"version": "v2000.01.01.1"}))
    done = live.run("verify")
    file.write_text(published)
    assert done.returncode == 1
    assert re.search(rf"is to serve {MODEL} v.*, not {MODEL} v2000.* Deploy it", done.stderr)
    assert "put back" not in done.stderr
