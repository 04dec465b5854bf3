"""The stand-in for the Hub, asked by the real clients: each in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.config import MNIST, MNIST_REVISION
from training.local_hub.mnist import seed_mnist
from training.local_hub.server import running_hub
from training.local_hub.storage import LARGE_BYTES, HubError, Repository, is_large

ROOT = Path(__file__).parents[1]
MODEL = "someone/digits"
README = b"---\nlibrary_name: keras\ntags: [digits]\n---\n# Digits\n"
FILES = {
    "README.md": README,
    "config.json": b"{}",
    "empty.h5": b"",
    "figures/more/a b ü#%?.txt": b"odd name",
    "figures/curve.png": b"a picture",
    "model.weights.h5": bytes(range(256)) * 2_000,
}
LARGE = {"figures/curve.png", "model.weights.h5"}
Ask = Callable[[str], Any]


def put(repository: Repository, files: dict[str, bytes], **options: Any) -> str:
    with repository.scratch() as scratch:
        added = {}
        for path, content in files.items():
            (scratch / "file").write_bytes(content)
            added[path] = repository.add(scratch / "file", path)
    return repository.commit(added, "Title\n\nWhy.", **options)


@pytest.fixture(scope="module")
def few(mnist: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    return {name: array[: 20 if "train" in name else 10] for name, array in mnist.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, few: dict[str, NDArray[np.uint8]]) -> Path:
    """MNIST, and a model with two commits on main, one on dev/x and a tag v1 on the first."""
    folder = tmp_path_factory.mktemp("hub")
    seed_mnist(folder, few)
    model = Repository(folder, "model", MODEL)
    first = put(model, {"README.md": b"old"})
    put(model, FILES, parent=first)
    put(model, {"dev.txt": b"dev"}, branch="dev/x")
    refs = model.refs() | {"tags": {"v1": first}}
    (model.folder / "refs.json").write_text(json.dumps(refs))
    return folder


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[str]:
    with running_hub(folder) as endpoint:
        yield endpoint


@pytest.fixture
def ask(endpoint: str, tmp_path: Path) -> Ask:
    """Run lines of Python in a process that knows no other Hub; return what they call answer."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": "hf_x",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }

    def run(lines: str) -> Any:
        lines = f"import json\n{lines}\nprint(json.dumps(answer))"
        done = subprocess.run(
            [sys.executable, "-c", lines],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def fetch(url: str, **headers: str) -> tuple[int, Message, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


LOAD = f"""
import datasets, numpy as np
splits = datasets.load_dataset("{MNIST}", revision=%r, streaming=%r)
train, test = list(splits["train"]), list(splits["test"])
answer = {{
    "features": str(splits["train"].features),
    "images": [np.asarray(row["image"]).tolist() for row in train + test],
    "labels": [row["label"] for row in train + test],
}}
"""


@pytest.mark.parametrize(
    ("revision", "streaming"), [(MNIST_REVISION, False), ("main", False), (MNIST_REVISION, True)]
)
def test_mnist_loads_as_it_was_put_in(
    ask: Ask, few: dict[str, NDArray[np.uint8]], revision: str, streaming: bool
) -> None:
    loaded = ask(LOAD % (revision, streaming))
    images = np.concatenate([few["train_images"], few["test_images"]])
    labels = np.concatenate([few["train_labels"], few["test_labels"]])
    np.testing.assert_array_equal(loaded["images"], images)
    np.testing.assert_array_equal(loaded["labels"], labels)
    assert "'image': Image(" in loaded["features"]
    assert f"ClassLabel(names={list('0123456789')})" in loaded["features"]


def test_each_file_downloads_whole_and_lies_under_its_commit(ask: Ask, folder: Path) -> None:
    found = ask(f"""
import hashlib, pathlib
from huggingface_hub import hf_hub_download
places = {{path: hf_hub_download("{MODEL}", path) for path in {list(FILES)}}}
answer = {{path: [hashlib.sha256(pathlib.Path(place).read_bytes()).hexdigest(), place]
          for path, place in places.items()}}
""")
    commit = Repository(folder, "model", MODEL).refs()["branches"]["main"]
    for path, (digest, place) in found.items():
        assert digest == hashlib.sha256(FILES[path]).hexdigest(), path
        assert place.endswith(f"{commit}/{path}")


@pytest.mark.parametrize(
    ("revision", "paths"), [("main", list(FILES)), ("v1", ["README.md"]), ("dev/x", ["dev.txt"])]
)
def test_snapshot_of_branch_or_tag_holds_every_file(
    ask: Ask, revision: str, paths: list[str]
) -> None:
    found = ask(f"""
import pathlib
from huggingface_hub import snapshot_download
folder = pathlib.Path(snapshot_download("{MODEL}", revision="{revision}"))
answer = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
""")
    assert sorted(found) == sorted(paths)


def test_listing_shows_a_folder_or_all_below_it(ask: Ask) -> None:
    found = ask(f"""
from huggingface_hub import HfApi
api, paths = HfApi(), lambda entries: sorted(entry.path for entry in entries)
answer = [
    sorted(api.list_repo_files("{MODEL}")),
    paths(api.list_repo_tree("{MODEL}")),
    paths(api.list_repo_tree("{MODEL}", "figures")),
    paths(api.list_repo_tree("{MODEL}", "figures", recursive=True)),
]
""")
    odd = next(path for path in FILES if path.startswith("figures/more/"))
    assert found[0] == sorted(FILES)
    assert found[1] == sorted([path for path in FILES if "/" not in path] + ["figures"])
    assert found[2] == ["figures/curve.png", "figures/more"]
    assert found[3] == sorted(["figures/curve.png", "figures/more", odd])


def test_descriptions_give_sizes_and_hashes_as_git_and_lfs_do(ask: Ask) -> None:
    found = ask(f"""
from huggingface_hub import HfApi, RepoFile
entries = HfApi().get_paths_info("{MODEL}", {[*FILES, "figures", "not there"]})
tell = lambda f: [f.size, f.blob_id, f.lfs and f.lfs.sha256, f.lfs and f.lfs.pointer_size]
info = HfApi().model_info("{MODEL}", files_metadata=True)
answer = [
    {{entry.path: isinstance(entry, RepoFile) and tell(entry) for entry in entries}},
    {{sibling.rfilename: tell(sibling) for sibling in info.siblings}},
]
""")
    assert found[0].pop("figures") is False
    wanted = {}
    for path, content in FILES.items():
        digest = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\n"
        pointer += f"size {len(content)}\n"
        kept = pointer.encode() if path in LARGE else content
        command = ["git", "hash-object", "--stdin"]
        oid = subprocess.run(command, input=kept, capture_output=True, check=True).stdout
        lfs = [digest, len(pointer)] if path in LARGE else [None, None]
        wanted[path] = [len(content), oid.decode().strip(), *lfs]
    assert found == [wanted, wanted]


def test_repository_tells_its_card_dates_commits_and_refs(ask: Ask) -> None:
    card, dates, sizes, commits, refs = ask(f"""
from huggingface_hub import HfApi
info = HfApi().model_info("{MODEL}")
refs = HfApi().list_repo_refs("{MODEL}")
answer = [
    [info.id, info.author, info.library_name, info.tags, info.card_data.to_dict()],
    [info.created_at < info.last_modified],
    [sibling.size for sibling in info.siblings],
    [[c.commit_id, c.title, c.message, c.authors] for c in HfApi().list_repo_commits("{MODEL}")],
    {{ref.ref: ref.target_commit for ref in refs.branches + refs.tags}},
]
""")
    assert card[:4] == [MODEL, "someone", "keras", ["digits"]]
    assert card[4] == {"library_name": "keras", "tags": ["digits"]}
    assert dates == [True]
    assert sizes == [None] * len(FILES)  # they come only when asked for
    assert [commit[1:] for commit in commits] == [["Title", "Why.", ["someone"]]] * 2
    assert refs.keys() == {"refs/heads/main", "refs/heads/dev/x", "refs/tags/v1"}
    assert [commit[0] for commit in commits] == [refs["refs/heads/main"], refs["refs/tags/v1"]]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (f"hf_hub_download('{MODEL}', 'n→t\\nthere')", "RemoteEntryNotFoundError"),
        (f"list(HfApi().list_repo_tree('{MODEL}', 'config.json'))", "RemoteEntryNotFoundError"),
        (f"hf_hub_download('{MODEL}', 'README.md', revision='v2')", "RevisionNotFoundError"),
        (f"HfApi().model_info('{MODEL}', revision='{'0' * 40}')", "RevisionNotFoundError"),
        ("hf_hub_download('someone/else', 'README.md')", "RepositoryNotFoundError"),
        (f"HfApi().dataset_info('{MODEL}')", "RepositoryNotFoundError"),
    ],
)
def test_what_is_not_there_raises_the_clients_own_error(ask: Ask, call: str, error: str) -> None:
    found = ask(f"""
from huggingface_hub import HfApi, hf_hub_download
try:
    {call}
except Exception as raised:
    answer = type(raised).__name__
""")
    assert found == error


def test_missing_file_is_remembered_with_the_commit(ask: Ask) -> None:
    assert ask(f"""
from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
try:
    hf_hub_download("{MODEL}", "nothing.py")
except Exception:
    answer = try_to_load_from_cache("{MODEL}", "nothing.py") is _CACHED_NO_EXIST
""")


@pytest.mark.parametrize("path", ["README.md", "model.weights.h5"])
def test_range_is_answered_with_that_part(endpoint: str, path: str) -> None:
    url, content = f"{endpoint}/{MODEL}/resolve/main/{path}", FILES[path]
    status, headers, part = fetch(url, Range="bytes=3-9")
    assert (status, part) == (206, content[3:10])
    assert headers["Content-Range"] == f"bytes 3-9/{len(content)}"
    assert fetch(url, Range=f"bytes={len(content)}-")[0] == 416


def test_large_file_is_elsewhere_and_its_redirect_says_all(endpoint: str, folder: Path) -> None:
    host = endpoint.removeprefix("http://")
    connection = HTTPConnection(host)
    connection.request("HEAD", f"/{MODEL}/resolve/main/model.weights.h5")
    answer = connection.getresponse()
    connection.close()
    assert answer.status == 302
    assert host not in answer.headers["Location"]
    content = FILES["model.weights.h5"]
    assert answer.headers["X-Linked-Etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer.headers["X-Linked-Size"] == str(len(content))
    main = Repository(folder, "model", MODEL).refs()["branches"]["main"]
    assert answer.headers["X-Repo-Commit"] == main
    assert fetch(answer.headers["Location"])[2] == content


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/api/models/{MODEL}", 200),
        (f"/{MODEL}/resolve/main/README.md", 200),
        (f"/{MODEL}/resolve/main/no", 404),
        ("/api/nothing", 404),
    ],
)
def test_every_answer_says_it_is_a_stand_in(endpoint: str, path: str, status: int) -> None:
    found, headers, _ = fetch(endpoint + path)
    assert (found, headers["X-Stand-In"]) == (status, "local_hub")


@pytest.mark.parametrize(
    "path",
    [
        f"/_cdn/models/{MODEL}/blobs/..%2Frefs.json",
        f"/_cdn/models/{MODEL}/blobs/..",
        f"/api/models/{MODEL}/revision/..%2Frefs",
        "/api/models/../models/revision/main",
        f"/api/models/..%2Fdatasets%2F{MNIST}",
        f"/{MODEL}/resolve/main/..%2F..%2Frefs.json",
    ],
)
def test_nothing_outside_a_repositorys_files_is_served(endpoint: str, path: str) -> None:
    assert fetch(endpoint + path)[0] == 404


def test_hub_listens_on_loopback_alone_and_stops_with_its_block(tmp_path: Path) -> None:
    threads = threading.active_count()
    with running_hub(tmp_path / "new") as endpoint:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", endpoint)
        assert fetch(endpoint)[0] == 404
        port = int(endpoint.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("path", "size", "large"),
    [
        ("a.json", LARGE_BYTES, False),
        ("a.json", LARGE_BYTES + 1, True),
        ("a/model.weights.h5", 1, True),
        ("a/model.weights.h5", 0, False),
        ("h5", 1, False),
    ],
)
def test_large_files_are_the_binary_and_the_big_ones(path: str, size: int, large: bool) -> None:
    assert is_large(path, size) is large


def test_commit_on_a_stale_parent_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    model = Repository(tmp_path, "model", MODEL)
    first = put(model, {"a": b"1"})
    second = put(model, {"a": b"2"}, parent=first)
    for stale in (first, None):
        with pytest.raises(HubError, match="main") as refused:
            put(model, {"a": b"3"}, parent=stale)
        assert refused.value.status == 412
    assert [commit.id for commit in model.history("main")] == [second, first]


def test_seeding_that_breaks_off_leaves_nothing_and_is_done_only_once(
    tmp_path: Path, few: dict[str, NDArray[np.uint8]]
) -> None:
    dataset = Repository(tmp_path, "dataset", MNIST)
    with pytest.raises(KeyError):
        seed_mnist(tmp_path, {name: few[name] for name in few if "test" not in name})
    assert not dataset.exists
    assert not list(dataset.folder.glob(".scratch-*"))
    seed_mnist(tmp_path, few)
    seed_mnist(tmp_path, {})
    assert [commit.id for commit in dataset.history("main")] == [MNIST_REVISION]


def test_server_imports_no_hub_library(ask: Ask) -> None:
    assert not ask(f"""
import sys
sys.path.insert(0, "{ROOT}")
import training.local_hub.server, training.local_hub.mnist
answer = [name for name in ("huggingface_hub", "datasets", "tensorflow") if name in sys.modules]
""")


@pytest.mark.parametrize("number", [1, 3])
def test_the_nth_request_of_a_kind_goes_wrong_and_no_other(endpoint: str, number: int) -> None:
    wanted = {"wanted": f"GET /api/models/{MODEL}", "number": number, "answer": "429"}
    order = urllib.request.Request(f"{endpoint}/_faults", json.dumps(wanted).encode())
    urllib.request.urlopen(order).close()
    asked = [fetch(f"{endpoint}/api/models/{MODEL}") for _ in range(4)]
    found = [status for status, _, _ in asked]
    assert found == [429 if place == number else 200 for place in range(1, 5)]
    assert asked[number - 1][1]["Retry-After"] == "1"
    assert fetch(f"{endpoint}/api/models/{MODEL}/refs")[0] == 200
