import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_training
from training.__main__ import parser

COMMANDS = re.findall(r"^    (\w+) ", parser().format_help(), re.MULTILINE)
SAYS = {
    "no such preset": (["train", "--preset", "slow"], "invalid choice: 'slow'.*quick"),
    "no preset in a file": (["train", "--preset", "{tmp}/a.json"], "a.json is no preset.*tune"),
    "nothing to classify": (["classify", "{tmp}", "--to", "{tmp}/to"], "no image at"),
    "no such command": (["trian"], "invalid choice: 'trian'.*train"),
    "no command": ([], "required: COMMAND.*--help"),
    "no such dataset": (["train", "--dataset", "nowhere"], "neither a folder nor a Hub id"),
    "no such release": (
        ["train", "--preset", "quick", "--from", "nowhere", "--build", "{tmp}"],
        "nowhere is neither a folder with model.keras nor a release.*--from your-name/digits",
    ),
    "nothing trained": (["evaluate", "--build", "{tmp}"], "not there.*python -m training train"),
    "nothing scored": (["card", "--build", "{tmp}"], "not there.*python -m training evaluate"),
    "unwritable build folder": (
        ["train", "--preset", "quick", "--build", "/dev/null/build"],
        "/dev/null/build cannot be written .*--build FOLDER",
    ),
    "nothing published": (["deploy", "--build", "{tmp}"], "HF_SPACE_ID is '', not a repository"),
    "unwritable rehearsal": (["rehearse", "--build", "/dev/null/build"], "cannot be written"),
}


@pytest.mark.parametrize(("arguments", "message"), SAYS.values(), ids=SAYS)
def test_bad_input_gets_one_line_that_says_what_to_do(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = run_training(*[word.format(tmp=tmp_path) for word in arguments])
    assert done.returncode not in (0, 130)
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: ") and re.search(message, error), done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_warning_of_the_hubs_library_is_printed_once() -> None:
    lines = (
        "from training.__main__ import main",
        "main(['card', '--build', 'nowhere'])",
        "from huggingface_hub import hf_hub_download",
        "from huggingface_hub.utils.logging import get_logger",
        "get_logger('huggingface_hub.file_download').warning('Retrying in 1s')",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.count("Retrying in 1s") == 1, done.stderr


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    done = run_training("card", "--build", tmp_path, "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_comes_at_once_and_shows_an_example(command: str) -> None:
    started = time.monotonic()
    done = run_training(command, "--help")
    assert done.returncode == 0
    assert f"python -m training {command}" in done.stdout.split("example")[1]
    assert time.monotonic() - started < 5, "TensorFlow was imported"


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [name for name in COMMANDS if f"python -m training {name}" not in readme] == []
    assert len(COMMANDS) > 10
