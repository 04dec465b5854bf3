"""A release's main numbers beside the published one's, as Markdown: for a workflow's summary."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from training.card import percent
from training.config import repository
from training.hub import persist
from training.publish import fetch_published
from training.stage import EVALUATE_COMMAND, read_json

ROWS = {"redrawn": "Digits drawn on a canvas", "test": "Test set as it is"}


def summarize(build: Path) -> str:
    """Set `build/model/`'s numbers beside those of the release that HF_MODEL_ID has, if any.

    Returns:
        A table.

    Raises:
        RefusedError: If the Hub refuses.
    """
    metrics = read_json(build / "model" / "metrics.json", EVALUATE_COMMAND)
    before = read_published() if os.environ.get("HF_MODEL_ID") else None
    name = before["release"]["version"] if before else "no release yet"
    lines = [f"| read right | here | {name} | change |", "| --- | ---: | ---: | ---: |"]
    for score, title in ROWS.items():
        found, n = metrics[score]["accuracy"], metrics[score]["n"]
        low, high = metrics[score]["accuracy_interval"]
        here = f"{percent(found)} ({percent(low)} to {percent(high)}, n {n:,})"
        then, change = "", ""
        if before:
            then = percent(before[score]["accuracy"])
            change = f"{100 * (found - before[score]['accuracy']):+.2f} points"
        lines.append(f"| {title} | {here} | {then} | {change} |")
    training = metrics["training"]
    return "\n".join(
        [
            f"### Preset `{training['preset']}`, seed {training['seed']}",
            "",
            *lines,
            "",
            f"Trained in {training['seconds']:.0f} s on {training['hardware']}; "
            "in brackets the 95 % interval.",
        ]
    )


def read_published() -> dict[str, Any] | None:
    """Return the published release's metrics; None where nothing was released."""
    id = repository("HF_MODEL_ID")
    published = persist(partial(fetch_published, HfApi(), id), id)
    if published is None:
        return None
    metrics: dict[str, Any] = read_json(published / "metrics.json", EVALUATE_COMMAND)
    return metrics if "release" in metrics else None
