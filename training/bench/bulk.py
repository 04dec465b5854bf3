"""What it costs to read many images: `make cluster-bench`.

MNIST, repeated, read by one process, by two bare processes (what two cores give at best) and by
Ray with a worker a core, in turn, with the model in `build/`, made first where there is none.
Prints a table and writes `build/bulk.json`.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from training.cluster import LOCAL
from training.data import load_embedded_mnist
from training.metrics import hardware
from training.prepare import prepare
from training.sources import cut
from training.stage import write_json

SIZES = (10_000, 50_000, 200_000)
LOOK_SECONDS = 2  # between two looks at the memory, which cost time themselves
BUILD = Path("build")
PLACE = BUILD / "bulk"
RESULT = BUILD / "bulk.json"
TWO = """
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from space.reader import find_release
from training.answers import load_model
from training.classify import begin, classify_part, describe
from training.sources import cut

source, folder = sys.argv[1:]
parts, model = cut(source), load_model(find_release())
begin(folder, describe(source, parts, model))
with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
    list(pool.map(partial(classify_part, model, folder), enumerate(parts)))
"""


def main() -> None:
    """Measure, print and write."""
    prepare(BUILD)
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    results = []
    for images in SIZES:
        source = write_digits(images)
        for name, command in WAYS.items():
            found = {"images": images, "way": name, **measure(command(source), source)}
            print(line(found), flush=True)
            results.append(found)
    write_json(RESULT, {"hardware": hardware(), "results": results})
    shutil.rmtree(PLACE)


def write_digits(images: int) -> Path:
    """Write so many of MNIST's digits, train and test, repeated, as PNG files in parquet."""
    arrays = load_embedded_mnist()
    digits = np.concatenate([arrays["train_images"], arrays["test_images"]])[:images]
    files = [png(Image.fromarray(digit)) for digit in digits]
    cells = (files * (images // len(files) + 1))[:images]
    file = PLACE / f"{images}.parquet"
    pq.write_table(pa.table({"image": cells}), file, row_group_size=10_000)
    return file


def png(image: Image.Image) -> bytes:
    """Compress an image."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def classify(source: Path, *options: str) -> list[str]:
    """Return the command that a user gives."""
    words = ["classify", str(source), "--to", str(PLACE / "to"), *options]
    return [sys.executable, "-m", "training", *words]


def in_two(source: Path) -> list[str]:
    """Return the command that shares the same parts between two processes and nothing else."""
    return [sys.executable, "-c", TWO, str(source), str(PLACE / "to")]


WAYS: dict[str, Callable[[Path], list[str]]] = {
    "one process": classify,
    "two bare processes": in_two,
    "Ray, two workers": lambda source: classify(source, "--address", LOCAL),
}


def measure(command: list[str], source: Path) -> dict[str, Any]:
    """Run a command; return its seconds, its images per second once it reads, its peak memory.

    The rate is that between the first and the last part's writing: Ray needs seconds to start.
    The memory is that of the process and of all that it has started.
    """
    folder = PLACE / "to"
    shutil.rmtree(folder, ignore_errors=True)
    started, peak = time.perf_counter(), 0
    process = psutil.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, resident(process))
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(LOOK_SECONDS)
    seconds = time.perf_counter() - started
    written = sorted(file.stat().st_mtime for file in folder.glob("part-*"))
    parts = cut(str(source))
    if process.returncode or len(written) != len(parts):
        raise RuntimeError(f"{command} ended with {process.returncode}")
    later = sum(map(len, parts[1:]))
    rate = later / (written[-1] - written[0])
    return {"seconds": seconds, "images_per_second": rate, "megabytes": peak / 1e6}


def resident(process: psutil.Process) -> int:
    """Sum the bytes that a process and its descendants do not share with others."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().uss
        except psutil.Error:  # it has ended
            continue
    return total


def line(found: dict[str, Any]) -> str:
    """Give a result its row."""
    return (
        f"{found['images']:>9,} {found['way']:<20}{found['seconds']:>8.1f} s"
        f"{found['images_per_second']:>9,.0f} images/s{found['megabytes']:>8,.0f} MB"
    )


if __name__ == "__main__":
    main()
