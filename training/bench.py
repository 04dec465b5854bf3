"""What things cost, measured in pairs in one run: `make bench` and `make reference`.

Prints tables and writes `build/bench.json`; with --reference it trains every preset and writes
`training/reference.json`, from which README's result table is rendered.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import runpy
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from space.reader import Classifier, Release, normalize
from training.data import load_embedded_mnist
from training.deploy import SPACE
from training.local_hub.spaces import HOST, answers, free_port
from training.page import bench_page
from training.redraw import redraw, see_redrawn, see_resized
from training.stage import StageError, write_json, write_text

ROUNDS = 3
DRAWINGS, PHOTOGRAPHS = 300, 11
PHOTOGRAPH = (4_000, 3_000)  # pixels
BUILD = Path("build")
SPACE_COMMAND = (sys.executable, str(SPACE / "app.py"))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m training.bench", description=__doc__)
    parser.add_argument("--reference", action="store_true", help="train every preset")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each preset; default: 1")
    parser.add_argument("--serve-with-tensorflow", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_with_tensorflow:
        serve_with_tensorflow()
    elif options.reference:
        write_reference(measure_training(options.seeds))
    else:
        print_normalizing(normalizing := measure_normalizing())
        print_serving(serving := measure_serving())
        page = bench_page(BUILD)
        measured = {"normalizing": normalizing, "serving": serving, "page": page}
        write_json(BUILD / "bench.json", measured)


def measure_normalizing() -> dict[str, float]:
    """Time `normalize` on one core: the median of many images of each kind, in milliseconds."""
    digits = load_embedded_mnist()["test_images"]
    drawings = [redraw(image, row) for row, image in enumerate(digits[:DRAWINGS])]
    photographs = [photograph(row) for row in range(PHOTOGRAPHS)]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        return {
            "drawing of 280 × 280": median_milliseconds(drawings),
            "photograph of 12 megapixels": median_milliseconds(photographs),
        }
    finally:
        os.sched_setaffinity(0, cores)


def median_milliseconds(images: Sequence[Image.Image | bytes]) -> float:
    """Normalise each image once; return the median time."""
    times = []
    for image in images:
        started = time.perf_counter()
        normalize(image)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def photograph(seed: int) -> bytes:
    """Make a JPEG file of 12 megapixels: a digit in blue ink on unevenly lit, grainy paper."""
    rng = np.random.default_rng(seed)
    width, height = PHOTOGRAPH
    light = np.linspace(rng.uniform(0.6, 0.9), 1, width)[None, :, None]
    paper = np.array([225, 222, 210]) * light + rng.normal(0, 4, (height, width, 1))
    image = Image.fromarray(np.clip(paper, 0, 255).astype(np.uint8))
    x, y = rng.uniform(0.2, 0.6, 2) * PHOTOGRAPH
    seven = [(x, y), (x + 700, y), (x + 250, y + 1100)]
    ImageDraw.Draw(image).line(seven, fill=(40, 44, 110), width=90, joint="curve")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def print_normalizing(milliseconds: dict[str, float]) -> None:
    """Print the times."""
    print("\nNormalising, on one core")
    for name, value in milliseconds.items():
        print(f"  {name:<30} {value:>8.1f} ms")


def measure_serving() -> dict[str, dict[str, Any]]:
    """Start the Space with LiteRT and with TensorFlow in turn, `ROUNDS` times each.

    Returns:
        For "litert" and "tensorflow": seconds from the start of the process to its first answer,
        and its memory then, in MB; medians, and every value.
    """
    from training.prepare import prepare

    prepare(BUILD)
    commands = {
        "litert": SPACE_COMMAND,
        "tensorflow": (sys.executable, "-m", "training.bench", "--serve-with-tensorflow"),
    }
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            runs[name].append(time_to_answer(command))
    return {
        name: {
            "ready_seconds": statistics.median(seconds for seconds, _ in measured),
            "memory_mb": statistics.median(memory for _, memory in measured),
            "each": measured,
        }
        for name, measured in runs.items()
    }


def time_to_answer(command: Sequence[str]) -> tuple[float, float]:
    """Return the seconds until the served page's first answer, and its process's MB then."""
    import psutil
    from gradio_client import Client, handle_file

    started = time.perf_counter()
    with running_space(BUILD, command) as (url, process):
        example = handle_file(SPACE / "examples" / "two.png")
        Client(url, verbose=False).predict(example, api_name="/classify")
        seconds = time.perf_counter() - started
        return seconds, psutil.Process(process.pid).memory_info().rss / 1e6


@contextlib.contextmanager
def running_space(
    build: Path, command: Sequence[str] = SPACE_COMMAND
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve `build/model`, published or not, until the block ends; yield address and process.

    Raises:
        StageError: If the page does not come up.
    """
    port = free_port()
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

    import reader

    class KerasClassifier(reader.Classifier):  # type: ignore[misc,name-defined,unused-ignore]
        def __init__(self, release: Any) -> None:
            self.release = release
            self.model = keras.saving.load_model(release.folder / "model.keras")

        def predict(self, images: Any) -> Any:
            return self.model(np.asarray(images, np.float32), training=False).numpy()

    reader.Classifier = KerasClassifier
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


def measure_training(seeds: int) -> dict[str, Any]:
    """Train every preset with `seeds` seeds, in turn; score each export on the test set.

    Beside redrawn digits as the reader normalises them stand the same merely shrunk to 28 × 28.
    """
    from training.config import PRESETS
    from training.data import load_digits
    from training.export import export, predict
    from training.metrics import evaluate_release
    from training.train import train

    digits = load_digits()
    resized = see_redrawn(digits.test.images, see_resized)
    results: dict[str, Any] = {}
    for seed in range(seeds):
        for name, preset in PRESETS.items():
            build = BUILD / "reference" / f"{name}-{seed}"
            train(replace(preset, seed=seed), digits, build)
            export(build, digits.test.images)
            metrics = evaluate_release(build, digits)
            answers = predict(Classifier(Release(build / "model")), resized).argmax(1)
            measured = {
                "test_accuracy": metrics["test"]["accuracy"],
                "redrawn_accuracy": metrics["redrawn"]["accuracy"],
                "resized_accuracy": float((answers == digits.test.labels).mean()),
                "seconds": round(metrics["training"]["seconds"], 1),
            }
            result = results.setdefault(name, {key: [] for key in measured})
            for key, value in measured.items():
                result[key].append(value)
            result |= {
                "epochs": preset.epochs + preset.adapting_epochs,
                "network": preset.network,
                "parameters": metrics["model"]["parameters"],
            }
    return results


def write_reference(training: dict[str, Any]) -> None:
    """Write reference.json, with commit and date, and README's table from it."""
    from training.card import README, REFERENCE, render_readme
    from training.metrics import git_commit, hardware

    reference = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "hardware": hardware(),
        "training": training,
    }
    write_json(REFERENCE, reference)
    write_text(README, render_readme(reference, README.read_text("utf-8")))
    print(f"Written: {REFERENCE} and the table in {README}")


if __name__ == "__main__":
    main()
