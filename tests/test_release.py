"""Publish, deploy, verify: the commands, against the stand-in for the Hub and a Space that runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from tests.conftest import ROOT, run_training
from training import deploy
from training.card import README
from training.deploy import DeployError
from training.local_hub.access import Token
from training.local_hub.server import running_hub
from training.local_hub.storage import Commit, Repository

MODEL, SPACE = "local/handwritten-digits", "local/draw-a-digit"
TOKENS = {
    "hf_local": Token("local"),
    "hf_other": Token("other"),
    "hf_one": Token("local", frozenset({f"model {MODEL}"})),
}
LIMIT = 90.0


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
    assert f"{version}, release number 1 of `{MODEL}`: 1 has been\nscored on the test set" in card


def test_what_is_published_is_not_published_again(release: Release) -> None:
    first = release.run("publish")
    again = release.run("publish")
    assert (first.returncode, again.returncode) == (0, 0)
    assert "holds this release already" in again.stderr
    assert len(release.commits()) == 2 and len(release.tags()) == 1


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
    card = (release.build / "model" / "README.md").read_text()
    assert "published nevertheless, for this\nreason: a rehearsal." in card


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"HF_MODEL_ID": ""}, "HF_MODEL_ID is '', not a repository. Set it: export HF_MODEL_ID="),
        ({"HF_TOKEN": "hf_unknown"}, r"refused \(HTTP 401\)\. Set HF_TOKEN"),
        ({"HF_TOKEN": "hf_other"}, r"refused \(HTTP 403\)\. The token may not write"),
        ({"HF_TOKEN": "hf_one"}, r"refused \(HTTP 401\).*create it by hand at http.*/new: a"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, r"could not be reached \(ConnectError\)"),
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
    assert card["preload_from_hub"] == [f"{MODEL} model.tflite,metrics.json {pin['commit']}"]


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


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("requirements.txt", "numpy==2.4.6", "numpy==0.0.1", r"BUILD_ERROR.*numpy==0\.0\.1"),
        ("requirements.txt", "scipy==", "# scipy==", r"RUNTIME_ERROR.*No module named 'scipy'"),
        ("app.py", "satisfy_zero_gpu()\n", "sys.exit('no more')\n", "RUNTIME_ERROR.*no more"),
    ],
    ids=["wrong pin", "missing requirement", "crash at start"],
)
def test_a_space_that_does_not_run_fails_to_deploy_with_the_end_of_its_log(
    live: Release,
    broken: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    old: str,
    new: str,
    said: str,
) -> None:
    edit(broken / name, old, new)
    monkeypatch.setattr(constants, "ENDPOINT", live.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_local")
    with pytest.raises(DeployError) as caught:
        deploy.deploy(live.build, "local/broken", LIMIT)
    assert re.search(said, str(caught.value), re.DOTALL), caught.value


def test_a_pin_of_a_release_that_is_not_there_fails_to_deploy(
    live: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"id": MODEL, "commit": "0" * 40, "version": "v2000.01.01.1"}
    (tmp_path / "published.json").write_text(json.dumps(nowhere))
    monkeypatch.setattr(constants, "ENDPOINT", live.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_local")
    with pytest.raises(DeployError, match=r"RUNTIME_ERROR(.|\n)*could not be downloaded"):
        deploy.deploy(tmp_path, "local/broken", LIMIT)


def test_a_space_that_is_not_up_in_time_fails_to_deploy(
    live: Release, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(broken / "app.py", "def main() -> None:", "import time\n\n\ndef main() -> None:")
    edit(broken / "app.py", "satisfy_zero_gpu()\n", "time.sleep(60)\n")
    monkeypatch.setattr(constants, "ENDPOINT", live.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_local")
    with pytest.raises(DeployError, match="still APP_STARTING after 6 s"):
        deploy.deploy(live.build, "local/broken", 6)


def test_wrong_golden_answers_are_seen(
    live: Release, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(broken / "reader" / "classifier.py", "confidence = max(prob", "confidence = min(prob")
    (broken / "notes.txt").write_text("of no use")
    with monkeypatch.context() as patched:
        patched.setattr(constants, "ENDPOINT", live.endpoint)
        patched.setenv("HF_TOKEN", "hf_local")
        deploy.deploy(live.build, "local/wrong", LIMIT)
    done = live.run("verify", HF_SPACE_ID="local/wrong")
    assert done.returncode == 1
    assert re.search(
        r"local/wrong answers 20 of 22 golden drawings otherwise than the release did: 0-0\.png "
        r"unsure \([\d.]+\) instead of 0 ",
        done.stderr.splitlines()[-1],
    ), done.stderr
    assert "notes.txt" in live.commits("space", "local/wrong")[0].files
    assert live.run("deploy", HF_SPACE_ID="local/wrong").returncode == 0
    assert "notes.txt" not in live.commits("space", "local/wrong")[0].files


def test_a_space_that_is_not_there_does_not_answer(live: Release) -> None:
    done = live.run("verify", HF_SPACE_ID="local/nothing")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: The Space local/nothing does not answer")


def python_blocks(document: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    ("block", "says"), [(0, "3 0.9"), (1, "3 0.9"), (2, "Total params: 114,842")]
)
def test_the_cards_snippets_run_as_printed(
    live: Release, tmp_path: Path, block: int, says: str
) -> None:
    code = python_blocks(live.build / "model" / "README.md")[block]
    assert json.loads((live.build / "published.json").read_text())["version"] in code
    assert says in run_snippet(live, code, tmp_path)


@pytest.mark.parametrize(
    ("block", "says"), [(0, "3 0.9"), (1, "114842 114842"), (2, "3\n"), (3, "3 0.9")]
)
def test_the_readmes_snippets_run_as_printed(
    live: Release, tmp_path: Path, block: int, says: str
) -> None:
    code = python_blocks(README)[block]
    for version in re.findall(r'revision="(v.*?)"', code):
        live.hub.create_tag(MODEL, tag=version, exist_ok=True)
    code = code.replace("http://127.0.0.1:7860", str(live.hub.space_info(SPACE).host))
    shutil.copytree(ROOT / "space", tmp_path / "space")
    assert says in run_snippet(live, code, tmp_path)


def run_snippet(live: Release, code: str, folder: Path) -> str:
    shutil.copy(ROOT / "space" / "examples" / "three.png", folder / "digit.png")
    environment = os.environ | live.environment | {"MODEL_DIR": str(live.build / "model")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_space_that_serves_another_commit_is_seen(live: Release) -> None:
    file = live.build / "published.json"
    made = live.hub.upload_file(
        path_or_fileobj=b"later", path_in_repo="notes.txt", repo_id=MODEL, commit_message="Later"
    )
    file.write_text(json.dumps(json.loads(file.read_text()) | {"commit": made.oid}))
    done = live.run("verify")
    assert done.returncode == 1
    assert re.search(
        rf"serves {MODEL} v.* at [0-9a-f]{{40}}, not {MODEL} v.* at {made.oid}\. Deploy it",
        done.stderr.splitlines()[-1],
    )
