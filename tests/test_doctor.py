"""`python -m training doctor` names what a release lacks, and where to click."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, SpaceInfo

from tests.conftest import run_training
from tests.test_hub import refusal
from training import doctor
from training.local_hub.access import Token
from training.local_hub.server import running_hub

MODEL, SPACE = "local/handwritten-digits", "local/draw-a-digit"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Hub with a model, a Space, and a Space of another kind."""
    tokens = {"hf_local": Token("local"), "hf_read": Token("local", frozenset())}
    with running_hub(tmp_path_factory.mktemp("hub"), tokens=tokens) as endpoint:
        api = HfApi(endpoint=endpoint, token="hf_local")
        api.create_repo(MODEL)
        api.create_repo(SPACE, repo_type="space", space_sdk="gradio")
        api.create_repo("local/other")
        api.create_repo("local/static", repo_type="space", space_sdk="static")
        for kind, id in (("space", "local/static"), ("model", "local/other")):
            api.upload_file(path_or_fileobj=b"", path_in_repo="a.html", repo_id=id, repo_type=kind)
        yield endpoint


@pytest.mark.parametrize(
    ("changed", "wrong", "said"),
    [
        ({}, 0, ["✓ Python: 3.", " as pinned\n", "✓ Identity: local's token\n"]),
        ({}, 0, [f"✓ Model: {{}}/{MODEL}\n", f"/spaces/{SPACE} on CPU basic, which needs PRO\n"]),
        (
            {"GITHUB_REPOSITORY": "you/digits"},
            0,
            [
                "– Trusted Publisher: for releases by Actions it must be repository you/digits, "
                f"branch main, workflow release.yml: {{}}/{MODEL}/settings\n",
                f"{{}}/spaces/{SPACE}/settings\n",
            ],
        ),
        ({"HF_TOKEN": ""}, 0, ["– Identity: no token here. A workflow with Trusted Publishers"]),
        (
            {"HF_TOKEN": "hf_unknown"},
            1,
            ["✗ Identity: the Hub refused HF_TOKEN (HTTP 401). Make another: {}/settings/tokens\n"],
        ),
        (
            {"HF_TOKEN": "hf_read"},
            1,
            ["✗ Identity: local's token may only read. Make one that may write: {}/settings/tok"],
        ),
        (
            {"HF_MODEL_ID": "", "GITHUB_REPOSITORY": "you/digits"},
            1,
            [
                "✗ Variable: HF_MODEL_ID is '', not a repository. Set it",
                "; for a workflow, set it at https://github.com/you/digits/settings/variables/actions",
            ],
        ),
        (
            {"HF_MODEL_ID": "local/none"},
            1,
            ["✗ Model: there is no {}/local/none, or it is", "/new\n"],
        ),
        (
            {"HF_SPACE_ID": "local/none"},
            1,
            ["✗ Space: there is no {}/spaces/local/none", "/new-space\n"],
        ),
        ({"HF_SPACE_ID": "local/static"}, 1, ["✗ Space: its SDK is static, not Gradio: delete it"]),
        (
            {"HF_MODEL_ID": "local/other"},
            1,
            ["✗ Model: The model local/other holds something else"],
        ),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, 3, ["✗ Model: http://127.0.0.1:9 could not be"]),
        ({"HF_OIDC_RESOURCE": MODEL}, 0, [f"✓ Identity: this workflow may write {MODEL}\n"]),
        (
            {"HF_OIDC_RESOURCE": "other/digits"},
            1,
            ["✗ Identity: other/digits does not trust this workflow (HTTP 403): see below\n"],
        ),
    ],
)
def test_what_is_missing_is_named(
    endpoint: str, tmp_path: Path, changed: dict[str, str], wrong: int, said: list[str]
) -> None:
    environment = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path),
        "HF_TOKEN": "hf_local",
        "HF_MODEL_ID": MODEL,
        "HF_SPACE_ID": SPACE,
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{endpoint}/_actions/identity?",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "workflow",
    }
    done = run_training("doctor", env=os.environ | environment | changed)
    for part in said:
        assert part.replace("{}", endpoint) in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("✗") == wrong and done.returncode == (1 if wrong else 0), done.stdout
    assert "Traceback" not in done.stderr
    if wrong:
        assert done.stderr.endswith(f"error: {wrong} of these must be mended before a release.\n")


@pytest.mark.parametrize(("status", "good"), [(503, None), (429, None), (403, False)])
def test_a_hub_that_is_busy_is_no_reason_to_mend_anything(
    status: int, good: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise refusal(status)

    monkeypatch.setenv("HF_TOKEN", "hf_local")
    for question in ("repo_info", "whoami"):
        monkeypatch.setattr(doctor.HfApi, question, refuse)
    assert doctor.examine_repository(MODEL, "model").good is good
    identity = doctor.examine_identity()
    assert identity.good is good
    assert ("Make another" in identity.said) is (good is False)


def test_a_login_in_the_browser_has_no_token_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_oauth")
    user = {"name": "somebody", "auth": {"type": "oauth"}}
    monkeypatch.setattr(doctor.HfApi, "whoami", lambda *_: user)
    assert doctor.examine_identity() == doctor.Finding("Identity", True, "somebody's token")


def test_packages_that_are_not_as_pinned_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib.metadata

    from training.doctor import examine_packages

    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.1" if name == "keras" else version(name)
    )
    found = examine_packages()
    assert not found.good and "keras 0.1 instead of 3." in found.said
    assert found.said.endswith("Install them: make install")


def test_a_python_that_is_not_tested_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.doctor import examine_python

    assert examine_python().good
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.13")
    found = examine_python()
    assert not found.good and found.said.startswith(
        "3.10.13; 3.11, 3.12, 3.13 are tested: rm -rf .venv"
    )


@pytest.mark.parametrize(
    ("hardware", "said"),
    [
        ("zero-a10g", "http://page on ZeroGPU, which is free"),
        ("cpu-basic", "http://page on CPU basic, which needs PRO"),
        ("t4-small", "http://page on t4-small, which costs by the hour"),
        (None, "http://page"),
    ],
)
def test_the_hardware_of_a_space_is_named_with_its_price(hardware: str | None, said: str) -> None:
    from training.doctor import examine_space

    runtime = {"stage": "RUNNING", "hardware": {"current": None, "requested": hardware}}
    info = SpaceInfo(id=SPACE, sdk="gradio", runtime=runtime)
    found = examine_space(info, "http://page")
    assert (found.good, found.said) == (True, said)
