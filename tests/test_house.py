"""The project's own files agree with each other."""

import json
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([^\s;]+)", re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_every_pin_stands_once_and_is_the_locked_one() -> None:
    assert read("requirements.txt").startswith("-r space/requirements.txt\n")
    pins = PIN.findall(read("requirements.txt")) + PIN.findall(read("space/requirements.txt"))
    assert len(pins) == len(dict(pins)) >= 15
    locked = read("requirements.lock")
    for name, version in pins:
        assert re.search(rf"^{name}=={re.escape(version)}[ ;]", locked, re.MULTILINE), name


def test_nothing_is_installed_but_by_an_exact_pin() -> None:
    for name in ("requirements.txt", "space/requirements.txt", "requirements-cluster.txt"):
        lines = [line.split("#")[0].strip() for line in read(name).splitlines()]
        wanted = [line for line in lines if line and not line.startswith("-r ")]
        assert all(PIN.match(line) for line in wanted), wanted


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-cluster.lock"])
def test_the_lock_has_a_hash_for_every_package_and_no_address(lock: str) -> None:
    locked = read(lock)
    for package in re.split(r"\n(?=\S)", locked):
        if "==" in package.split("\n")[0]:
            assert "--hash=sha256:" in package, package
    assert "://" not in locked


@pytest.mark.parametrize("folder", ["clients", "workflows"])
def test_the_lock_of_what_node_runs_has_hashes_and_no_registrys_address(folder: str) -> None:
    lock = json.loads(read(f"tests/{folder}/package-lock.json"))
    for name, package in lock["packages"].items():
        assert not name or package["integrity"].startswith("sha512-")
        assert "resolved" not in package


def test_ray_comes_on_top_of_what_is_locked_and_nothing_else_changes() -> None:
    base, cluster = (
        dict(PIN.findall(read(name))) for name in ("requirements.lock", "requirements-cluster.lock")
    )
    assert base.items() < cluster.items()
    wanted = dict(PIN.findall(read("requirements-cluster.txt")))
    assert wanted.items() <= cluster.items() and not wanted.keys() & base.keys()


def test_linux_gets_the_cpu_build_and_others_the_ordinary_one() -> None:
    markers = dict(re.findall(r"^(tensorflow\S*)==\S+ ; (.*) \\$", read("requirements.lock"), re.M))
    assert "sys_platform == 'linux'" in markers["tensorflow-cpu"]
    assert "!= 'x86_64'" in markers["tensorflow"]


@pytest.mark.parametrize("folder", ["training", "space", "space/reader"])
def test_the_readmes_map_names_every_file(folder: str) -> None:
    tree = read("README.md").split("## Map")[1]
    for file in (ROOT / folder).glob("*.py"):
        if not file.name.startswith("__"):
            assert re.search(rf"^ +{file.name} ", tree, re.MULTILINE), f"{folder}/{file.name}"


def test_every_make_target_is_in_contributing() -> None:
    targets = re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)
    for target in set(targets) - {"clean"}:
        assert f"`make {target}`" in read("CONTRIBUTING.md"), target


def test_the_reader_needs_neither_gradio_nor_tensorflow_nor_training() -> None:
    code = "import sys, space.reader; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "ai_edge_litert" in loaded
    assert not loaded & {"gradio", "tensorflow", "keras", "training"}


def test_the_shipped_preprocessing_stands_alone() -> None:
    imports = re.findall(r"^(?:from|import) ([\w.]+)", read("space/reader/preprocessing.py"), re.M)
    roots = {name.split(".")[0] for name in imports}
    assert roots <= {*sys.stdlib_module_names, "numpy", "PIL", "scipy"}
