import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import ROOT
from training.callbacks import OneCycle, ProgressBar
from training.config import PRESETS, Config
from training.data import Digits, Split, cut_validation
from training.handwriting import ink_depths
from training.model import build_baseline
from training.stage import StageError, read_json
from training.train import (
    TrainingError,
    begin,
    distorted_batches,
    fit,
    handwritings,
    learn,
    one_hot,
    steps_per_epoch,
    train,
    validate,
)

TINY = Config("tiny", epochs=1, batch_size=64)
FIRST_SEED = 6  # of three; the second is the best where this was written


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = np.array([float(OneCycle(0.5, 100)(step)) for step in range(101)])
    assert rates[0] == pytest.approx(0, abs=1e-6)
    assert rates[10] == rates.max() == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-6)
    assert (np.diff(rates[:11]) > 0).all() and (np.diff(rates[10:]) < 0).all()


@pytest.fixture(scope="module")
def several(
    few_digits: Digits, tmp_path_factory: pytest.TempPathFactory
) -> tuple[keras.Model, Any]:
    """The best of three networks, and its history."""
    build = tmp_path_factory.mktemp("several")
    model = train(replace(TINY, seed=FIRST_SEED), few_digits, build, seeds=3)
    return model, read_json(build / "training" / "history.json", "")


@pytest.mark.parametrize("call", [4, 7, 50])
@pytest.mark.filterwarnings("error:Your input ran out of data")
def test_the_steps_of_every_pass_are_taken_in_whole_calls(few_digits: Digits, call: int) -> None:
    config = replace(TINY, epochs=3, steps_per_call=call)  # of 18 batches
    steps = steps_per_epoch(config, few_digits)
    assert steps <= 18 < steps + call
    progress, model = ProgressBar(3, steps), begin(config)
    curves = learn(model, config, few_digits, [progress])
    assert int(model.optimizer.iterations) == progress.bar.n == progress.bar.total == 3 * steps
    assert len(curves["val_accuracy"]) == 3


@pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow has oneDNN for x86 alone")
def test_training_convolves_with_onednn_on_any_processor() -> None:
    code = """if True:
        import training
        import tensorflow as tf
        tf.function(tf.nn.conv2d)(tf.ones((1, 28, 28, 1)), tf.ones((3, 3, 1, 8)), 1, "VALID")"""
    seen = os.environ | {"ONEDNN_VERBOSE": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=seen, capture_output=True, text=True)
    assert "cpu,convolution" in done.stdout, done.stderr


def test_the_same_seed_gives_the_same_weights_and_a_steps_graph_is_built_once(
    several: tuple[keras.Model, Any], few_digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, step = [], keras.Model.train_step
    monkeypatch.setattr(
        keras.Model, "train_step", lambda *given: (built.append(1), step(*given))[1]
    )
    model, history = several
    seed = history["config"]["seed"]
    same, other = (fit(replace(TINY, seed=seed + more), few_digits)[0] for more in (0, 1))
    assert len(built) == 2
    pairs = zip(model.get_weights(), same.get_weights(), other.get_weights(), strict=True)
    equal = [((kept == again).all(), (kept == another).all()) for kept, again, another in pairs]
    assert all(again for again, _ in equal) and not all(another for _, another in equal)


def test_of_several_seeds_that_which_reads_most_validation_digits_is_kept(
    several: tuple[keras.Model, Any], few_digits: Digits
) -> None:
    model, history = several
    seeds = history["seeds"]
    assert len(seeds["values"]) == 3
    assert validate(model, few_digits.validation)[0] == max(seeds["values"])
    assert seeds["values"][history["config"]["seed"] - FIRST_SEED] == max(seeds["values"])
    assert seeds["mean"] == pytest.approx(np.mean(seeds["values"]))
    assert seeds["interval"][0] < seeds["mean"] < seeds["interval"][1]


def test_a_release_is_fine_tuned_and_stays_what_it_was(few_digits: Digits, model_dir: Path) -> None:
    few = replace(
        few_digits, train=Split(few_digits.train.images[:64], few_digits.train.labels[:64])
    )
    _, anew = fit(TINY, few)
    before = (model_dir / "model.keras").read_bytes()
    model, tuned = fit(TINY.going_on_from(str(model_dir)), few)
    assert tuned["curves"]["val_accuracy"][-1] > 0.9 > anew["curves"]["val_accuracy"][-1]
    released = keras.saving.load_model(model_dir / "model.keras").get_weights()
    assert any((old != new).any() for old, new in zip(released, model.get_weights(), strict=True))
    assert (model_dir / "model.keras").read_bytes() == before


def test_another_network_is_not_gone_on_from(few_digits: Digits, tmp_path: Path) -> None:
    build_baseline().save(tmp_path / "model.keras")
    with pytest.raises(TrainingError, match="another network.*leave out --from"):
        fit(TINY.going_on_from(str(tmp_path)), few_digits)


def test_each_epoch_brings_every_image_in_another_order_and_form() -> None:
    images = np.zeros((256, 28, 28), np.uint8)
    images[:, 10:18, 10:18] = 255
    split = Split(images, np.arange(256, dtype=np.uint8) % 10)
    batches = [(x.numpy(), y.numpy()) for x, y in distorted_batches(split, TINY, 8)]
    first, second = batches[:4], batches[4:]
    assert sum(len(y) for _, y in first) == 256
    assert (sum(y.sum(0) for _, y in first) == np.bincount(split.labels)).all()
    assert (first[0][1] != second[0][1]).any()
    assert (first[0][0] != second[0][0]).any()


def test_other_handwritings_come_in_when_the_configuration_says(few_digits: Digits) -> None:
    labels = (np.arange(640) % 10 == 0).astype(np.uint8)  # only ones are traced
    split = Split(few_digits.train.images[:640], labels)
    config = replace(TINY, handwriting=0.6, handwriting_from=0.5, traced=64)
    ones = np.array([y.numpy()[:, 1].mean() for _, y in distorted_batches(split, config, 20)])
    assert ones[:10].mean() == pytest.approx(0.1)
    assert ones[10:].mean() == pytest.approx(0.6 + 0.4 * 0.1, abs=0.08)


def test_other_handwritings_are_written_while_the_training_needs_none(
    few_digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(TINY, handwriting=0.6, handwriting_from=0.5, traced=64)
    expected = [x.numpy() for x, _ in distorted_batches(few_digits.train, config, 20)]
    needed = threading.Event()

    def write_late(*digits: Any) -> NDArray[np.uint8]:
        assert needed.wait(60)
        return ink_depths(*digits)

    monkeypatch.setattr("training.train.ink_depths", write_late)
    batches = iter(distorted_batches(few_digits.train, config, 20))
    seen = [next(batches)[0].numpy() for _ in range(10)]
    needed.set()
    seen += [x.numpy() for x, _ in batches]
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate(expected))


def test_other_handwritings_keep_their_digits() -> None:
    images = np.zeros((64, 28, 28), np.uint8)
    images[::2, 4:24, 12:16] = images[1::2, 12:16, 4:24] = 255
    split = Split(images, np.array([2, 6] * 32, np.uint8))  # neither is given a style
    for seen, targets in distorted_batches(split, replace(TINY, handwriting=1.0), 4):
        rows, columns = ((seen.numpy()[..., 0].max(axis) > 0).sum(1) for axis in (2, 1))
        assert ((rows > columns) == (targets.numpy().argmax(1) == 2)).all()


def test_targets_of_other_handwritings_are_spread_as_the_configuration_says(
    few_digits: Digits,
) -> None:
    config = replace(TINY, handwriting=1.0, handwriting_smoothing=0.2, traced=64)
    _, targets = handwritings(few_digits.train, config)
    labels = few_digits.train.some(64).labels
    assert (targets.argmax(1) == labels).all()
    assert targets == pytest.approx(0.8 * one_hot(labels) + 0.02)


@pytest.mark.parametrize(("trained", "tested"), [(19, 10), (20, 9), (20, 10)])
def test_too_few_digits_end_the_command_before_it_trains(
    mnist: dict[str, NDArray[np.uint8]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: int,
    tested: int,
) -> None:
    def begun(*_: object) -> None:
        raise StageError("It trains.")

    monkeypatch.setattr("training.cluster.spread", begun)
    few = {name: array[: trained if "train" in name else tested] for name, array in mnist.items()}
    enough = trained == 20 and tested == 10
    said = "It trains" if enough else "few has too few digits: at least 20 .* train and 10 in test"
    with pytest.raises(StageError, match=said):
        train(TINY, cut_validation(few, "few", None, "folder"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_no_number_ends_with_a_clear_error(
    few_digits: Digits, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="no longer a number.*lower the learning rate"):
        train(replace(TINY, learning_rate=float("inf")), few_digits, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_baseline_learns_by_the_articles_recipe(few_digits: Digits) -> None:
    model, history = fit(replace(PRESETS["baseline"], epochs=3), few_digits)
    assert history["curves"]["val_accuracy"][-1] > 0.7
    assert model.count_params() == 225_034


def test_no_file_of_a_release_holds_the_optimizers_state(model_dir: Path) -> None:
    with h5py.File(model_dir / "model.weights.h5") as weights:
        assert "optimizer" not in weights
    assert not keras.saving.load_model(model_dir / "model.keras").compiled


def start_training(own_digits: Path, build: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "training", "train", "--preset", "quick"]
    return subprocess.Popen(
        [*command, "--dataset", str(own_digits), "--build", str(build)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_training_that_is_stopped_leaves_the_model_that_was_there(
    end: signal.Signals, build: Path, own_digits: Path, tmp_path: Path
) -> None:
    build = Path(shutil.copytree(build, tmp_path / "build"))
    before = {file: file.read_bytes() for file in build.rglob("*") if file.is_file()}
    process = start_training(own_digits, build)
    assert process.stdout
    said = ""
    # not before: TensorFlow swallows SIGINT at some places where it starts
    while "Training" not in said and process.poll() is None:
        said += process.stdout.read(1)
    assert (build / ".training.partial").exists()
    process.send_signal(end)
    said += process.communicate(timeout=60)[0]
    assert process.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in said
    assert {file: file.read_bytes() for file in before} == before
    if end == signal.SIGINT:
        assert "Stopped" in said
        assert not [place for place in build.iterdir() if place.name.startswith(".")]


def test_a_training_that_is_stopped_waits_for_nothing_that_is_made_aside(
    own_digits: Path, tmp_path: Path
) -> None:
    late = replace(PRESETS["quick"], epochs=500, handwriting_from=0.9)
    (tmp_path / "late.json").write_text(json.dumps(asdict(late)))
    code = (
        "import runpy, signal\n"
        "from training import parallel, train\n"
        "endless = signal.sigwait, [signal.SIGUSR1] * 400\n"
        "train.ink_depths = lambda *_: parallel.stack_chunks(*endless)\n"
        "runpy.run_module('training', run_name='__main__')\n"
    )
    options = ["--preset", str(tmp_path / "late.json"), "--dataset", str(own_digits)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", *options, "--build", str(tmp_path / "build")],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    said = ""
    while "epoch 2/" not in said and process.poll() is None:
        said += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    try:
        said += process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Stopped" in said and "Traceback" not in said


def test_training_shows_progress_with_the_time_left(build: Path) -> None:
    said = (build / "prepare.log").read_text()
    assert "100%" in said and "<00:00" in said
    assert "epoch 1/1, validation" in said
    history = read_json(build / "model" / "history.json", "")
    assert len(history["curves"]["val_accuracy"]) == 1


@pytest.mark.slow  # it is trained and exported
def test_a_release_names_no_path_of_its_maker(own_digits: Path, tmp_path: Path) -> None:
    start_training(own_digits, tmp_path).communicate(timeout=300)
    said = (tmp_path / "model" / "history.json").read_text()
    assert str(own_digits.parent) not in said
