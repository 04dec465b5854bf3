"""What `classify.py` reads: images, parquet or a dataset, cut into parts in the source's own order.

To cut reads names and counts, no image. A part finds its images by itself, on any machine that
reaches the source, one batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import fsspec
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from space.reader import FORMATS
from training.config import REPOSITORY
from training.data import PROBE_SECONDS, load_splits
from training.stage import StageError

LARGEST_PART = 1_000  # images: half a second's work, the most that is lost with a process
SMALLEST_PART = 50
PARTS = 100  # of a small source, so that several workers share it
BATCH_BYTES = 16_000_000  # of images in memory at once
IMAGES = tuple(
    ending for ending, kind in PIL.Image.registered_extensions().items() if kind in FORMATS
)
SAVED = ("/dataset_dict.json", "/dataset_info.json")  # what `save_to_disk` leaves

Image = bytes | str | None  # a file's bytes, its path or address, or nothing where a row has none


class SourceError(StageError):
    """There is nothing that could be read; the message says what to pass."""


@dataclass(frozen=True)
class Files:
    """Image files, by path or address."""

    paths: tuple[str, ...]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.paths)

    def read(self) -> Iterator[tuple[str, Image]]:
        """Yield each image's path, as its key and as itself."""
        return ((path, path) for path in self.paths)


@dataclass(frozen=True)
class ParquetRows:
    """Rows `start` to `stop` of a parquet file, their images in one column."""

    file: str
    column: str
    start: int
    stop: int

    def __len__(self) -> int:
        """Count the images."""
        return self.stop - self.start

    def read(self) -> Iterator[tuple[str, Image]]:
        """Yield key and image of each row; a row group is decoded as far as these rows reach."""
        with fsspec.open(self.file) as stream:
            parquet = pq.ParquetFile(stream, buffer_size=1_000_000)  # not a row group at once
            groups, row = self.row_groups(parquet.metadata)
            size = sum(parquet.metadata.row_group(group).total_byte_size for group in groups)
            rows = sum(parquet.metadata.row_group(group).num_rows for group in groups)
            batches = parquet.iter_batches(batch_of(rows, size), groups, [self.column])
            for batch in batches:
                first = max(self.start - row, 0)
                cells = batch.column(0).slice(first, self.stop - row - first).to_pylist()
                for place, cell in enumerate(cells, row + first):
                    yield f"{self.file}#{place}", image_in(cell)
                row += len(batch)
                if row >= self.stop:
                    return

    def row_groups(self, metadata: pq.FileMetaData) -> tuple[list[int], int]:
        """Find the row groups that hold these rows, and the first row of the first of them."""
        groups: list[int] = []
        first = row = 0
        for group in range(metadata.num_row_groups):
            end = row + metadata.row_group(group).num_rows
            if end > self.start and row < self.stop:
                first = first if groups else row
                groups.append(group)
            row = end
        return groups, first


@dataclass(frozen=True)
class DatasetRows:
    """Rows `start` to `stop` of a split of a `datasets` dataset, their images in one column."""

    dataset: str
    revision: str | None
    split: str
    column: str
    start: int
    stop: int

    def __len__(self) -> int:
        """Count the images."""
        return self.stop - self.start

    def read(self) -> Iterator[tuple[str, Image]]:
        """Yield key and image of each row; the dataset's files stay on disk."""
        import datasets

        rows = open_dataset(self.dataset, self.revision)[self.split].select_columns(self.column)
        rows = rows.cast_column(self.column, datasets.Image(decode=False))
        step = batch_of(len(rows), rows.data.nbytes)
        for first in range(self.start, self.stop, step):
            cells = rows[first : min(first + step, self.stop)][self.column]
            for place, cell in enumerate(cells, first):
                yield f"{self.split}#{place}", image_in(cell)


Part = Files | ParquetRows | DatasetRows


def cut(source: str) -> list[Part]:
    """Cut a source into parts, the same ones each time.

    Args:
        source: A folder, a glob or a file of images or of parquet, local or an address that fsspec
            reads; or a dataset: its Hub id, or the folder it was saved to.

    Raises:
        SourceError: If it is none of these, more than one, or empty.
    """
    files = list_files(source)
    parquet = [file for file in files if file.endswith(".parquet")]
    if parquet and any(file.lower().endswith(IMAGES) for file in files):
        raise SourceError(
            f"{source} holds images and parquet. Name one kind of them with a glob like *.png."
        )
    if any(file.endswith(SAVED) for file in files) and not parquet:
        system, path = url_to_fs(source)
        parts: list[Part] = cut_dataset(system.unstrip_protocol(path), None)
    elif parquet:
        parts = cut_parquet(parquet)
    elif files:
        size = part_size(len(files))
        starts = range(0, len(files), size)
        parts = [Files(tuple(files[start : start + size])) for start in starts]
    else:
        parts = cut_hub_dataset(source)
    if not parts:
        raise SourceError(f"{source} has no rows. Pass one with images.")
    return parts


def list_files(source: str) -> list[str]:
    """List what a folder, a glob or a path names, in order, without hidden files.

    Raises:
        SourceError: If its storage does not answer.
    """
    try:
        system, path = url_to_fs(source)
        is_glob = any(c in source for c in "*?[") and not system.exists(path)
        files = system.glob(path) if is_glob else system.find(path)
    except Exception as error:  # each storage has its own
        raise SourceError(
            f"{source} cannot be listed ({error}). Check its address, or install what that names."
        ) from error
    local = isinstance(system, LocalFileSystem)
    shown = sorted(file for file in files if not is_hidden(file.rsplit("/", 1)[-1]))
    return shown if local else [system.unstrip_protocol(file) for file in shown]


def is_hidden(name: str) -> bool:
    """Tell whether a file is nobody's data: .DS_Store, _SUCCESS; a camera's _MG_1.jpg is."""
    return name.startswith(".") or (name.startswith("_") and not name.lower().endswith(IMAGES))


def cut_parquet(files: list[str]) -> list[Part]:
    """Cut parquet files, none of which shares a part with another.

    Raises:
        SourceError: If one is damaged or has no column with images.
    """
    columns, counts = [], []
    for file in files:
        try:
            with fsspec.open(file) as stream:
                parquet = pq.ParquetFile(stream)
                columns.append(image_column(parquet.schema_arrow, file))
                counts.append(parquet.metadata.num_rows)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{file} cannot be read as parquet ({error}).") from error
    size = part_size(sum(counts))
    return [
        ParquetRows(file, column, start, min(start + size, count))
        for file, column, count in zip(files, columns, counts, strict=True)
        for start in range(0, count, size)
    ]


def cut_hub_dataset(id: str) -> list[Part]:
    """Cut a dataset on the Hub, at the commit that it has now.

    Raises:
        SourceError: If there is none.
    """
    from huggingface_hub import HfApi

    if not REPOSITORY.fullmatch(id):
        raise SourceError(f"There is no image at {id}. Pass a folder, a glob, parquet or a Hub id.")
    try:
        return cut_dataset(id, HfApi().dataset_info(id, timeout=PROBE_SECONDS).sha)
    except SourceError:
        raise
    except Exception as error:  # the loaders' errors share no class
        raise SourceError(
            f"{id} is neither a folder with images nor a dataset that the Hub gives "
            f"({type(error).__name__}). Pass a folder, a glob, parquet or a Hub id."
        ) from error


def cut_dataset(dataset: str, revision: str | None) -> list[Part]:
    """Cut a `datasets` dataset, split after split."""
    splits = open_dataset(dataset, revision)
    size = part_size(sum(len(rows) for rows in splits.values()))
    return [
        DatasetRows(dataset, revision, split, column, start, min(start + size, len(rows)))
        for split, rows in sorted(splits.items())
        for column in [image_column(rows.features.arrow_schema, dataset)]
        for start in range(0, len(rows), size)
    ]


@cache
def open_dataset(dataset: str, revision: str | None) -> Any:
    """Open a dataset's splits, on the Hub at a commit or in a folder; once per process."""
    import datasets

    if revision:
        return load_splits(dataset, revision)
    found = datasets.load_from_disk(dataset)
    return {"all": found} if isinstance(found, datasets.Dataset) else found


def image_column(schema: pa.Schema, place: str) -> str:
    """Name the column that holds images: "image", or the only one with files.

    Raises:
        SourceError: If there is none.
    """
    files = [field.name for field in schema if holds_files(field.type)]
    if "image" in schema.names:
        return "image"
    if len(files) == 1:
        return str(files[0])
    found = ", ".join(schema.names)
    raise SourceError(f"{place} has no column image; found: {found}. Rename the one with images.")


def holds_files(kind: pa.DataType) -> bool:
    """Tell whether a column's cells are files: bytes, or as `datasets` keeps an image."""
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def image_in(cell: Any) -> Image:
    """Return what a cell holds: bytes, or the path or address of a file."""
    if isinstance(cell, dict):
        return cell["bytes"] if cell.get("bytes") is not None else cell.get("path")
    return cell if isinstance(cell, bytes | str) else None


def part_size(images: int) -> int:
    """Choose how many images of so many make a part."""
    return min(max(images // PARTS, SMALLEST_PART), LARGEST_PART)


def batch_of(rows: int, size: int) -> int:
    """Choose how many rows are in memory at once, of `rows` that have `size` bytes together."""
    return max(1, min(rows, LARGEST_PART, BATCH_BYTES * rows // max(size, 1)))
