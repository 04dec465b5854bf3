"""The workflow files, read: what act does not enforce, and what must agree with the project."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from training.doctor import VERSIONS
from training.publish import SOURCES

FOLDER = ROOT / ".github" / "workflows"
STUBS = Path(__file__).parent / "actions"
PINNED = re.compile(r"uses: (actions/[\w-]+@[0-9a-f]{40}) # v\d+\.\d+\.\d+$", re.MULTILINE)
WRITING = {"publish", "deploy", "rollback"}  # to the Hub


@cache
def read(name: str) -> dict[str, Any]:
    """Return a workflow; YAML takes its key `on` for true."""
    workflow: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text("utf-8"))
    return workflow


def jobs() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (name, job, content)
        for name in ("ci.yml", "release.yml")
        for job, content in read(name)["jobs"].items()
    ]


def actions() -> dict[str, str]:
    """The pinned actions that are not act's own, and the names of their stubs."""
    text = "".join(file.read_text("utf-8") for file in FOLDER.iterdir())
    found = set(PINNED.findall(text))
    assert len(found) == len(set(re.findall(r"uses: (\S+@\S*)", text))), "one is not pinned"
    names = {use: use.split("/")[1].split("@")[0] for use in found}
    return {use: name for use, name in names.items() if name != "checkout"}


def test_every_action_is_pinned_to_a_commit_and_one_version_and_has_a_stub() -> None:
    assert sorted(actions().values()) == sorted(stub.name for stub in STUBS.iterdir())


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_a_workflow_may_nothing_at_the_top(name: str) -> None:
    assert read(name)["permissions"] == {}
    assert read(name).get("env", {}).keys() <= {"HF_MODEL_ID", "HF_SPACE_ID"}


def test_every_permission_says_what_it_is_for() -> None:
    for file in FOLDER.iterdir():
        granted = re.findall(r"^ +[a-z-]+: (?:read|write)\b(.*)", file.read_text("utf-8"), re.M)
        assert granted and all(re.match("  # .{10}", reason) for reason in granted)


@pytest.mark.parametrize("change", [None, "another", "none"])
def test_publish_takes_nothing_but_what_was_trained(tmp_path: Path, change: str | None) -> None:
    steps = {
        step.get("name"): step
        for job in ("train", "publish")
        for step in read("release.yml")["jobs"][job]["steps"]
    }
    file = tmp_path / "build" / "model" / "file"
    file.parent.mkdir(parents=True)
    file.write_text("trained")
    pack = steps["Pack the release"]["run"].splitlines()
    environment = os.environ | {"GITHUB_OUTPUT": str(tmp_path / "output")}
    run = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True)
    run(["bash", "-e", "-c", "\n".join(pack[1:])], env=environment, check=True)
    sha256 = (tmp_path / "output").read_text().strip().removeprefix("sha256=")
    file.unlink()
    if change == "another":
        with (tmp_path / "build" / "model.tar").open("ab") as packed:
            packed.write(b"planted")
    elif change == "none":
        sha256 = ""
    check = steps["Check that it is what was trained"]["run"]
    done = run(["bash", "-e", "-c", check], env=environment | {"SHA256": sha256})
    assert (done.returncode == 0) is file.exists() is (change is None), done.stderr


@pytest.mark.parametrize(("name", "job", "content"), jobs())
def test_a_job_may_what_it_needs_and_no_more(name: str, job: str, content: dict[str, Any]) -> None:
    writes = name == "release.yml" and job in WRITING
    identity = {"id-token": "write"} if writes else {}
    assert content["permissions"] == {"contents": "read"} | identity
    assert (content.get("environment") == "production") is writes
    assert ("secrets." in str(content)) is ("HF_OIDC_RESOURCE" in str(content)) is writes
    assert 0 < content["timeout-minutes"] <= 60


@pytest.mark.parametrize(("name", "job", "content"), jobs())
def test_no_step_keeps_a_key_or_runs_what_somebody_typed(
    name: str, job: str, content: dict[str, Any]
) -> None:
    for step in content["steps"]:
        assert "${{" not in step.get("run", "")
        assert not {"HF_TOKEN", "HF_OIDC_RESOURCE"} & content.get("env", {}).keys()
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "cache" not in step.get("uses", "") and "cache" not in step.get("with", {})


def test_an_identity_is_for_one_repository_and_on_the_step_that_writes() -> None:
    commands = {"publish": ["publish"], "deploy": ["deploy", "verify"], "rollback": ["rollback"]}
    for job, wanted in commands.items():
        steps = read("release.yml")["jobs"][job]["steps"]
        steps = [step for step in steps if "HF_OIDC_RESOURCE" in step.get("env", {})]
        assert [step["run"].split("training ")[1].split()[0] for step in steps] == wanted
        for step in steps:
            resource = "vars.HF_MODEL_ID" if job == "publish" else "spaces/"
            assert resource in step["env"]["HF_OIDC_RESOURCE"]


@pytest.mark.parametrize("job", sorted(WRITING))
def test_nothing_is_written_from_another_branch(job: str) -> None:
    assert "github.ref == 'refs/heads/main'" in read("release.yml")["jobs"][job]["if"]


def test_releases_wait_for_each_other_and_are_never_cancelled() -> None:
    concurrency = read("release.yml")["concurrency"]
    nothing = "(inputs.dry_run || github.ref != 'refs/heads/main') && github.run_id"
    choices = f"{nothing} || inputs.rollback && 'rollback' || 'release'"
    assert concurrency == {"group": f"${{{{ {choices} }}}}", "cancel-in-progress": False}


def test_a_pull_request_starts_no_release_and_none_runs_with_rights() -> None:
    assert set(read("release.yml")[True]) == {"push", "schedule", "workflow_dispatch"}
    assert set(read("ci.yml")[True]) == {"push", "pull_request"}


def test_the_pythons_promised_are_tested() -> None:
    assert read("ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"] == list(VERSIONS)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"Python {VERSIONS[0]} to {VERSIONS[-1]}" in readme
    assert f"{VERSIONS[1]} or {VERSIONS[2]} is needed" in (ROOT / "Makefile").read_text("utf-8")


def test_the_first_set_up_is_short_and_asks_for_what_the_workflow_uses() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    steps = readme.split("### From a fork")[1].split("### From your machine")[0]
    numbers = re.findall(r"^(\d+)\. ", steps, re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    assert len(numbers) <= 10
    claims = "branch `main`, workflow `release.yml`"
    assert claims in steps and claims.replace("`", "") in (ROOT / "training/doctor.py").read_text()
    release = (FOLDER / "release.yml").read_text("utf-8")
    assert "branches: [main]" in release
    for name in set(re.findall(r"(?:vars|secrets)\.(\w+)", release)):
        assert f"`{name}`" in steps, name
    for name in re.findall(r"its step \*(.*?)\*", steps):
        assert f"- name: {name}\n" in release, name


def test_a_push_that_changes_the_sources_of_a_release_starts_one() -> None:
    paths = read("release.yml")[True]["push"]["paths"]
    covered = {path.removesuffix("**").rstrip("/") for path in paths if not path.startswith("!")}
    for pattern in SOURCES:
        assert {pattern, pattern.split("/")[0]} & covered, pattern
    assert all((ROOT / path).exists() for path in covered)
