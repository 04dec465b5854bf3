"""`make demo`: the whole flow on a Hub of its own, as someone runs it who has just cloned this."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT, run_training
from training.config import PRESETS
from training.data import load_digits
from training.local_hub.storage import Repository
from training.prepare import is_exported, load_trained_on, same_settings, trained_config
from training.rehearsal import MODEL
from training.stage import StageError, write_json

OTHERS = r"holds another number of digits .* Train it anew: .* --dataset /"


@pytest.fixture(scope="module")
def rehearsed(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder of its own, rehearsed once."""
    folder = Path(shutil.copytree(build, tmp_path_factory.mktemp("rehearsed") / "build"))
    done = run_training("rehearse", "--once", "--build", folder)
    assert done.returncode == 0, done.stderr
    (folder / "rehearsal.log").write_text(done.stdout + done.stderr)
    return folder


def published(build: Path) -> list[str]:
    """The commits of the local Hub's model, newest first."""
    history = Repository(build / "hub", "model", MODEL).history("main")
    return [commit.id for commit in history]


def test_a_rehearsal_names_the_commit_it_published(rehearsed: Path) -> None:
    said = (rehearsed / "rehearsal.log").read_text()
    newest, _ = published(rehearsed)
    assert re.search(rf"{MODEL} v[\d.]+ at {newest} answers", said)
    assert re.search(r"9\d\.\d\d% of 10,000 redrawn digits, 99\.\d\d% of the", said)
    answers = re.findall(r"(\d)-\d\.png +→ (\d)  \((\d+\.\d) ?%\)", said)
    assert len(answers) == 3
    assert all(digit == answer for digit, answer, _ in answers)
    assert "Training" not in said


def test_a_second_rehearsal_neither_trains_nor_publishes_nor_takes_a_port_that_is_not_free(
    rehearsed: Path,
) -> None:
    before = published(rehearsed)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # or somebody has it already
            taken.bind(("127.0.0.1", 7860))
            taken.listen()
        done = run_training("rehearse", "--once", "--build", rehearsed)
    assert done.returncode == 0, done.stderr
    found = re.search(r"The page is at http://127\.0\.0\.1:(\d+)", done.stdout)
    assert found and found[1] != "7860"
    assert "holds this release already" in done.stderr and "Training" not in done.stderr
    assert published(rehearsed) == before
    assert before[0] in done.stdout


def test_what_is_trained_stays_unless_its_settings_are_others(build: Path, tmp_path: Path) -> None:
    trained = trained_config(build)
    assert trained and same_settings(trained, PRESETS["quick"])
    assert same_settings(trained | {"seed": 3, "dataset": "own"}, PRESETS["quick"])
    assert not same_settings(trained | {"epochs": 2}, PRESETS["quick"])
    on = PRESETS["quick"].going_on_from("a/b")
    assert same_settings(asdict(on), PRESETS["quick"]) and trained_config(tmp_path) is None


def test_a_model_of_the_training_before_is_not_taken_for_this_ones(
    build: Path, tmp_path: Path
) -> None:
    assert is_exported(build) and not is_exported(tmp_path)
    for part in ("training", "model"):
        (tmp_path / part).mkdir()
        shutil.copy(build / part / "history.json", tmp_path / part)
    assert is_exported(tmp_path)
    history = json.loads((tmp_path / "training" / "history.json").read_text())
    history["curves"]["loss"][-1] += 0.001
    (tmp_path / "training" / "history.json").write_text(json.dumps(history))
    assert not is_exported(tmp_path)


@pytest.mark.slow  # it is scored on everything
def test_what_is_not_as_it_was_scored_is_scored_anew_without_training(
    rehearsed: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(rehearsed, tmp_path / "build"))
    with (folder / "model" / "preprocessing.py").open("a") as file:
        file.write("# of another reader\n")
    done = run_training("rehearse", "--once", "--build", folder)
    assert done.returncode == 0, done.stderr
    assert "or the reader is not: anew" in done.stderr and "Training" not in done.stderr
    assert "of another" not in (folder / "model" / "preprocessing.py").read_text()


def test_a_network_is_scored_on_the_digits_it_was_trained_with(
    own_digits: Path, tmp_path: Path
) -> None:
    sizes = load_digits(str(own_digits)).sizes
    history: Any = {"config": {"dataset": str(own_digits)}, "dataset": {"revision": None}}
    for change, expected in (
        (0, contextlib.nullcontext()),
        (1, pytest.raises(StageError, match=OTHERS)),
    ):
        history["dataset"]["sizes"] = sizes | {"test": sizes["test"] - change}
        write_json(tmp_path / "training" / "history.json", history)
        with expected:
            assert load_trained_on(tmp_path).sizes == sizes


def test_a_terminal_that_is_ours_already_is_left_as_it_is() -> None:
    code = (
        "from training.rehearsal import terminal_to_ourselves as ours\nwith ours(): print('ours')"
    )
    pid, terminal = pty.fork()  # whose process leads a session, as a container's or ssh's does
    if not pid:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", code])
    said = b""
    with contextlib.suppress(OSError):  # the terminal ends with its last process
        while more := os.read(terminal, 1000):
            said += more
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert said == b"ours\r\n"


def test_ctrl_c_in_a_terminal_ends_the_page_and_is_a_success_for_make_too(
    rehearsed: Path, tmp_path: Path
) -> None:
    makefile = tmp_path / "Makefile"
    command = f"{sys.executable} -m training rehearse --build {rehearsed}"
    makefile.write_text(f"demo:\n\t@{command}\n")
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(ROOT)
        os.execvp("make", ["make", "-f", str(makefile), "demo"])
    said = b""
    while b"Ctrl-C ends this" not in said:
        said += os.read(terminal, 1000)
    (_, page, reading) = psutil.Process(pid).children(recursive=True)
    os.write(terminal, b"\x03")
    with pytest.raises(OSError):  # the terminal ends with its last process
        while os.read(terminal, 1000):
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not psutil.pid_exists(page.pid)
    reading.wait(5)
