"""The whole flow on one machine: a release if there is none, then the page that serves it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gradio_client import Client, handle_file

from training.config import PRESETS
from training.stage import StageError, read_json

SPACE = Path(__file__).parents[1] / "space"
SPACE_COMMAND = (sys.executable, str(SPACE / "app.py"))
EXAMPLES = ("two.png", "five.png", "nine.png")
HOST = "127.0.0.1"
FIRST_PORT = 7860
READY_SECONDS = 60

log = logging.getLogger(__name__)


class DemoError(StageError):
    """The page cannot be served; the message says why."""


def demo(build: Path, once: bool) -> None:
    """Make a release in the build folder unless a whole one is there, and serve it.

    Args:
        build: The build folder.
        once: End after the answers to three examples; else serve until Ctrl-C.

    Raises:
        DemoError: If the page does not come up.
        StageError: If a stage cannot go on.
    """
    make_release(build)
    from training.metrics import headline

    print(headline(read_json(build / "model" / "metrics.json", "python -m training evaluate")))
    with terminal_to_ourselves(), contextlib.suppress(KeyboardInterrupt):
        with running_space(build) as (url, _):
            print(f"\nThe page is at {url}\n")
            for name, answer in ask(url):
                print(f"  {name:<10} → {answer['digit']}  ({answer['confidence']:.1%})", flush=True)
            if not once:
                print("\nDraw a digit there. Ctrl-C ends this.", flush=True)
                signal.pause()


def make_release(build: Path) -> None:
    """Train with the preset quick, score and write the card; nothing where that is done.

    What was trained stays when only the reader has changed: it is exported and scored anew.
    """
    from training.metrics import is_whole

    if is_whole(build / "model"):
        log.info("Serving the model in %s; train anew with: python -m training train", build)
        return
    from training.card import render_card
    from training.data import load_digits
    from training.export import export
    from training.metrics import evaluate_release, trained_on
    from training.train import train

    if (build / "training").exists():
        log.info("The model in %s is not as it was scored, or the reader is not: anew", build)
        digits = load_digits(trained_on(build))
    else:
        config = PRESETS["quick"]
        digits = load_digits(config.dataset)
        train(config, digits, build)
    export(build, digits.test.images)
    evaluate_release(build, digits)
    render_card(build)


@contextlib.contextmanager
def running_space(
    build: Path, command: Sequence[str] = SPACE_COMMAND
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve `build/model` until the block ends; yield address and process once it answers."""
    port = free_port()
    environment = os.environ | {
        "MODEL_DIR": str((build / "model").resolve()),
        "GRADIO_SERVER_NAME": HOST,
        "GRADIO_SERVER_PORT": str(port),
    }
    with (build / "space.log").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            url = f"http://{HOST}:{port}"
            wait_until_ready(url, process, build / "space.log")
            yield url, process
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    """Return 7860, or the next port that nobody listens on."""
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise DemoError(f"No port from {FIRST_PORT} to {FIRST_PORT + 99} is free: end a server there.")


def wait_until_ready(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    """Wait until the page answers.

    Raises:
        DemoError: If its process ends or takes too long, with the last line it printed.
    """
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url, timeout=READY_SECONDS).close()
            return
        time.sleep(0.1)
    last = (output.read_text("utf-8", "replace").strip().splitlines() or ["nothing printed"])[-1]
    raise DemoError(f"The page did not come up ({last}). All it said is in {output}.")


def ask(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ask the live page's API for the example images' digits."""
    client = Client(url, verbose=False)
    for name in EXAMPLES:
        file = handle_file(SPACE / "examples" / name)
        yield name, client.predict(file, api_name="/classify")


@contextlib.contextmanager
def terminal_to_ourselves() -> Iterator[None]:
    """Let Ctrl-C reach this process and its Space alone: make would turn it into a failure."""
    if not sys.stdin.isatty():
        yield
        return
    terminal, others = sys.stdin.fileno(), os.getpgrp()
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a background group may hand it back
    os.setpgid(0, 0)
    os.tcsetpgrp(terminal, os.getpgrp())
    try:
        yield
    finally:
        os.tcsetpgrp(terminal, others)
        os.setpgid(0, others)
        signal.signal(signal.SIGTTOU, before)
