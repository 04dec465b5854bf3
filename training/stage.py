"""What every stage keeps to: whole files or none, and errors that say what to do.

Stages exchange files under the build folder and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# What makes that which the other stages need.
TRAIN_COMMAND = "python -m training train"
PREPARE_COMMAND = "python -m training prepare"
EVALUATE_COMMAND = "python -m training evaluate"
PUBLISH_COMMAND = "python -m training publish"


class StageError(RuntimeError):
    """A stage cannot go on; the message says what was found and what to do."""


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Give a stage an empty folder that takes `folder`'s place only when the stage has ended well.

    A stage that fails or is killed leaves `folder` as it was.

    Raises:
        StageError: If the place cannot be written.
    """
    partial, old = (folder.with_name(f".{folder.name}.{name}") for name in ("partial", "old"))
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            shutil.rmtree(old, ignore_errors=True)
            if folder.exists():
                folder.rename(old)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a StageError that names the place."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StageError(
            f"{place} cannot be written ({reason}). Make room or rights, or pass --build FOLDER."
        ) from error


def write_text(file: Path, text: str) -> None:
    """Write a text file whole, or leave what was there.

    Raises:
        StageError: If the place cannot be written.
    """
    partial = file.with_name(f".{file.name}.partial")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8")
        partial.replace(file)


def write_json(file: Path, content: Any) -> None:
    """Write JSON whole, or leave what was there; NaN is refused."""
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(file: Path, made_by: str) -> Any:
    """Read a JSON file that an earlier stage wrote.

    Args:
        file: What to read.
        made_by: The command that writes it, for the error.

    Raises:
        StageError: If it is missing or damaged.
    """
    require(file, made_by)
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise StageError(f"{file} is damaged ({error}). Make it anew: {made_by}") from error


def require(file: Path, made_by: str) -> Path:
    """Return the file if the stage before left it.

    Raises:
        StageError: If it is not there.
    """
    if not file.exists():
        raise StageError(f"{file} is not there. Make it first: {made_by}")
    return file


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and sha256 of every file of a release but its two documents."""
    documents = {"metrics.json", "README.md"}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        file.relative_to(folder).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": sha256(file),
        }
        for file in files
        if file.name not in documents and not file.name.startswith(".")
    }


def sha256(file: Path) -> str:
    """Hash a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
