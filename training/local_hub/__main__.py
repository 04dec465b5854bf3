"""`python -m training.local_hub`: the stand-in alone, with MNIST in it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from pathlib import Path

from training.local_hub.mnist import seed_mnist
from training.local_hub.server import running_hub
from training.stage import StageError

USE = """
A stand-in for the Hub is at {0}
Point the clients at it:

  export HF_ENDPOINT={0} HF_TOKEN=hf_local HF_HOME=$(mktemp -d) HF_HUB_DISABLE_XET=1
  hf download --repo-type dataset ylecun/mnist

Ctrl-C ends it.
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser("python -m training.local_hub", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/hub"), help="default: build/hub")
    parser.add_argument("--port", type=int, default=8080, help="default: 8080; 0 for any")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="local_hub: %(message)s", level=logging.INFO)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            seed_mnist(options.folder)
            with running_hub(options.folder, options.port) as endpoint:
                print(USE.format(endpoint), flush=True)
                signal.pause()
    except (OSError, StageError) as error:
        print(f"error: {error}. Pass another --port or --folder.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
