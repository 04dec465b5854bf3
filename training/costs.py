"""Seconds and bytes of each step of a release, from nothing: `make costs`.

Clones what is committed, installs it, and releases with the preset `release` to a local Hub. Writes
`training/costs.json`, from which CONTRIBUTING's table is rendered.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.card import ROOT
from training.git import git_commit
from training.local_hub.mnist import seed_mnist
from training.local_hub.server import running_hub
from training.metrics import hardware
from training.rehearsal import MODEL, SPACE
from training.stage import write_json, write_text

COSTS, CONTRIBUTING = Path(__file__).parent / "costs.json", ROOT / "CONTRIBUTING.md"
TABLE = re.compile(r"(?<=<!-- costs -->\n).*?(?=<!-- /costs -->)", re.DOTALL)
PLACE = ROOT / "build" / "costs"
RUN = (".venv/bin/python", "-m", "training")
JOBS = 3  # of release.yml, one after the other
STEPS = {  # the command, and where what it writes or sends ends up
    "install": (("make", "install"), "clone/.venv"),
    "train": ((*RUN, "train", "--preset", "release"), "clone/build"),
    "evaluate": ((*RUN, "evaluate"), "clone/build"),
    "card": ((*RUN, "card"), "clone/build"),
    "publish": ((*RUN, "publish"), "hub/models"),
    "deploy": ((*RUN, "deploy"), "hub"),
    "verify": ((*RUN, "verify"), "cache"),
}


def main() -> None:
    """Measure, write and print."""
    shutil.rmtree(PLACE, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(PLACE / "clone")], check=True)
    seed_mnist(PLACE / "hub")
    with running_hub(PLACE / "hub") as endpoint:
        environment = os.environ | {
            "HF_ENDPOINT": endpoint,
            "HF_TOKEN": "hf_local",
            "HF_HOME": str(PLACE / "cache"),
            "HF_MODEL_ID": MODEL,
            "HF_SPACE_ID": SPACE,
            "PIP_NO_CACHE_DIR": "1",
            "PYTHON": sys.executable,
        }
        steps = {
            name: measure(command, place, environment) for name, (command, place) in STEPS.items()
        }
    costs = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "hardware": hardware(),
        "steps": steps,
    }
    write_json(COSTS, costs)
    write_text(CONTRIBUTING, render_contributing(costs, CONTRIBUTING.read_text("utf-8")))
    shutil.rmtree(PLACE)
    print(f"Written: {COSTS} and the table in {CONTRIBUTING}")


def measure(command: tuple[str, ...], place: str, environment: dict[str, str]) -> dict[str, float]:
    """Run a step; return its seconds, and the bytes that came to a folder."""
    before, started = size(PLACE / place), time.perf_counter()
    subprocess.run(command, cwd=PLACE / "clone", env=environment, check=True)
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 1), "bytes": size(PLACE / place) - before}


def size(folder: Path) -> int:
    """Add up a folder's files."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())


def render_contributing(costs: dict[str, Any], text: str) -> str:
    """Return CONTRIBUTING's text with its table rendered."""
    rows = ["| step | seconds | megabytes |", "| --- | ---: | ---: |"]
    for name, cost in costs["steps"].items():
        rows.append(f"| {name} | {cost['seconds']:.1f} | {cost['bytes'] / 1e6:,.1f} |")
    seconds = sum(cost["seconds"] for cost in costs["steps"].values())
    in_jobs = seconds + (JOBS - 1) * costs["steps"]["install"]["seconds"]
    rows.append(f"| **all** | **{seconds:.0f}** | |")
    rows.append(
        f"\nMeasured with `make costs` on {costs['created'][:10]} ({costs['hardware']}), from a "
        "clone without anything, with the preset `release`. Megabytes are what the step installs, "
        "writes or sends; deploy's are the Space's and its environment's. "
        f"The workflow installs in each of a release's {JOBS} jobs: "
        f"{in_jobs / 60:.1f} minutes in all."
    )
    table = "\n".join(rows) + "\n"
    return TABLE.sub(lambda _: table, text)


if __name__ == "__main__":
    main()
