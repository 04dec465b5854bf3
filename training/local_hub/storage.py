"""Repositories on disk: commits that never change, and names that point at them.

    {models,datasets,spaces}/ns/name/
        blobs/<hash>        a regular file by its git SHA-1, a large one by its SHA-256
        commits/<id>.json   one `Commit`, with all its files
        refs.json           {"branches": {name: commit id}, "tags": {name: commit id}}
        tags/<name>         what was said when the tag was given

All is written beside its place and renamed: a reader sees a whole file or none.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from training.stage import read_json, write_json, write_text

KINDS = ("model", "dataset", "space")
MAIN = "main"
LARGE_BYTES = 10_000_000
LARGE_SUFFIXES = frozenset({".h5", ".keras", ".npz", ".parquet", ".png", ".tflite"})
REPOSITORY_ID = re.compile(r"(?!\.)[\w.-]+/(?!\.)[\w.-]+", re.ASCII)
COMMIT_ID = re.compile(r"[0-9a-f]{40}")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"

_committing = threading.Lock()


@dataclass(eq=False)
class HubError(Exception):
    """A refusal: HTTP status, the Hub's code for it, and the commit looked into, if any."""

    status: int
    code: str
    message: str
    commit: str = ""


@dataclass(frozen=True)
class File:
    """One file: its bytes, git's SHA-1 of it, and if it is large (LFS) its own SHA-256."""

    size: int
    oid: str  # of a large file's pointer: all that git itself keeps of it
    sha256: str | None = None


@dataclass(frozen=True)
class Commit:
    """One state of a repository: every file by its path."""

    id: str
    parent: str | None
    message: str
    date: str
    files: Mapping[str, File]

    def file(self, path: str) -> File:
        """Return a file, or raise HubError if it is not in this commit."""
        if path not in self.files:
            raise HubError(404, "EntryNotFound", f"{path!r} is not in {self.id}.", self.id)
        return self.files[path]


class Repository:
    """One model, dataset or Space; it exists from its first commit on."""

    def __init__(self, root: Path, kind: str, id: str) -> None:
        """Name a repository in the folder `root`; raise HubError if it can never exist."""
        if kind not in KINDS or not REPOSITORY_ID.fullmatch(id):
            raise HubError(404, "RepoNotFound", f"There can be no {kind} {id!r}.")
        self.kind, self.id, self.folder = kind, id, root / f"{kind}s" / id

    @property
    def exists(self) -> bool:
        """Whether anything was committed."""
        return (self.folder / "refs.json").exists()

    def refs(self) -> dict[str, dict[str, str]]:
        """Return the commit ids of "branches" and "tags" by name, or raise HubError."""
        if not self.exists:
            raise HubError(404, "RepoNotFound", f"There is no {self.kind} {self.id}.")
        refs: dict[str, dict[str, str]] = read_json(self.folder / "refs.json", "a commit")
        return refs

    def commit_at(self, revision: str) -> Commit:
        """Return the commit of a branch, tag or id, or raise HubError."""
        refs = self.refs()
        id = refs["branches"].get(revision) or refs["tags"].get(revision) or revision
        record = self.folder / "commits" / f"{id}.json"
        if not COMMIT_ID.fullmatch(id) or not record.exists():
            raise HubError(404, "RevisionNotFound", f"{self.id} has no revision {revision!r}.")
        fields = read_json(record, "a commit")
        files = {path: File(**file) for path, file in fields.pop("files").items()}
        return Commit(id, files=files, **fields)

    def history(self, revision: str) -> Iterator[Commit]:
        """Yield a revision's commit and those before it, newest first."""
        following: str | None = revision
        while following:
            commit = self.commit_at(following)
            yield commit
            following = commit.parent

    def commit(
        self,
        files: Mapping[str, File],
        message: str,
        branch: str = MAIN,
        parent: str | None = None,
        id: str | None = None,
    ) -> str:
        """Make files, added before, the whole state of a branch; return the commit's id.

        Args:
            files: By path.
            message: Its first line is the title.
            branch: What to move; made if it is not there.
            parent: The id that the branch is at, else HubError; None if it is not there.
            id: For a commit that is known by this id elsewhere; by default a hash.
        """
        with _committing:
            refs = self.refs() if self.exists else {"branches": {}, "tags": {}}
            if refs["branches"].get(branch) != parent:
                raise HubError(412, "PreconditionFailed", f"{branch} is not at {parent}.")
            date = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            fields = asdict(Commit("", parent, message, date, files))
            del fields["id"]
            id = id or hashlib.sha1(json.dumps(fields).encode()).hexdigest()
            write_json(self.folder / "commits" / f"{id}.json", fields)
            refs["branches"][branch] = id
            write_json(self.folder / "refs.json", refs)
        return id

    def tag(self, name: str, id: str | None, message: str = "") -> None:
        """Name a commit, or with None take the name away; raise HubError if it cannot be."""
        with _committing:
            refs = self.refs()
            if id is None and name not in refs["tags"]:
                raise HubError(404, "RevisionNotFound", f"There is no tag {name}.")
            if id is None:
                del refs["tags"][name]
            elif name in refs["tags"]:
                raise HubError(409, "Conflict", f"The tag {name} is there already.")
            else:
                refs["tags"][name] = id
                write_text(self.folder / "tags" / quote(name, safe=""), message)
            write_json(self.folder / "refs.json", refs)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty folder, on the same disk, for what is then added."""
        (self.folder / "blobs").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=self.folder) as folder:
            yield Path(folder)

    def add(self, source: Path, path: str) -> File:
        """Move a file in from the scratch folder; `path` is its name in the repository."""
        size = source.stat().st_size
        with source.open("rb") as content:
            if is_large(path, size):
                file = large_file(hashlib.file_digest(content, "sha256").hexdigest(), size)
            else:
                file = File(size, git_oid(content, size))
        source.replace(self.content(file))
        return file

    def content(self, file: File) -> Path:
        """Return where a file's content is kept."""
        return self.folder / "blobs" / (file.sha256 or file.oid)


def is_large(path: str, size: int) -> bool:
    """Say whether the Hub's usual .gitattributes make this a large file."""
    return size > LARGE_BYTES or (size > 0 and Path(path).suffix in LARGE_SUFFIXES)


def large_file(sha256: str, size: int) -> File:
    """Describe a large file."""
    pointer = POINTER.format(sha256, size).encode()
    return File(size, git_oid(io.BytesIO(pointer), len(pointer)), sha256)


def git_oid(content: io.BufferedReader | io.BytesIO, size: int) -> str:
    """Hash a file as git does."""
    digest = hashlib.sha1(b"blob %d\0" % size)
    return hashlib.file_digest(content, lambda: digest).hexdigest()
