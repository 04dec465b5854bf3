import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from training.card import README, REFERENCE, CardError, percent, render_card, render_readme
from training.costs import CONTRIBUTING, COSTS, render_contributing


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
    assert "114,842\nparameters" in card.text
    redrawn = metrics["redrawn"]
    assert f"| {redrawn['n']:,} | **{percent(redrawn['accuracy'])}** |" in card.text
    assert f"| {test['n']:,} | **{percent(test['accuracy'])}** |" in card.text
    for digit in range(10):
        cells = [percent(test[f"{name}_by_class"][digit]) for name in ("precision", "recall", "f1")]
        assert f"| {digit} | {' | '.join(cells)} |" in card.text
    for name, file in metrics["files"].items():
        assert f"| `{name}` | {file['bytes']:,} | `{file['sha256'][:16]}…` |" in card.text


def test_every_picture_of_the_card_is_there_and_described(model_dir: Path) -> None:
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", (model_dir / "README.md").read_text())
    assert {target for _, target in pictures} == {
        f"figures/{file.name}" for file in (model_dir / "figures").iterdir()
    }
    assert all(len(text) > 20 for text, _ in pictures)


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
        "dataset.sizes",
        "files",
        "git_commit",
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


@pytest.mark.parametrize("block", [0, 1], ids=["LiteRT", "Keras"])
def test_the_cards_snippets_run_as_printed(model_dir: Path, tmp_path: Path, block: int) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    shutil.copy(README.parent / "space" / "examples" / "three.png", folder / "digit.png")
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[block]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].startswith("3 "), done.stderr


def test_the_readmes_table_is_the_references() -> None:
    readme = README.read_text("utf-8")
    assert render_readme(json.loads(REFERENCE.read_text("utf-8")), readme) == readme


def test_the_table_in_contributing_is_that_of_the_costs() -> None:
    text = CONTRIBUTING.read_text("utf-8")
    assert render_contributing(json.loads(COSTS.read_text("utf-8")), text) == text
    assert (
        render_contributing(json.loads(COSTS.read_text("utf-8")), text.replace("| 2", "| 3"))
        == text
    )


def test_one_altered_digit_in_the_readmes_table_is_seen() -> None:
    readme = README.read_text("utf-8")
    reference = json.loads(REFERENCE.read_text("utf-8"))
    begin, end = readme.index("<!-- results -->"), readme.index("<!-- /results -->")
    digits = [place for place in range(begin, end) if readme[place].isdigit()]
    assert len(digits) > 20
    for place in digits:
        altered = readme[:place] + str(9 - int(readme[place])) + readme[place + 1 :]
        assert render_readme(reference, altered) != altered
