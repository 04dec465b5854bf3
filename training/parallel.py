"""One process a core for work that Python does image by image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 100  # rows that a process works on at once
FEW = 3  # chunks; fewer are not worth starting processes
NICENESS = 19  # the most there is: what is done meanwhile, a training perhaps, goes first
# What the work needs is imported once, not by every process.
PRELOADED = ["training.handwriting", "training.non_digits", "training.redraw"]


def stack_chunks(
    work: Callable[..., NDArray[np.uint8]], *columns: Sequence[Any] | NDArray[Any]
) -> NDArray[np.uint8]:
    """Apply `work` to the rows of some columns, chunk by chunk, and join its arrays in that order.

    Few rows are done here: to start processes takes a second.
    """
    starts = range(0, len(columns[0]), CHUNK)
    chunks = ([column[start : start + CHUNK] for start in starts] for column in columns)
    if len(starts) < FEW:
        return np.concatenate(list(map(work, *chunks)))
    context = get_context("forkserver")  # a fork of a process that runs TensorFlow may hang
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(
        os.cpu_count(), context, initializer=os.nice, initargs=(NICENESS,)
    ) as pool:
        return np.concatenate(list(pool.map(work, *chunks)))
