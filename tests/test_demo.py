import contextlib
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, run_training
from training.demo import DemoError, running_space


@pytest.fixture
def served(build: Path, tmp_path: Path) -> Path:
    """A build folder of its own: the demo writes its log there."""
    return Path(shutil.copytree(build, tmp_path / "build"))


def address(said: str) -> str:
    found = re.search(r"The page is at (http://127\.0\.0\.1:\d+)", said)
    assert found, said
    return found[1]


def test_a_release_that_is_there_is_served_without_training(served: Path) -> None:
    started = time.monotonic()
    done = run_training("demo", "--once", "--build", served)
    assert done.returncode == 0, done.stderr
    assert "Training" not in done.stderr
    assert re.search(r"9\d\.\d\d% of 10,000 redrawn digits, 99\.\d\d% of the", done.stdout)
    answers = re.findall(r"(\w+)\.png +→ (\d)  \((\d+\.\d) ?%\)", done.stdout)
    assert [(name, digit) for name, digit, _ in answers] == [
        ("two", "2"),
        ("five", "5"),
        ("nine", "9"),
    ]
    assert time.monotonic() - started < 60


def test_what_is_not_as_it_was_scored_is_scored_anew_without_training(served: Path) -> None:
    with (served / "model" / "preprocessing.py").open("a") as file:
        file.write("# of another reader\n")
    done = run_training("demo", "--once", "--build", served)
    assert done.returncode == 0, done.stderr
    assert "or the reader is not: anew" in done.stderr and "Training" not in done.stderr
    assert "of another" not in (served / "model" / "preprocessing.py").read_text()


def test_a_taken_port_is_left_to_its_owner(served: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # or somebody has it already
            taken.bind(("127.0.0.1", 7860))
            taken.listen()
        done = run_training("demo", "--once", "--build", served)
    assert done.returncode == 0, done.stderr
    assert not address(done.stdout).endswith(":7860")


def test_an_interrupt_ends_the_page_and_is_no_failure(served: Path) -> None:
    command = [sys.executable, "-m", "training", "demo", "--build", str(served)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if "Ctrl-C" in line:
            break
    (page,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert not psutil.pid_exists(page.pid)


def test_ctrl_c_in_a_terminal_is_a_success_for_make_too(served: Path, tmp_path: Path) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"demo:\n\t@{sys.executable} -m training demo --build {served}\n")
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(ROOT)
        os.execvp("make", ["make", "-f", str(makefile), "demo"])
    said = b""
    while b"Ctrl-C ends this" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    with pytest.raises(OSError):  # the terminal ends with its last process
        while os.read(terminal, 1000):
            pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_page_that_does_not_come_up_says_its_last_words(tmp_path: Path) -> None:
    broken = [sys.executable, "-c", "print('first'); raise SystemExit('no such thing')"]
    with pytest.raises(DemoError, match="did not come up .no such thing.*space.log"):
        with running_space(tmp_path, broken):
            pass
