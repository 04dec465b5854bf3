import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import fsspec
import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from numpy.typing import NDArray
from PIL import Image

from space.reader import Classifier, Release, UnreadableImageError
from tests.conftest import ROOT, run_training
from training import sources
from training.answers import answer, load, load_model
from training.classify import classify
from training.local_hub.mnist import seed_mnist
from training.local_hub.server import running_hub
from training.sources import BATCH_BYTES, LARGEST_PART, Files, batch_of, cut, part_size
from training.stage import StageError

Arrays = dict[str, NDArray[np.uint8]]
COUNT = 240  # more than one part


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write_parquet(file: Path, cells: list[Any], column: str = "image") -> Path:
    pq.write_table(pa.table({"label": [0] * len(cells), column: cells}), file, row_group_size=100)
    return file


def rows_of(folder: Path | str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.dataset.dataset(str(folder)).to_table().to_pylist()
    return rows


@pytest.fixture(scope="session")
def pngs(mnist: Arrays) -> list[bytes]:
    return [png(image) for image in mnist["test_images"][:COUNT]]


@pytest.fixture
def folder(pngs: list[bytes], tmp_path: Path) -> Path:
    """Images in a folder and one below it; a hidden file is none of them."""
    (tmp_path / "images" / "more").mkdir(parents=True)
    for number, content in enumerate(pngs):
        place = "" if number < 200 else "more/"
        (tmp_path / "images" / f"{place}{number:04}.png").write_bytes(content)
    (tmp_path / "images" / ".hidden").write_text("no image")
    return tmp_path / "images"


def as_folder(folder: Path, pngs: list[bytes]) -> str:
    return str(folder)


def as_glob(folder: Path, pngs: list[bytes]) -> str:
    return f"{folder}/**/*.png"


def as_parquet(folder: Path, pngs: list[bytes]) -> str:
    return str(write_parquet(folder.parent / "digits.parquet", pngs, "scan"))


def as_parquet_folder(folder: Path, pngs: list[bytes]) -> str:
    (place := folder.parent / "parquet").mkdir()
    cells = [{"bytes": content, "path": None} for content in pngs]
    write_parquet(place / "0.parquet", cells[:120])
    write_parquet(place / "1.parquet", cells[120:])
    (place / "README.md").write_text("Digits")
    return str(place)


def as_saved_dataset(folder: Path, pngs: list[bytes]) -> str:
    cells = [{"bytes": content, "path": None} for content in pngs]
    rows = datasets.Dataset.from_dict({"image": cells}).cast_column("image", datasets.Image())
    rows.save_to_disk(folder.parent / "saved")
    return str(folder.parent / "saved")


def as_address(folder: Path, pngs: list[bytes]) -> str:
    place = f"memory://{uuid.uuid4().hex}"
    with fsspec.open(f"{place}/digits.parquet", "wb") as file:
        file.write(Path(as_parquet(folder, pngs)).read_bytes())
    return place


SOURCES = (as_folder, as_glob, as_parquet, as_parquet_folder, as_saved_dataset, as_address)


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_source_gets_the_spaces_answers(
    source: Any, folder: Path, pngs: list[bytes], model_dir: Path, tmp_path: Path
) -> None:
    release = Release(model_dir, commit="c" * 40)
    classify(source(folder, pngs), str(tmp_path / "to"), release)
    rows = rows_of(tmp_path / "to")
    assert len({row["key"] for row in rows}) == COUNT == len(rows)
    wanted = [Classifier(release).classify(content) for content in pngs]
    for row, right in zip(rows, wanted, strict=True):
        assert (row["digit"], row["reason"]) == (right.digit, right.reason)
        np.testing.assert_allclose(row["probabilities"], right.probabilities, atol=1e-5)
        assert row["confidence"] == pytest.approx(max(row["probabilities"]))
        assert row["error"] is None and row["commit"] == "c" * 40


def test_a_cameras_names_and_a_folder_with_brackets_are_read(
    pngs: list[bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "scans [2024]"
    folder.mkdir()
    for name in ("_MG_0001.PNG", "IMG_2.png", ".hidden.png", "_SUCCESS"):
        (folder / name).write_bytes(pngs[0])
    (part,) = cut(str(folder))
    assert [Path(file).name for file in part.paths] == ["IMG_2.png", "_MG_0001.PNG"]
    assert cut(f"{tmp_path}/*/_MG*")


def test_a_dataset_of_the_hub_is_read_at_one_commit(
    mnist: Arrays, model_dir: Path, tmp_path: Path
) -> None:
    few = {name: array[:60] for name, array in mnist.items()}
    seed_mnist(tmp_path / "hub", few)
    with running_hub(tmp_path / "hub") as endpoint:
        environment = os.environ | {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "MODEL_DIR": str(model_dir),
        }
        done = run_training("classify", "ylecun/mnist", "--to", tmp_path / "to", env=environment)
    assert done.returncode == 0, done.stderr
    keys = [row["key"] for row in rows_of(tmp_path / "to")]
    assert keys == [f"{split}#{row}" for split in ("test", "train") for row in range(60)]


def test_a_hub_that_does_not_answer_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "PROBE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = HfApi(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
        with pytest.raises(StageError, match="nor a dataset that the Hub gives .*Timeout"):
            cut("someone/digits")


def test_answers_go_to_any_storage(folder: Path, model_dir: Path) -> None:
    place = f"memory://{uuid.uuid4().hex}"
    classify(str(folder), place, Release(model_dir))
    system, path = fsspec.core.url_to_fs(place)
    assert len(pyarrow.dataset.dataset(path, filesystem=system).to_table()) == COUNT


def test_what_is_no_digit_is_a_row_that_says_why(
    pngs: list[bytes], model_dir: Path, tmp_path: Path
) -> None:
    blank = png(np.full((40, 40), 255, np.uint8))
    scribble = png(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8))
    cells = [pngs[0], blank, b"no image", None, pngs[1][:60], scribble, pngs[2]]
    source = write_parquet(tmp_path / "odd.parquet", cells)
    (model := tmp_path / "model").mkdir()
    (model / "model.tflite").write_bytes((model_dir / "model.tflite").read_bytes())
    (model / "metrics.json").write_text(json.dumps({"refusal": {"threshold": 0.9}}))
    classify(str(source), str(tmp_path / "to"), Release(model))
    first, empty, text, null, half, unsure, last = rows_of(tmp_path / "to")
    assert first["digit"] == 7 and last["digit"] == 1 and first["commit"] is None
    assert (empty["digit"], empty["reason"], empty["confidence"]) == (None, "blank", 0)
    for row in (text, null, half):
        assert row["error"] and row["digit"] is row["confidence"] is row["probabilities"] is None
    assert "holds no image" in null["error"]
    assert (unsure["digit"], unsure["reason"]) == (None, "unsure") and unsure["confidence"] < 0.9


def test_a_file_that_is_gone_is_a_row(pngs: list[bytes], model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(pngs[0])
    part = Files((str(tmp_path / "gone.png"), str(tmp_path / "there.png")))
    gone, there = answer(Classifier(Release(model_dir)), part)
    assert "No such file" in gone["error"]
    assert there["digit"] == 7


@pytest.mark.parametrize("cell", ["", "A" * 5000, "nothing://here"])
def test_a_cell_that_leads_nowhere_is_a_row(cell: str, model_dir: Path, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "odd.parquet", [cell])
    classify(str(source), str(tmp_path / "to"), Release(model_dir))
    (row,) = rows_of(tmp_path / "to")
    assert "There is no image at" in row["error"] and len(row["error"]) < 500


def test_a_network_that_fails_stops_it_and_it_can_go_on(model_dir: Path, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "far.parquet", ["http://127.0.0.1:9/digit.png"])
    with pytest.raises(StageError, match="It stopped .*goes on where it was"):
        classify(str(source), str(tmp_path / "to"), Release(model_dir))


class Answering(BaseHTTPRequestHandler):
    """Answers with the status that is asked for."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_what_a_server_has_not_is_a_row_and_what_it_cannot_give_now_stops() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        for status in (403, 404, 410):
            with pytest.raises(UnreadableImageError, match="There is no image at"):
                load(f"{place}/{status}")
        for status in (408, 429, 500, 503):
            with pytest.raises(OSError, match="cannot be read"):
                load(f"{place}/{status}")
        server.shutdown()


def test_a_finished_run_is_begun_again_on_a_cluster_without_one(
    folder: Path, model_dir: Path, tmp_path: Path
) -> None:
    classify(str(folder), str(tmp_path / "to"), Release(model_dir))
    classify(str(folder), str(tmp_path / "to"), Release(model_dir), "nowhere:6379")


def test_a_run_that_was_killed_goes_on_where_it_was(
    pngs: list[bytes], model_dir: Path, tmp_path: Path
) -> None:
    source = write_parquet(tmp_path / "many.parquet", pngs * 20)
    classify(str(source), str(tmp_path / "whole"), Release(model_dir))
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "training", "classify", str(source), "--to", str(killed)]
    environment = os.environ | {"MODEL_DIR": str(model_dir)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    while len(list(killed.glob("part-*"))) < 20 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = {file: file.stat().st_mtime_ns for file in killed.glob("part-*")}
    (killed / ".part-000099.parquet.1234").write_text("half")  # as a writer leaves it
    done = run_training(*command[3:], env=environment)
    assert 20 <= len(there) < 96 == len(list(killed.glob("part-*")))
    assert done.returncode == 0 and "image/s" in done.stderr and "100%" in done.stderr
    assert {file: file.stat().st_mtime_ns for file in there} == there
    assert rows_of(killed) == rows_of(tmp_path / "whole")
    assert not list(killed.glob(".part-*"))


def test_a_folder_takes_one_source_and_one_release(
    folder: Path, model_dir: Path, tmp_path: Path
) -> None:
    to = str(tmp_path / "to")
    classify(str(folder), to, Release(model_dir))
    with pytest.raises(StageError, match="begun with 240 images of .*, not with these 200 of"):
        classify(f"{folder}/*.png", to, Release(model_dir))
    (other := tmp_path / "other").mkdir()
    (other / "model.tflite").write_bytes((model_dir / "model.tflite").read_bytes())
    with pytest.raises(StageError, match=r"begun with another release \(unpublished\)"):
        classify(str(folder), to, Release(other))
    (other / "notes.txt").touch()
    with pytest.raises(StageError, match="holds other files.*empty folder"):
        classify(str(folder), str(other), Release(model_dir))
    with pytest.raises(StageError, match="is in .*with one outside"):
        classify(str(folder), str(folder / "answers"), Release(model_dir))
    assert not (folder / "answers").exists()


def test_a_release_travels_with_its_files(model_dir: Path) -> None:
    model = load_model(Release(model_dir, commit="c" * 40))
    assert dict(model.files)["model.tflite"] == (model_dir / "model.tflite").read_bytes()
    assert model.commit == "c" * 40


SAYS = {
    "nothing there": ("nowhere", "no image at nowhere.*Pass a folder"),
    "no such dataset": ("nobody/digits", "neither a folder with images nor a dataset.*Hub id"),
    "no such storage": ("nosuch://digits", "cannot be listed.*Check its address"),
    "damaged parquet": ("{tmp}/damaged.parquet", "damaged.parquet cannot be read as parquet"),
    "no images": ("{tmp}/labels.parquet", "no column image; found: label, name"),
    "no rows": ("{tmp}/empty.parquet", "no rows"),
    "both kinds": ("{tmp}/both", "both holds images and parquet.*with a glob"),
    "both kinds by a glob": ("{tmp}/both/*", "holds images and parquet.*with a glob"),
}


@pytest.mark.parametrize(("source", "message"), SAYS.values(), ids=SAYS)
def test_a_source_that_cannot_be_read_is_one_clear_sentence(
    source: str, message: str, model_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "damaged.parquet").write_text("no parquet")
    write_parquet(tmp_path / "empty.parquet", pa.array([], pa.binary()))
    write_parquet(tmp_path / "labels.parquet", ["a", "b"], "name")
    (tmp_path / "both").mkdir()
    write_parquet(tmp_path / "both" / "digits.parquet", [b""])
    (tmp_path / "both" / "digit.JPG").write_bytes(b"")
    with pytest.raises(StageError, match=message):
        classify(source.format(tmp=tmp_path), str(tmp_path / "to"), Release(model_dir))
    assert not (tmp_path / "to").exists()


def test_without_a_release_one_line_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    done = run_training("classify", folder, "--to", tmp_path / "to", "--build", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no model at")


@pytest.mark.skipif(bool(importlib.util.find_spec("ray")), reason="Ray is here")
def test_without_ray_one_line_says_how_to_get_it(
    folder: Path, model_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(StageError, match="Ray is not installed.*make .venv-cluster/installed"):
        classify(str(folder), str(tmp_path / "to"), Release(model_dir), "auto")


def test_parts_and_batches_are_bounded() -> None:
    assert [part_size(images) for images in (1, 10_000, 10**8)] == [50, 100, LARGEST_PART]
    assert batch_of(1_000, 300_000) == LARGEST_PART
    assert batch_of(100, 100 * BATCH_BYTES) == 1
    assert batch_of(10, 5 * BATCH_BYTES) == 2


def test_the_same_parts_are_cut_each_time(folder: Path) -> None:
    assert cut(str(folder)) == cut(str(folder))
    assert sum(map(len, cut(str(folder)))) == COUNT
