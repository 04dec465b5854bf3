"""The documents: every number in them is read from the release's or the reference's own file.

Fifth stage: renders `build/model/README.md` from `metrics.json` and the template `model_card.md`,
and README's result table from `reference.json`.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from training.config import MNIST, PRESETS
from training.stage import EVALUATE_COMMAND, StageError, read_json, write_text

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "model_card.md"
README = ROOT / "README.md"
MNIST_FACTS = {
    "licence": "CC BY-SA 3.0",
    "label_errors": 15,
    "test_images": 10_000,
}
TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- /results -->)", re.DOTALL)


class CardError(StageError):
    """The card cannot be rendered; the message names what is missing."""


def render_card(build: Path) -> Path:
    """Render the model card of `build/model/` and write it there as README.md.

    Returns:
        The card's file.

    Raises:
        CardError: If the metrics lack a value that the template states.
        StageError: If metrics.json is not there or the place cannot be written.
    """
    folder = build / "model"
    metrics = read_json(folder / "metrics.json", EVALUATE_COMMAND)
    write_text(folder / "README.md", card_text(metrics))
    return folder / "README.md"


def card_text(metrics: dict[str, Any]) -> str:
    """Render the model card of a release.

    Args:
        metrics: What its metrics.json holds.

    Raises:
        CardError: If they lack a value that the template states.
    """
    try:
        metadata = card_metadata(metrics).to_yaml()
        on_mnist = metrics["dataset"]["dataset"] == MNIST
        template = environment().from_string(TEMPLATE.read_text("utf-8"))
        text = template.render(metrics, on_mnist=on_mnist)
    except (jinja2.UndefinedError, KeyError) as error:
        raise CardError(
            f"metrics.json lacks a value that the card states ({error}). "
            f"Make it anew: {EVALUATE_COMMAND}"
        ) from error
    return str(ModelCard(f"---\n{metadata}\n---\n\n{text}"))


def headline(metrics: dict[str, Any]) -> str:
    """Put a release's main numbers into one line."""
    test, training = metrics["test"], metrics["training"]
    low, high = test["accuracy_interval"]
    return (
        f"Read right: {metrics['redrawn']['accuracy']:.2%} of {test['n']:,} redrawn digits, "
        f"{test['accuracy']:.2%} of the test set as it is "
        f"(95 % interval {low:.2%} to {high:.2%}); {metrics['model']['parameters']:,} parameters, "
        f"trained in {training['seconds']:.0f} s (preset {training['preset']})"
    )


def card_metadata(metrics: dict[str, Any]) -> ModelCardData:
    """Fill in the metadata that the Hub reads, from the metrics."""
    own = "MNIST" if metrics["dataset"]["dataset"] == MNIST else "own digits"
    stated = [
        (own, None, "accuracy", metrics["test"]["accuracy"]),
        (own, None, "f1", metrics["test"]["macro_f1"]),
        (own, None, "log_loss", metrics["test"]["log_loss"]),
        (f"{own}, redrawn on a canvas", "redrawn", "accuracy", metrics["redrawn"]["accuracy"]),
    ]
    results = [
        EvalResult(
            task_type="image-classification",
            task_name="Handwritten digit classification",
            dataset_type=metrics["dataset"]["dataset"],
            dataset_name=name,
            dataset_config=variant,  # without one the Hub would take the two for the same
            dataset_split="test",
            dataset_revision=metrics["dataset"]["revision"],
            metric_type=kind,
            metric_name=kind.replace("_", " "),
            metric_value=round(value, 5),
        )
        for name, variant, kind, value in stated
    ]
    return ModelCardData(
        language="en",
        license="apache-2.0",
        library_name="keras",
        pipeline_tag="image-classification",
        tags=["mnist", "handwritten-digits", "cnn", "litert"],
        datasets=[metrics["dataset"]["dataset"]],
        metrics=["accuracy", "f1", "log_loss"],
        model_name="Handwritten digits",
        eval_results=results,
    )


def environment() -> jinja2.Environment:
    """Build the Jinja environment: a missing value is an error, and figures have formats."""
    jinja = jinja2.Environment(  # Markdown, not HTML: nothing to escape
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters |= {
        "percent": percent,
        "thousands": "{:,}".format,
        "interval": interval,
        "plain": "{:.4f}".format,
        "weakest": weakest,
        "weakest_part": weakest_part,
        "hardest": hardest,
        "worse_than": worse_than,
    }
    jinja.globals |= {"facts": MNIST_FACTS, "presets": PRESETS}
    return jinja


def percent(share: float, digits: int = 2) -> str:
    """Print a share, 0 to 1, as a percentage."""
    return f"{100 * share:.{digits}f} %"


def interval(bounds: tuple[float, float], digits: int = 2) -> str:
    """Print the bounds of a share; the sign is never alone on a line."""
    return f"{100 * bounds[0]:.{digits}f} to {100 * bounds[1]:.{digits}f}\u00a0%"


def weakest(shares: list[float]) -> str:
    """Name the digit with the least share."""
    return f"the {min(range(len(shares)), key=shares.__getitem__)}"


def weakest_part(parts: dict[str, Any]) -> str:
    """Name the group with the least share."""
    return min(parts, key=lambda name: float(parts[name]["share"]))


def hardest(kinds: dict[str, Any]) -> list[str]:
    """Name the three kinds of damage with the most errors."""
    return sorted(kinds, key=lambda kind: -float(kinds[kind]["error"]))[:3]


def worse_than(found: dict[str, Any], baseline: dict[str, Any]) -> list[str]:
    """Name the kinds of damage that are read worse than by the baseline, beyond its interval.

    Through `normalize` here, as they are there: each as its own page reads them.
    """
    here, there = found["normalized"]["kinds"], baseline["raw"]["kinds"]
    return [kind for kind in here if here[kind]["error"] > there[kind]["interval"][1]]


def of_seeds(values: list[float], form: Callable[[float], str]) -> str:
    """Print what networks with different seeds reached: the mean, and from which to which."""
    if len(values) == 1:
        return form(values[0])
    mean = form(statistics.mean(values))
    return f"{mean} ({form(min(values))} – {form(max(values))})"


def render_readme(reference: dict[str, Any], readme: str) -> str:
    """Return README's text with its result table rendered from the reference."""
    rows = [
        "| preset | what it is | parameters | redrawn | only resized | test set | seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for preset, result in reference["training"].items():
        accuracies = " | ".join(
            of_seeds(result[f"{name}_accuracy"], percent) for name in ("redrawn", "resized", "test")
        )
        seconds = of_seeds(result["seconds"], "{:.0f}".format)
        epochs = f"{result['epochs']} epoch{'s' * (result['epochs'] > 1)}"
        about = f"{epochs} of the {result['network']} network | {result['parameters']:,}"
        rows.append(f"| `{preset}` | {about} | {accuracies} | {seconds} |")
    rows.append(
        f"\nSeconds are those of training. Measured with `make reference` on "
        f"{reference['created'][:10]} ({reference['hardware']}), "
        "on all 10,000 test images, with the exported LiteRT file: "
        "drawn again on a canvas and normalised by the reader, the same drawings only resized to "
        "28 × 28, and as they are."
    )
    if (seeds := len(result["seconds"])) > 1:
        rows[-1] += f" Each row is of {seeds} networks, with as many seeds: mean (least – most)."
    table = "\n".join(rows) + "\n"
    return TABLE.sub(lambda _: table, readme)
