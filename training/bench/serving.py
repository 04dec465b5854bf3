"""What the Space's process costs, with LiteRT and with TensorFlow in its place."""

from __future__ import annotations

import contextlib
import functools
import os
import runpy
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from training.deploy import SPACE
from training.local_hub.spaces import HOST, answers
from training.stage import StageError

ROUNDS = 3
SPACE_COMMAND = (sys.executable, str(SPACE / "app.py"))
TENSORFLOW_COMMAND = (sys.executable, "-m", "training.bench.serving")


def measure_serving(build: Path) -> dict[str, dict[str, Any]]:
    """Start the Space with LiteRT and with TensorFlow in turn, `ROUNDS` times each.

    Returns:
        For "litert" and "tensorflow": seconds from the start of the process to its first answer,
        and its memory then, with that of its reading process, in MB; medians, and every value.
    """
    commands = {"litert": SPACE_COMMAND, "tensorflow": TENSORFLOW_COMMAND}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            runs[name].append(time_to_answer(build, command))
    return {
        name: {
            "ready_seconds": statistics.median(seconds for seconds, _ in measured),
            "memory_mb": statistics.median(memory for _, memory in measured),
            "each": measured,
        }
        for name, measured in runs.items()
    }


def time_to_answer(build: Path, command: Sequence[str]) -> tuple[float, float]:
    """Return the seconds until the served page's first answer, and its process's MB then."""
    import psutil
    from gradio_client import Client, handle_file

    started = time.perf_counter()
    with running_space(build, command) as (url, process):
        example = handle_file(SPACE / "examples" / "two.png")
        Client(url, verbose=False).predict(example, api_name="/classify")
        seconds = time.perf_counter() - started
        return seconds, memory_of(psutil.Process(process.pid))


def memory_of(process: Any) -> float:
    """Return the MB of a process and of those it has started; what they share counts for each."""
    megabytes: float = sum(one.memory_info().rss for one in [process, *process.children()]) / 1e6
    return megabytes


@contextlib.contextmanager
def running_space(
    build: Path, command: Sequence[str] = SPACE_COMMAND
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve `build/model`, published or not, until the block ends; yield address and process.

    Raises:
        StageError: If the page does not come up.
    """
    with socket.socket() as probe:  # any that is free: others may be starting pages, too
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "MODEL_DIR": str((build / "model").resolve()),
        "GRADIO_SERVER_NAME": HOST,
        "GRADIO_SERVER_PORT": str(port),
    }
    with (build / "space.log").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        url = f"http://{HOST}:{port}"
        try:
            if not answers(url, process):
                raise StageError(f"The page did not come up. What it said is in {output.name}.")
            yield url, process
        finally:
            process.terminate()
            process.wait()


def serve_with_tensorflow() -> None:
    """Run the same Space on `model.keras` through TensorFlow, and without LiteRT."""
    sys.path.insert(0, str(SPACE))
    absent: Any = ModuleType("ai_edge_litert.interpreter")
    absent.Interpreter = None
    sys.modules["ai_edge_litert.interpreter"] = absent
    import keras

    import api
    import reader
    from reader.classifier import read_threshold

    class KerasClassifier(reader.Classifier):  # type: ignore[misc,name-defined,unused-ignore]
        def __init__(self, release: Any) -> None:
            self.release = release
            self.threshold = read_threshold(release.folder / "metrics.json")
            self.model = keras.saving.load_model(release.folder / "model.keras")

        def predict(self, images: Any) -> Any:
            return self.model(np.asarray(images, np.float32), training=False).numpy()

    load = functools.cache(KerasClassifier)

    class InThisProcess:
        def __init__(self, release: Any) -> None:
            self.classifier = load(release)

        async def start(self) -> None:
            pass

        async def classify(self, source: Any) -> Any:
            return self.classifier.classify(source)

    reader.Classifier, api.ReadingProcess = load, InThisProcess
    runpy.run_path(str(SPACE / "app.py"), run_name="__main__")


def print_serving(serving: dict[str, dict[str, Any]]) -> None:
    """Print the two processes and their ratio."""
    print("\nThe Space's process            to first answer      memory")
    for name, result in serving.items():
        print(f"  {name:<26} {result['ready_seconds']:>12.2f} s {result['memory_mb']:>8.0f} MB")
    ratios = [
        serving["litert"][key] / serving["tensorflow"][key]
        for key in ("ready_seconds", "memory_mb")
    ]
    print(f"  {'ratio':<26} {ratios[0]:>12.2f}   {ratios[1]:>8.2f}")


if __name__ == "__main__":
    serve_with_tensorflow()
