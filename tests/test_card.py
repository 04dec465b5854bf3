import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id
from numpy.typing import NDArray

from space.reader import Classifier, Release
from tests.conftest import PARAMETERS, run_training
from training import breakdown, gate
from training.__main__ import parser
from training.card import (
    README,
    CardError,
    card_text,
    interval,
    percent,
    render_card,
    render_readme,
    worse_than,
)
from training.config import MNIST, MNIST_REVISION, PRESETS, REFERENCE
from training.costs import CONTRIBUTING, COSTS, render_contributing
from training.data import cut_validation
from training.export import describe_network, load_network
from training.gate import check_card
from training.metrics import score_fully
from training.model import BUILDERS
from training.predictions import predict
from training.stage import describe_files, read_json


@pytest.fixture
def copy(model_dir: Path, tmp_path: Path) -> Path:
    """A build folder with a release that may be changed."""
    shutil.copytree(model_dir, tmp_path / "model")
    return tmp_path


def test_the_card_has_no_empty_field_and_no_placeholder(model_dir: Path) -> None:
    card = ModelCard.load(model_dir / "README.md")
    data = card.data.to_dict()
    for field in ("language", "license", "library_name", "pipeline_tag", "tags", "datasets"):
        assert data[field], field
    assert card.data.model_name == "Handwritten digits"
    assert not re.search(r"\{\{|\{%|None|undefined|TODO|\[more", card.text)
    assert not re.search(r"\|[ \t]*\|", card.text), "an empty cell"


def test_the_card_states_the_metrics_of_its_own_release(model_dir: Path) -> None:
    metrics = json.loads((model_dir / "metrics.json").read_text())
    card = ModelCard.load(model_dir / "README.md")
    test = metrics["test"]
    results = {
        (result.dataset_name, result.metric_type): result.metric_value
        for result in card.data.eval_results
    }
    assert results["MNIST", "accuracy"] == round(test["accuracy"], 5)
    assert results["MNIST", "f1"] == round(test["macro_f1"], 5)
    drawn = results["MNIST, redrawn on a canvas", "accuracy"]
    assert drawn == round(metrics["redrawn"]["accuracy"], 5)
    assert f"accuracy | {percent(test['accuracy'])} |" in card.text
    assert f"{PARAMETERS:,}\nparameters" in card.text
    redrawn = metrics["redrawn"]
    assert f"| {redrawn['n']:,} | **{percent(redrawn['accuracy'])}** |" in card.text
    assert f"| {test['n']:,} | **{percent(test['accuracy'])}** |" in card.text
    for digit in range(10):
        cells = [
            f"{percent(test[name][digit])} ({interval(test['intervals'][name][digit])})"
            for name in ("precision_by_class", "recall_by_class", "f1_by_class")
        ]
        n = sum(test["confusion_matrix"][digit])
        assert f"| {digit} | {n:,} | {' | '.join(cells)} |" in card.text
    for layer in metrics["model"]["layers"]:
        shape = " × ".join(map(str, layer["output"]))
        assert f"| {layer['type']} | {shape} | {layer['parameters']:,} |" in card.text
    for kind, found in metrics["corruptions"]["normalized"]["kinds"].items():
        assert f"| {kind} | {found['n']:,} | {percent(found['error'], 1)} (" in card.text
    for name, file in metrics["files"].items():
        assert f"| `{name}` | {file['bytes']:,} | `{file['sha256'][:16]}…` |" in card.text


def test_every_picture_of_the_card_is_there_and_described(model_dir: Path) -> None:
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", (model_dir / "README.md").read_text())
    assert {target for _, target in pictures} == {
        f"figures/{file.name}" for file in (model_dir / "figures").iterdir()
    }
    assert all(len(text) > 20 for text, _ in pictures)


def test_a_release_that_began_with_no_other_names_none(model_dir: Path) -> None:
    history = read_json(model_dir / "history.json", "")
    assert history["config"]["start"] == ""
    assert "It began with" not in (model_dir / "README.md").read_text("utf-8")


def test_tables_of_the_card_are_whole(model_dir: Path) -> None:
    text = (model_dir / "README.md").read_text()
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {line.count("|") for line in table.splitlines()}
        assert len(widths) == 1, table
        assert re.match(r"\|.*\|\n\|[ :|-]+\|\n\|", table), table


@pytest.mark.parametrize(
    "path",
    [
        "test.macro_f1",
        "redrawn.accuracy",
        "training.epochs",
        "test.intervals",
        "corruptions.raw",
        "refusal.curve",
        "reference",
        "dataset.sizes",
        "files",
        "git_commit",
        "git_repository",
    ],
)
def test_a_missing_value_stops_rendering_with_its_name(copy: Path, path: str) -> None:
    file = copy / "model" / "metrics.json"
    metrics = json.loads(file.read_text())
    *parents, name = path.split(".")
    place = metrics
    for parent in parents:
        place = place[parent]
    del place[name]
    file.write_text(json.dumps(metrics))
    (copy / "model" / "README.md").write_text("old")
    with pytest.raises(CardError, match=name):
        render_card(copy)
    assert (copy / "model" / "README.md").read_text() == "old"


def test_a_model_trained_on_own_digits_does_not_claim_mnist(copy: Path) -> None:
    file = copy / "model" / "metrics.json"
    metrics = json.loads(file.read_text())
    metrics["dataset"] |= {"dataset": "my-digits", "revision": None, "origin": "folder"}
    file.write_text(json.dumps(metrics))
    card = ModelCard.load(render_card(copy))
    assert card.data.eval_results[0].dataset_name == "own digits"
    assert "ylecun" not in card.content
    for said in ("LeCun, Corinna", "CC BY-SA", "census", "early trials", "of the baseline's"):
        assert said not in card.content
    assert "`my-digits`: who wrote these digits" in card.content


@pytest.mark.parametrize("block", [0, 1], ids=["LiteRT", "Keras"])
def test_the_cards_snippets_run_as_printed(model_dir: Path, tmp_path: Path, block: int) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    shutil.copy(README.parent / "space" / "examples" / "three.png", folder / "digit.png")
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[block]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].startswith("3 "), done.stderr


def test_the_readmes_table_is_the_references() -> None:
    readme, reference = README.read_text("utf-8"), json.loads(REFERENCE.read_text("utf-8"))
    assert render_readme(reference, readme) == readme
    altered = re.sub(r"(?<=\| `quick` \| )\d", "9", readme)
    assert altered != readme and render_readme(reference, altered) == readme


@pytest.mark.parametrize("name", PRESETS)
def test_the_reference_is_of_the_presets_as_they_are(name: str) -> None:
    measured, preset = read_json(REFERENCE, "make reference")["training"][name], PRESETS[name]
    assert (measured["network"], measured["epochs"]) == (preset.network, preset.epochs)
    assert measured["parameters"] == BUILDERS[preset.network]().count_params()


def test_the_table_in_contributing_is_that_of_the_costs() -> None:
    text = CONTRIBUTING.read_text("utf-8")
    assert render_contributing(json.loads(COSTS.read_text("utf-8")), text) == text
    assert (
        render_contributing(json.loads(COSTS.read_text("utf-8")), text.replace("| 2", "| 3"))
        == text
    )


def test_one_altered_digit_anywhere_in_the_card_is_seen_by_the_gate(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy / "model"
    metrics = json.loads((folder / "metrics.json").read_text())
    card = render_card(copy).read_text("utf-8")
    assert check_card(folder, metrics).passed
    text = gate.card_text(metrics)
    monkeypatch.setattr(gate, "card_text", lambda _: text)  # once: it takes a quarter of a second
    places = [place for place, sign in enumerate(card) if sign.isdigit()]
    assert len(places) > 1_000
    for place in places[:: len(places) // 60]:
        altered = card[:place] + str(9 - int(card[place])) + card[place + 1 :]
        (folder / "README.md").write_text(altered, "utf-8")
        assert not check_card(folder, metrics).passed, card[place - 20 : place + 20]


def test_the_cards_numbers_are_those_of_the_shipped_files(
    model_dir: Path, mnist: dict[str, NDArray[np.uint8]]
) -> None:
    metrics = json.loads((model_dir / "metrics.json").read_text())
    digits = cut_validation(mnist, MNIST, MNIST_REVISION, "offline copy")
    classifier = Classifier(Release(model_dir))
    tested = predict(classifier, digits.test.images)
    assert np.abs(tested - np.load(model_dir / "predictions.npz")["probabilities"]).max() < 1e-6
    validated = predict(classifier, digits.validation.images)
    found = {
        "test": score_fully(tested, digits.test.labels),
        "validation": score_fully(validated, digits.validation.labels),
        "model": describe_network(load_network(model_dir / "model.keras")),
        "files": describe_files(model_dir),
        "reference": json.loads(REFERENCE.read_text("utf-8")),
    }
    for name, value in found.items():
        assert not differences(json.loads(json.dumps(value)), metrics[name]), name


@pytest.mark.slow
def test_scoring_the_shipped_files_again_gives_the_same_card(build: Path, tmp_path: Path) -> None:
    shutil.copytree(build, tmp_path / "build")
    (tmp_path / "build" / "model" / "README.md").unlink()
    for command in ("evaluate", "card"):
        done = run_training(command, "--build", tmp_path / "build")
        assert done.returncode == 0, done.stderr
    before, after = (
        json.loads((place / "model" / "metrics.json").read_text())
        for place in (build, tmp_path / "build")
    )
    assert check_card(tmp_path / "build" / "model", after).passed
    for varying in ("created", "git_commit", "git_repository"):
        del before[varying], after[varying]
    assert not differences(after, before)


def differences(found: Any, stated: Any, path: str = "") -> list[str]:
    """Name every leaf in which two trees differ, floats by more than one in a billion."""
    if isinstance(found, dict) and isinstance(stated, dict):
        keys = found.keys() | stated.keys()
        return sum((differences(found.get(k), stated.get(k), f"{path}.{k}") for k in keys), [])
    if isinstance(found, list) and isinstance(stated, list) and len(found) == len(stated):
        pairs = enumerate(zip(found, stated, strict=True))
        return sum((differences(a, b, f"{path}.{at}") for at, (a, b) in pairs), [])
    if isinstance(found, float) and isinstance(stated, float):
        return [] if found == pytest.approx(stated, rel=1e-9, abs=1e-12) else [path]
    return [] if found == stated else [path]


def test_a_difference_in_any_one_number_is_seen() -> None:
    tree = {"a": [1, 2.5], "b": {"c": "x"}}
    assert differences(tree, json.loads(json.dumps(tree))) == []
    for other in ({"a": [1, 2.6], "b": {"c": "x"}}, {"a": [1, 2.5]}, {"a": [2, 2.5], "b": {}}):
        assert differences(tree, other)


def published(metrics: dict[str, Any], before: object) -> str:
    """Render the card as that of a published release."""
    release = {"id": "a/b", "version": "v2026.11.25.1", "number": 2, "forced": "", "before": before}
    return card_text(metrics | {"release": release})


def test_the_card_compares_with_the_release_before_or_says_there_is_none(model_dir: Path) -> None:
    metrics = json.loads((model_dir / "metrics.json").read_text())
    assert "This is the first release" in published(metrics, None)
    change = breakdown.compare(model_dir, model_dir)
    text = published(metrics, {"version": "v2026.11.24.1", "change": change})
    assert "10,000 test images this release reads 0 that v2026.11.24.1 misread" in text
    other = published(metrics, {"version": "v2026.11.24.1", "change": None})
    assert "v2026.11.24.1, was scored on other images" in other


@pytest.mark.parametrize(
    ("changed", "dataset", "command"),
    [
        ({}, MNIST, "prepare --preset quick\n```"),
        ({"seed": 3}, MNIST, "train --preset quick --seed 3\n"),
        ({"start": "a/b@v1"}, "c/d", 'train --preset quick --dataset c/d --from "a/b@v1"\n'),
        ({"preset": "tuned", "start": "x"}, MNIST, "train --preset preset.json\n"),
    ],
)
def test_the_card_says_how_to_make_just_this_again(
    model_dir: Path, changed: dict[str, Any], dataset: str, command: str
) -> None:
    metrics = json.loads((model_dir / "metrics.json").read_text())
    metrics["training"] |= changed
    metrics["dataset"]["dataset"] = dataset
    text = card_text(metrics)
    assert f"\n.venv/bin/python -m training {command}" in text
    assert ("training evaluate\n.venv/bin/python -m training card\n```" in text) == bool(changed)
    assert ("for the file `preset.json`" in text) == ("preset" in changed)


def test_the_baselines_damage_is_shown_once_it_was_measured(model_dir: Path) -> None:
    metrics = json.loads((model_dir / "metrics.json").read_text())
    measured = metrics["corruptions"]
    metrics["reference"]["training"]["baseline"]["corruptions"] = measured
    text = card_text(metrics)
    assert "has not been measured" not in text
    worse = worse_than(measured, measured)
    assert (
        (f"worse than that: {', '.join(worse)}." in text) if worse else "No kind is worse" in text
    )
    better = json.loads(json.dumps(measured))
    for kind in better["raw"]["kinds"].values():
        kind["interval"] = [0, 0]
    assert (
        "shift" in worse_than(measured, better)
        or not measured["normalized"]["kinds"]["shift"]["error"]
    )


def test_the_metadata_keeps_the_hubs_rules(model_dir: Path) -> None:
    card = ModelCard.load(model_dir / "README.md")
    data = card.data.to_dict()
    assert re.fullmatch(r"[a-z]{2,3}", data["language"])
    assert data["license"] in {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0"}
    assert data["pipeline_tag"] == "image-classification" and data["library_name"] == "keras"
    for name in data["datasets"]:
        validate_repo_id(name)
    assert set(data["metrics"]) == {result.metric_type for result in card.data.eval_results}
    assert all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in data["tags"])
    assert len({result.unique_identifier for result in card.data.eval_results}) == 2
    for result in card.data.eval_results:
        assert result.task_type == data["pipeline_tag"] and result.dataset_type in data["datasets"]
        assert 0 <= result.metric_value <= 1 and result.dataset_split == "test"
        assert re.fullmatch(r"[0-9a-f]{40}", result.dataset_revision)


STOP = re.compile(r"^\d+\. .*?`([\w/.]+)`.*?```sh\n(.*?)```", re.MULTILINE | re.DOTALL)


def tour() -> list[tuple[str, str]]:
    section = README.read_text("utf-8").split("## A guided tour")[1].split("\n## ")[0]
    return [(file, textwrap.dedent(command).strip()) for file, command in STOP.findall(section)]


def test_the_tour_has_ten_stops_with_a_file_each() -> None:
    assert len(tour()) == 10
    for file, _ in tour():
        assert (README.parent / file).is_file(), file


@pytest.mark.parametrize("stop", tour(), ids=[file for file, _ in tour()])
def test_the_tours_commands_work(stop: tuple[str, str]) -> None:
    _, command = stop
    words = shlex.split(command, comments=True)
    if words[:2] == ["python", "-c"]:
        code = [sys.executable, *words[1:]]
        done = subprocess.run(code, cwd=README.parent, capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.strip(), done.stderr
    elif words[:3] == ["python", "-m", "training"]:  # each is run by tests of its own
        assert parser().parse_args(words[3:]).command
    else:
        assert words[0] == "make"
        assert re.search(rf"^{words[1]}:", (README.parent / "Makefile").read_text(), re.MULTILINE)
