"""What is worth trying again, how long between, and what is said where it is not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OIDCError

from tests.conftest import ROOT
from training import hub
from training.hub import LONGEST_PAUSE, PAUSES, Kind, RefusedError, commit_folder, persist
from training.local_hub.access import Token
from training.local_hub.server import running_hub
from training.stage import StageError

ID = "someone/digits"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def refusal(status: int, **headers: str) -> HfHubHTTPError:
    request = httpx2.Request("GET", "http://hub")
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=names, request=request)
    return HfHubHTTPError("refused", response=response)


def failing(*errors: Exception) -> tuple[str, list[Exception]]:
    left = list(errors)

    def stage() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return persist(stage, ID), left


@pytest.mark.parametrize(
    "error",
    [
        refusal(429),
        refusal(500),
        refusal(503),
        httpx2.ReadTimeout("late"),
        httpx2.ConnectError("no"),
        httpx2.RemoteProtocolError("dropped"),
        LocalEntryNotFoundError("a download's, for any of these"),
        json.JSONDecodeError("a proxy's page in the place of an answer", "<h1>", 0),
    ],
    ids=repr,
)
def test_what_may_pass_is_tried_again_with_growing_pauses(
    error: Exception, pauses: list[float]
) -> None:
    assert failing(error, error, error) == ("done", [])
    assert pauses == list(PAUSES[:3]) == sorted(pauses)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "9999"}, LONGEST_PAUSE),
        ({"Retry_After": "soon"}, 1.0),
        ({"RateLimit": '"api";r=0;t=240'}, 240.0),
    ],
    ids=str,
)
def test_a_pause_is_as_long_as_the_hub_asks_within_reason(
    asked: dict[str, str], waited: float, pauses: list[float]
) -> None:
    assert failing(refusal(429, **asked)) == ("done", [])
    assert pauses == [waited]


def test_patience_ends(pauses: list[float]) -> None:
    with pytest.raises(RefusedError, match=r"refused \(HTTP 503\)\. Run it again: it goes on"):
        failing(*[refusal(503)] * 10)
    assert pauses == list(PAUSES)
    with pytest.raises(
        RefusedError, match=r"could not be reached \(ConnectError\)\. Check the con"
    ):
        failing(*[httpx2.ConnectError("no")] * 10)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "Set HF_TOKEN to a token that may write it"),
        (402, "A Gradio Space on this hardware needs a PRO account; create one on ZeroGPU"),
        (403, "The token may not write it: give it this repository"),
        (404, "There is no such model: create it by hand at http"),
        (412, "Someone else changed it at the same moment, and nothing was done"),
    ],
)
def test_what_will_not_pass_stops_at_once_and_says_what_to_do(
    status: int, said: str, pauses: list[float]
) -> None:
    with pytest.raises(RefusedError, match=rf"/someone/digits refused \(HTTP {status}\)\. {said}"):
        failing(refusal(status))
    assert pauses == []


@pytest.mark.parametrize("kind", ["model", "space"])
def test_a_repository_of_something_else_or_a_readme_with_a_mistake_is_not_committed(
    kind: Kind, tmp_path: Path
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / hub.OURS[kind]).write_text("{}")
    with running_hub(tmp_path / "hub", tokens={"hf_local": Token("someone")}) as endpoint:
        api = HfApi(endpoint=endpoint, token="hf_local")
        sdk = "gradio" if kind == "space" else None
        api.create_repo(ID, repo_type=kind, space_sdk=sdk)
        for name in ("README.md", "app.py"):
            api.upload_file(path_or_fileobj=b"", path_in_repo=name, repo_id=ID, repo_type=kind)
        commit = partial(commit_folder, api, ID, kind, tmp_path / "new")
        with pytest.raises(StageError, match=f"The {kind} {ID} holds something else, such as app"):
            commit(api.repo_info(ID, repo_type=kind).sha, "A release")
        assert "app.py" in api.list_repo_files(ID, repo_type=kind)
        api.delete_file("app.py", ID, repo_type=kind)
        (tmp_path / "new" / "README.md").write_text("---\n[ :\n---\n")
        with pytest.raises(RefusedError, match=f"{ID} was not changed: Invalid metadata in READ"):
            commit(api.repo_info(ID, repo_type=kind).sha, "With a mistake")
        (tmp_path / "new" / "README.md").unlink()
        for message in ("A release", "The next"):
            commit(api.repo_info(ID, repo_type=kind).sha, message)
        assert hub.OURS[kind] in api.list_repo_files(ID, repo_type=kind)


def test_a_release_goes_the_way_that_is_tested() -> None:
    code = "import training.__main__; from huggingface_hub import constants as hub; "
    code += "print(hub.HF_HUB_DISABLE_XET)"
    environment = {name: os.environ[name] for name in os.environ if name != "HF_HUB_DISABLE_XET"}
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, env=environment, text=True) == "True\n"


def test_a_workflow_without_an_identity_is_told_so(pauses: list[float]) -> None:
    with pytest.raises(RefusedError, match=r"HF_OIDC_RESOURCE is set.*id-token: write"):
        failing(OIDCError("no provider"))
    assert pauses == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda api: api.repo_info(ID),
        lambda api: api.repo_info(ID, repo_type="space"),
        lambda api: api.list_repo_files(ID),
        lambda api: api.create_tag(ID, tag="v1"),
    ],
    ids=["model", "space", "files", "tag"],
)
def test_a_hub_that_never_answers_is_not_waited_for_for_ever(
    ask: Callable[[HfApi], object], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = HfApi(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", token="hf_local")
        with pytest.raises(httpx2.ReadTimeout):
            ask(api)
