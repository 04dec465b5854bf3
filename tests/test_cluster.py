"""On a real Ray cluster: two nodes on loopback, each as large as one processor."""

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import ROOT, run_training
from training.config import load_preset
from training.sources import LARGEST_PART
from training.stage import read_json

pytestmark = pytest.mark.cluster

IMAGES = 200_000
PARTS = IMAGES // LARGEST_PART


@pytest.fixture(scope="module")
def environment(model_dir: Path) -> Iterator[dict[str, str]]:
    """What keeps Ray on loopback, and its files in a folder of ours."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)  # short: a socket's path has 107 characters at most
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # else it listens to the world
        patch.setenv("RAY_AUTH_MODE", "disabled")  # no token of this machine's owner
        patch.setenv("MODEL_DIR", str(model_dir))
        yield dict(os.environ)


NOTE_READS = """
import os, sys

def note(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".parquet"):
        file = os.open(os.environ["READS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, os.fsencode(arguments[0]) + bytes([10]))
        os.close(file)

sys.addaudithook(note)
"""


@pytest.fixture
def reads(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str]]:
    """What the cluster's workers, and not the driver, have begun to read: a file for each time."""
    (tmp_path / "sitecustomize.py").write_text(NOTE_READS)  # every Python runs it first
    noted = tmp_path / "reads"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("READS", str(noted))
    return lambda: noted.read_text().splitlines()


@pytest.fixture
def nodes(environment: dict[str, str], reads: Any) -> Iterator[list[Any]]:
    """The two nodes of a cluster, as large as one processor each."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 200_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    yield [cluster.head_node, cluster.add_node(**small)]
    cluster.shutdown()


def processes_of(node: Any) -> list[psutil.Process]:
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [raylet, *raylet.children(recursive=True)]


def lose(node: Any) -> None:
    """Kill a node with all that runs on it, as when its machine loses power."""
    for process in processes_of(node):
        process.kill()


def works(node: Any) -> bool:
    """Whether a task of `spread` runs on a node: Ray names a worker after its task."""
    for process in processes_of(node):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "ray::MapBatches(do)" in " ".join(process.cmdline()):
                return True
    return False


@contextmanager
def started(environment: dict[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, and kill it if it has not ended."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_while_running(process: subprocess.Popen[bytes], until: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not until():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end, "it did not come so far in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def source(mnist: dict[str, NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST, train and test, repeated, in files that are a part each."""
    pngs = []
    for image in np.concatenate([mnist["train_images"], mnist["test_images"]])[:IMAGES]:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        pngs.append(file.getvalue())
    cells = (pngs * (IMAGES // len(pngs) + 1))[:IMAGES]
    place = tmp_path_factory.mktemp("source")
    for part in range(PARTS):
        own = cells[part * LARGEST_PART : (part + 1) * LARGEST_PART]
        pq.write_table(pa.table({"image": own}), place / f"{part:03}.parquet")
    return place


@pytest.fixture(scope="module")
def alone(
    source: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> pa.Table:
    """What one process answers."""
    folder = tmp_path_factory.mktemp("alone") / "to"
    done = run_training("classify", source, "--to", folder, env=environment)
    assert done.returncode == 0, done.stderr
    return answers_in(folder)


def answers_in(folder: Path) -> pa.Table:
    return pyarrow.dataset.dataset(str(folder)).to_table()


def parts_in(folder: Path) -> dict[str, int]:
    """The parts that are there, and when each was written."""
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("part-*")}


def share_repeated(begun: list[str], source: Path) -> float:
    """The share of the images that were read again; a part that was only begun counts whole."""
    assert set(begun) == {str(file) for file in source.iterdir()}
    share = (len(begun) - PARTS) / PARTS
    print(f"read again: {share:.1%}")
    return share


def classify_command(source: Path, folder: Path) -> list[str]:
    words = ["classify", str(source), "--to", str(folder), "--address", "auto"]
    return [sys.executable, "-m", "training", *words]


def test_a_node_is_lost_and_no_answer_is(
    nodes: list[Any],
    reads: Callable[[], list[str]],
    source: Path,
    alone: pa.Table,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "to"
    with started(environment, *classify_command(source, folder)) as driver:
        wait_while_running(driver, lambda: len(parts_in(folder)) >= PARTS // 2)
        lose(nodes[1])
        assert driver.wait(timeout=600) == 0
    assert share_repeated(reads(), source) < 0.05
    found = answers_in(folder)
    assert len(found) == IMAGES == len(set(found["key"].to_pylist()))
    assert found.equals(alone)


def test_a_driver_that_was_killed_goes_on_where_it_was(
    nodes: list[Any],
    reads: Callable[[], list[str]],
    source: Path,
    alone: pa.Table,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "to"
    with started(environment, *classify_command(source, folder)) as driver:
        wait_while_running(driver, lambda: len(parts_in(folder)) >= PARTS // 2)
        driver.kill()
        driver.wait()
    time.sleep(5)  # for its tasks to end with it
    there = parts_in(folder)
    assert PARTS // 2 <= len(there) < PARTS
    begun = subprocess.run(classify_command(source, folder), cwd=ROOT, env=environment)
    assert begun.returncode == 0
    assert there.items() <= parts_in(folder).items()
    assert share_repeated(reads(), source) < 0.05
    found = answers_in(folder)
    assert len(found) == IMAGES == len(set(found["key"].to_pylist()))
    assert found.equals(alone)


ALONE = ["unshare", "--net", "--pid", "--fork", "--mount-proc"]  # a machine of its own, in effect


def test_two_machines_are_started_by_hand_as_the_readme_says(
    own_digits: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    if not shutil.which("unshare") or subprocess.run([*ALONE, "true"]).returncode:
        pytest.skip("only root may make a network of its own, in which Ray listens to nobody else")
    section = (ROOT / "README.md").read_text("utf-8").split("## Beyond one machine")[1]
    commands = section.split("```sh\n")[1].split("```")[0].splitlines()
    names = {
        "first-machine": "127.0.0.1",
        "s3://scans/": str(own_digits),
        "s3://answers/": str(tmp_path / "to"),
    }
    wanted = [line for line in commands if "ray " in line or "RAY_" in line or "s3://" in line]
    assert len(wanted) == 5
    script = "\n".join(["ip link set lo up", *wanted, "ray status"])
    for name, ours in names.items():
        script = script.replace(name, ours)
    places = f"{Path(sys.executable).parent}:{environment['PATH']}"
    alone = {key: value for key, value in environment.items() if not key.startswith("RAY_E")}
    # Files of their own, in which Ray would later look for a cluster that is no more.
    own = tempfile.mkdtemp(dir=environment["RAY_TMPDIR"])
    alone |= {"HOME": str(tmp_path), "PATH": places, "RAY_TMPDIR": own}
    done = subprocess.run(
        [*ALONE, "bash", "-ec", script], cwd=ROOT, env=alone, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Starting execution" not in done.stderr  # the only bar is ours
    assert done.stdout.split("Active:")[1].split("Pending:")[0].count("node_") == 2
    assert len(answers_in(tmp_path / "to")) == 500


@pytest.mark.parametrize(
    ("address", "left"),
    [("auto", ""), ("auto", "127.0.0.1:{port}"), ("127.0.0.1:{port}", ""), ("127.0.0.1:1", "")],
    ids=["none is known", "the known one is no more", "nobody listens", "nobody may listen"],
)
def test_one_line_soon_says_that_no_cluster_answers(
    address: str, left: str, environment: dict[str, str], own_digits: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # of nobody once it is closed
    with tempfile.TemporaryDirectory(dir=environment["RAY_TMPDIR"]) as own:
        if left:
            (Path(own) / "ray").mkdir()
            (Path(own) / "ray" / "ray_current_cluster").write_text(left.format(port=port))
        words = ["classify", own_digits, "--to", tmp_path, "--address", address.format(port=port)]
        done = run_training(*words, env=environment | {"RAY_TMPDIR": own}, timeout=15)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: No Ray cluster answers at {address.format(port=port)} (")
    assert last.endswith("Start one: ray start --head; or leave out --address.")


def tune_command(own_digits: Path, build: Path) -> list[str]:
    words = ["tune", "--preset", "quick", "--trials", "8", "--dataset", str(own_digits)]
    return [sys.executable, "-m", "training", *words, "--build", str(build)]


def test_a_tuning_that_was_killed_ends_with_the_same_best_trial(
    own_digits: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(tune_command(own_digits, whole), cwd=ROOT, env=environment)
    assert done.returncode == 0
    with started(environment, *tune_command(own_digits, killed)) as driver:
        wait_while_running(driver, lambda: ended_trials(killed) >= 3)
        time.sleep(10)  # longer than between two records of where it is
        driver.kill()
        driver.wait()
    assert not (killed / "tune" / "trials.md").exists()
    done = subprocess.run(tune_command(own_digits, killed), cwd=ROOT, env=environment)
    assert done.returncode == 0
    for name in ("trials.md", "preset.json"):
        assert (killed / "tune" / name).read_text() == (whole / "tune" / name).read_text()
    assert (whole / "tune" / "trials.md").read_text().count("\n") == 2 + 8
    assert (whole / "tune" / "trials.png").stat().st_size > 10_000
    train = ["train", "--preset", whole / "tune" / "preset.json", "--dataset", own_digits]
    done = run_training(*train, "--build", tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / "model" / "history.json", "")["config"]
    best = load_preset(str(whole / "tune" / "preset.json"))
    assert (found["preset"], found["learning_rate"]) == ("tuned", best.learning_rate)


def ended_trials(build: Path) -> int:
    """How many trials have reported after their one epoch and in the end."""
    results = (build / "tune" / "ray").glob("try_settings_*/result.json")
    return sum(file.read_text().count("\n") == 2 for file in results)


def test_seeds_are_trained_side_by_side(
    nodes: list[Any], own_digits: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    words = ["train", "--preset", "quick", "--dataset", str(own_digits), "--build", str(tmp_path)]
    command = [sys.executable, "-m", "training", *words, "--seeds", "2", "--address", "auto"]
    with started(environment, *command) as driver:
        wait_while_running(driver, lambda: all(map(works, nodes)))
        assert driver.wait(timeout=300) == 0
    history = read_json(tmp_path / "model" / "history.json", "")
    assert len(history["seeds"]["values"]) == 2
    best = int(np.argmax(history["seeds"]["values"]))
    assert history["config"]["seed"] == best or len(set(history["seeds"]["values"])) == 1
