"""What things cost, measured in pairs in one run: `make bench` and `make reference`.

Prints tables and writes `build/bench.json`; with --reference it trains every preset with several
seeds and writes `training/reference.json`, from which README's result table is rendered.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.bench.inference import measure_inference, print_inference
from training.bench.load import measure_load, print_load
from training.bench.normalizing import measure_normalizing, print_normalizing
from training.bench.page import bench_page
from training.bench.presets import (
    measure_baselines_overhead,
    measure_presets,
    measure_race,
    print_presets,
    print_race,
)
from training.bench.serving import measure_serving, print_serving
from training.card import README, render_readme
from training.config import REFERENCE
from training.git import git_commit
from training.metrics import hardware
from training.stage import write_json, write_text

PLACE = Path("build") / "bench"  # a release of each preset and seed
RELEASE = "release"  # the preset whose model is timed
RESULT = Path("build") / "bench.json"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m training.bench", description=__doc__)
    parser.add_argument("--reference", action="store_true", help="write the presets' record")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each preset; default: 1")
    options = parser.parse_args()
    presets = measure_presets(options.seeds, PLACE)
    print_presets(presets)
    if options.reference:
        write_reference(presets)
    else:
        write_json(RESULT, measure(presets))
        print(f"Written: {RESULT}")


def measure(presets: dict[str, Any]) -> dict[str, Any]:
    """Measure all but the presets, on the release trained here; print each part at once."""
    build = PLACE / f"{RELEASE}-0"
    race, overhead = measure_race(), measure_baselines_overhead()
    print_race(race, overhead)
    print_normalizing(normalizing := measure_normalizing())
    print_inference(inference := measure_inference(build / "model"))
    print_serving(serving := measure_serving(build))
    page = bench_page(build)
    print_load(load := measure_load(build))
    print_sizes(sizes := measure_sizes(build / "model"))
    return {
        "training": presets | {"seconds_to_99": race, "baseline_to_bare_fit": overhead},
        "normalizing": normalizing,
        "inference": inference,
        "serving": serving,
        "page": page,
        "load": load,
        "sizes": sizes,
    }


def measure_sizes(model_dir: Path) -> dict[str, int]:
    """Return the bytes of each form of the model."""
    forms = ("model.tflite", "layers.tflite", "model.keras", "model.weights.h5")
    return {name: (model_dir / name).stat().st_size for name in forms}


def print_sizes(sizes: dict[str, int]) -> None:
    """Print the files' sizes."""
    print("\nSizes")
    for name, size in sizes.items():
        print(f"  {name:<30} {size / 1000:>8,.0f} kB")


def write_reference(training: dict[str, Any]) -> None:
    """Write reference.json, with commit and date, and README's table from it."""
    reference = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "hardware": hardware(),
        "training": training,
    }
    write_json(REFERENCE, reference)
    write_text(README, render_readme(reference, README.read_text("utf-8")))
    print(f"Written: {REFERENCE} and the table in {README}")
