"""May this release be published? It is held against floors and against the one before.

Reads `build/model/` and the published release's metrics and predictions; decides, explains, and
writes nothing but its table.
"""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from space.reader import preprocessing
from training.breakdown import compare
from training.card import CardError, card_text, percent
from training.config import FLOORS, REFERENCE
from training.stage import EVALUATE_COMMAND, PUBLISH_COMMAND, StageError, describe_files, read_json

CHANCE = 0.05  # a worse result that is this unlikely among equals is not chance


class GateError(StageError):
    """The release must not be published; the message says why."""


@dataclass(frozen=True)
class Check:
    """One row of the decision."""

    name: str
    found: str
    required: str
    passed: bool


def judge(folder: Path, published: Path | None = None) -> list[Check]:
    """Hold a release against the floors, and against the published one.

    Args:
        folder: The release.
        published: The metrics.json and predictions.npz of the one before; None if it is the first.

    Raises:
        StageError: If it has no metrics.json.
    """
    metrics = read_json(folder / "metrics.json", EVALUATE_COMMAND)
    checks = [check_files(folder, metrics), check_card(folder, metrics), *check_floors(metrics)]
    if published:
        before = read_json(published / "metrics.json", PUBLISH_COMMAND)
        checks += [check_contract(metrics, before), check_not_worse(folder, published)]
    return checks


def require_passed(checks: list[Check]) -> None:
    """Raise GateError, with each reason, unless every check has passed."""
    if failed := [check for check in checks if not check.passed]:
        reasons = "; ".join(f"{c.name}: {c.found}, required: {c.required}" for c in failed)
        raise GateError(
            f"Not published. {reasons}. Train or evaluate anew, or pass --force with a reason."
        )


def table(checks: list[Check]) -> str:
    """Render the decision as Markdown."""
    rows = [f"| {c.name} | {c.found} | {c.required} | {'✓' if c.passed else '✗'} |" for c in checks]
    return "\n".join(["| check | found | required | |", "| --- | --- | --- | --- |", *rows, ""])


def check_files(folder: Path, metrics: dict[str, Any]) -> Check:
    """What is published must be what was measured, byte for byte."""
    files = describe_files(folder)
    names = files.keys() | metrics["files"].keys()
    changed = sorted(name for name in names if files.get(name) != metrics["files"].get(name))
    found = f"{', '.join(changed[:3])} changed since" if changed else f"{len(files)} files are"
    return Check("Files", found, "as they were measured", not changed)


def is_whole(folder: Path) -> bool:
    """Tell whether a folder holds a complete release of what is here.

    Every file is as it was measured, the reader is the one it was measured with, reference.json is
    the one its card cites, and it has a card, whose every value was measured.
    """
    try:
        metrics = read_json(folder / "metrics.json", EVALUATE_COMMAND)
        card_text(metrics)  # of an older version they lack what the card says now
    except StageError:
        return False
    return bool(
        metrics["files"] == describe_files(folder)
        and (folder / "README.md").is_file()
        and filecmp.cmp(folder / "preprocessing.py", preprocessing.__file__, shallow=False)
        and metrics.get("reference") == read_json(REFERENCE, "make reference")
    )


def check_card(folder: Path, metrics: dict[str, Any]) -> Check:
    """The card must be complete, and say what the metrics say."""
    card, required = folder / "README.md", "rendered from metrics.json, no value missing"
    try:
        expected = card_text(metrics)
    except CardError as error:
        return Check("Card", str(error), required, False)
    present = card.read_text("utf-8") if card.is_file() else ""
    found = "as rendered" if present == expected else "another text" if present else "none"
    return Check("Card", found, required, present == expected)


def check_floors(metrics: dict[str, Any]) -> list[Check]:
    """No release may fall below the floors."""
    test, redrawn = metrics["test"]["accuracy"], metrics["redrawn"]["accuracy"]
    error = metrics["test"]["calibration_error"]
    return [
        at_least("Test accuracy", test, FLOORS.test_accuracy),
        at_least("Redrawn accuracy", redrawn, FLOORS.redrawn_accuracy),
        Check(
            "Calibration error",
            percent(error),
            f"at most {percent(FLOORS.calibration_error)}",
            error <= FLOORS.calibration_error,
        ),
    ]


def at_least(name: str, value: float, floor: float) -> Check:
    """Check a share against its floor."""
    return Check(name, percent(value), f"at least {percent(floor)}", value >= floor)


def check_contract(metrics: dict[str, Any], before: dict[str, Any]) -> Check:
    """Who uses the model must be able to go on using it."""
    now, then = (contract(release) for release in (metrics, before))
    return Check("Input and output", now, then, now == then)


def contract(metrics: dict[str, Any]) -> str:
    """Put a model's input and output shapes into words."""
    first, *_, last = metrics["model"]["layers"]
    return f"{first['output']} → {last['output']}"


def check_not_worse(folder: Path, published: Path) -> Check:
    """The new release may misread other test images, but not more of them, beyond chance.

    Source: McNemar 1947, https://doi.org/10.1007/BF02295996, exact and one-sided.
    """
    name, required = "Against the release before", f"not worse (p at least {CHANCE})"
    found = compare(folder, published)
    if found is None:
        return Check(name, "scored on other images, not compared", required, True)
    won, lost, p = found["won"], found["lost"], found["p"]
    return Check(name, f"{won} more read, {lost} no more (p {p:.3f})", required, p >= CHANCE)
