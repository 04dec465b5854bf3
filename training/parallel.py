"""One process a core for work that Python does image by image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 250  # rows handed to a process at once
# What the work needs is imported once, not by every process.
PRELOADED = ["training.handwriting", "training.non_digits", "training.redraw"]


def stack_rows(
    work: Callable[..., NDArray[np.uint8]], *columns: Sequence[Any] | NDArray[Any]
) -> NDArray[np.uint8]:
    """Apply `work` to the rows of some columns and stack its arrays, in the rows' order.

    Few rows are done here: to start processes takes a second.
    """
    if len(columns[0]) < CHUNK:
        return np.stack([work(*row) for row in zip(*columns, strict=True)])
    context = get_context("forkserver")  # a fork of a process that runs TensorFlow may hang
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        return np.stack(list(pool.map(work, *columns, chunksize=CHUNK)))
