"""That the benchmarks run; what they measure is for `make bench` to say, on a quiet machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from training.bench import inference, load, normalizing, page, serving
from training.bench.suite import measure_sizes, print_sizes


@pytest.mark.parametrize("program", ["training", "training.bench"])
def test_a_process_that_draws_digits_does_not_import_tensorflow(program: str) -> None:
    code = (
        "import runpy, sys\n"
        f"runpy.run_module({program!r}, run_name='__mp_main__')\n"  # as multiprocessing does it
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow  # it also starts the Space on TensorFlow
def test_the_space_answers_with_either_runtime(
    build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "ROUNDS", 1)
    found = serving.measure_serving(build)
    assert found["litert"]["memory_mb"] < found["tensorflow"]["memory_mb"]
    serving.print_serving(found)
    assert "ratio" in capsys.readouterr().out


@pytest.mark.slow  # it starts three Spaces
def test_many_callers_get_right_answers_of_the_space_and_a_constant(
    build: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load, "CLIENTS", 6)
    monkeypatch.setattr(load, "CALLS", 2)
    found = load.measure_load(build, rounds=1, seconds=3.0)
    for name in ("classify", "constant"):
        (one,) = found[name]
        assert (one["calls"], one["errors"], one["wrong"]) == (12, [], 0)
    assert found["sustained"]["calls"] > 12
    load.print_load(found)
    assert "0 errors, 0 wrong" in capsys.readouterr().out


@pytest.mark.slow  # it starts the Space and a browser
def test_a_strokes_answer_is_timed_in_the_browser(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "STROKES", 2)
    assert 0 < page.bench_page(build)["median_ms"] < 5_000


def test_the_picture_that_is_drawn_anew_is_readmes() -> None:
    assert page.PICTURE.is_file()
    assert f"({page.PICTURE.relative_to(ROOT)})" in (ROOT / "README.md").read_text("utf-8")


def test_every_runtime_and_form_is_measured(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inference, "ROUNDS", 1)
    monkeypatch.setattr(inference, "BUDGET", 0.01)
    monkeypatch.setattr(inference, "BATCHES", (1, 32))
    found = inference.measure_inference(model_dir)
    inference.print_inference(found)
    sizes = measure_sizes(model_dir)
    print_sizes(sizes)
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*found, *sizes))
    assert found["LiteRT, 1 thread"]["one_image_ms"] < found["model.predict"]["one_image_ms"]


def test_drawings_and_photographs_are_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(normalizing, "DRAWINGS", 3)
    monkeypatch.setattr(normalizing, "PHOTOGRAPHS", 1)
    normalizing.print_normalizing(found := normalizing.measure_normalizing())
    printed = capsys.readouterr().out
    assert all(name in printed for name in found)
