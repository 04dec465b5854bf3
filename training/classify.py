"""Many images → parquet, one row an image: `python -m training classify`.

Reads a release and a source; writes `part-….parquet` to a folder, local or any that fsspec
reaches. A part is there as a whole or not at all, and what is there is not read again: that is how
a run goes on after it was killed, and how a cluster bears the loss of a machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from tqdm import tqdm

from space.reader import Release
from training.answers import ROW, Model, answer, load_classifier, load_model
from training.cluster import spread
from training.sources import Part, cut
from training.stage import StageError

RUN = "_run.json"  # readers of parquet folders pass over names that begin so


def classify(source: str, folder: str, release: Release, address: str = "") -> None:
    """Read every image of a source that has not been read, and write an answer for each.

    Args:
        source: As `sources.cut` takes it.
        folder: Where the answers go: a path, or an address that fsspec writes to.
        release: What answers.
        address: Of a Ray cluster, "auto" for the one that this machine belongs to; without one
            this process does it all.

    Raises:
        StageError: If the source, the release or the folder cannot be used, or the folder was begun
            with another source or release.
    """
    parts, model = cut(source), load_model(release)
    written = begin(folder, describe(source, parts, model))
    numbered = [(index, part) for index, part in enumerate(parts) if name_of(index) not in written]
    images = sum(map(len, parts))
    left = sum(len(part) for _, part in numbered)
    system, place = url_to_fs(folder)
    work = partial(classify_part, model, system.unstrip_protocol(place))  # absolute: for any worker
    bar = tqdm(total=images, initial=images - left, unit="image", desc="Reading", ncols=100)
    try:
        with bar:
            for count in spread(work, numbered, address):
                bar.update(count)
    except OSError as error:  # of a disk or a network; that of one image is a row
        raise StageError(f"It stopped ({error}). The same command goes on where it was.") from error
    tidy(folder)


def describe(source: str, parts: list[Part], model: Model) -> dict[str, Any]:
    """Say what a run reads and with what, so that another cannot be mistaken for it."""
    return {
        "source": source,
        "images": sum(map(len, parts)),
        "parts": hashlib.sha256(repr(parts).encode()).hexdigest(),
        "commit": model.commit,
        "model": hashlib.sha256(repr(model.files).encode()).hexdigest(),
    }


def begin(folder: str, run: dict[str, Any]) -> set[str]:
    """Begin a run in a folder, or go on with it; return the names of the files that are there.

    Raises:
        StageError: If the folder cannot be written, holds another run or other files, or is in the
            source: a second run would take the answers for images.
    """
    try:
        system, place = url_to_fs(folder)
        if f"{place}/".startswith(f"{url_to_fs(run['source'])[1].rstrip('/')}/"):
            raise StageError(f"{folder} is in {run['source']}. Pass --to with one outside of it.")
        system.makedirs(place, exist_ok=True)
        there = {path.rsplit("/", 1)[-1] for path in system.ls(place, detail=False)}
        if RUN in there:
            check_same(folder, json.loads(system.cat_file(f"{place}/{RUN}")), run)
        elif any(not name.startswith(".") for name in there):
            raise StageError(f"{folder} holds other files. Pass --to with an empty folder.")
        else:
            write_whole(system, f"{place}/{RUN}", json.dumps(run, indent=1).encode())
    except (OSError, ValueError, ImportError) as error:
        raise StageError(
            f"{folder} cannot be written ({error}). Pass --to with another folder."
        ) from error
    return there


def check_same(folder: str, begun: dict[str, Any], run: dict[str, Any]) -> None:
    """Let only that run go on which was begun.

    Raises:
        StageError: If the source or the release is another.
    """
    if begun["parts"] != run["parts"]:
        raise StageError(
            f"{folder} was begun with {begun['images']} images of {begun['source']}, not with "
            f"these {run['images']} of {run['source']}. Pass --to with another folder."
        )
    if begun["model"] != run["model"]:
        raise StageError(
            f"{folder} was begun with another release ({begun['commit'] or 'unpublished'}). "
            "Pass --to with another folder, or set MODEL_DIR to that release."
        )


def name_of(index: int) -> str:
    """Name the file of a part; the names' order is the source's."""
    return f"part-{index:06}.parquet"


def classify_part(model: Model, folder: str, numbered: tuple[int, Part]) -> int:
    """Read one part's images and write its file, unless it is there; return how many they are."""
    index, part = numbered
    system, place = url_to_fs(folder)
    path = f"{place}/{name_of(index)}"
    if not system.exists(path):
        rows = pa.Table.from_pylist(list(answer(load_classifier(model), part)), ROW)
        file = io.BytesIO()
        pq.write_table(rows, file)
        write_whole(system, path, file.getvalue())
    return len(part)


def write_whole(system: AbstractFileSystem, path: str, content: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it."""
    place, name = path.rsplit("/", 1)
    partial = f"{place}/.{name}.{uuid.uuid4().hex}"
    system.pipe_file(partial, content)
    system.mv(partial, path)


def tidy(folder: str) -> None:
    """Remove what killed writers have left."""
    system, place = url_to_fs(folder)
    for left in system.glob(f"{place}/.part-*"):
        system.rm_file(left)
