"""The whole flow on one machine: a release, published, deployed and verified on a local Hub.

The code is that which releases for real; only the Hub is a stand-in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from training.local_hub.mnist import seed_mnist
from training.local_hub.server import running_hub
from training.prepare import prepare
from training.stage import EVALUATE_COMMAND, read_json, writing

# Imports no Hub library: those read HF_ENDPOINT when first imported, and the Hub is not up yet.

MODEL, SPACE = "local/handwritten-digits", "local/draw-a-digit"
SHOWN = 3  # answers

log = logging.getLogger(__name__)


def rehearse(build: Path, preset: str | None, once: bool) -> None:
    """Make a release unless a whole one is there; publish, deploy, verify and serve it.

    Args:
        build: The build folder; the local Hub is kept there.
        preset: What to train with, unless that was done; None for what is there, else quick.
        once: End after the answers; else serve until Ctrl-C.

    Raises:
        StageError: If a stage cannot go on.
    """
    with terminal_to_ourselves(), contextlib.suppress(KeyboardInterrupt), local_hub(build):
        prepare(build, preset)
        url = release(build)
        print(f"\nThe page is at {url}", flush=True)
        if not once:
            print("Draw a digit there. Ctrl-C ends this.", flush=True)
            signal.pause()


@contextlib.contextmanager
def local_hub(build: Path) -> Iterator[None]:
    """Run a local Hub with MNIST in it, and point this process's Hub libraries at it."""
    folder = build / "hub"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with running_hub(folder) as endpoint:
        os.environ |= {
            "HF_ENDPOINT": endpoint,
            "HF_TOKEN": "hf_local",
            "HF_HOME": str(folder.resolve() / "cache"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        seed_mnist(folder)
        yield


def release(build: Path) -> str:
    """Publish, deploy and verify; print the headline and some answers; return the page's URL."""
    from huggingface_hub import HfApi

    from training.card import headline
    from training.deploy import deploy
    from training.publish import publish
    from training.rollback import or_put_back
    from training.verify import verify

    published = publish(build, MODEL)
    with or_put_back(build, SPACE):
        deploy(build, SPACE)
        answers = verify(build, SPACE)
    print(headline(read_json(build / "model" / "metrics.json", EVALUATE_COMMAND)))
    print(f"\n{MODEL} {published['version']} at {published['commit']} answers:")
    sure = [(name, answer) for name, answer in answers if answer["digit"] is not None]
    for name, answer in sure[:: max(len(sure) // SHOWN, 1)][:SHOWN]:
        print(f"  {name:<14} → {answer['digit']}  ({answer['confidence']:.1%})")
    return str(HfApi().space_info(SPACE).host)


@contextlib.contextmanager
def terminal_to_ourselves() -> Iterator[None]:
    """Let Ctrl-C reach this process alone: make would turn it into a failure."""
    if not sys.stdin.isatty() or os.getpgrp() == os.getpid():  # or it is ours already
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
