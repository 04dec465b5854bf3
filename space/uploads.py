"""What visitors upload, for as long as it is needed.

Gradio's own sweeper ends for good when a file comes while it sweeps, and never sees what a caller
has left half sent.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from gradio.utils import get_upload_folder

KEEP_SECONDS = SWEEP_SECONDS = 3600  # uploads are deleted at that age, that often


@contextlib.contextmanager
def keeping_uploads_briefly() -> Iterator[None]:
    """Have Gradio put uploads into a folder of our own; empty it as they age, and at the end."""
    place = get_upload_folder()
    os.makedirs(place, exist_ok=True)
    with TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        threading.Thread(target=sweep_for_ever, args=[Path(folder)], daemon=True).start()
        yield


def sweep_for_ever(folder: Path) -> None:
    """Sweep now and then."""
    while True:
        time.sleep(SWEEP_SECONDS)
        sweep(folder)


def sweep(folder: Path) -> None:
    """Delete the files that are too old, and the folders that this leaves empty."""
    oldest = time.time() - KEEP_SECONDS
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with contextlib.suppress(OSError):  # it is gone, or a folder that holds something
            if path.lstat().st_ctime < oldest:  # not when it was changed: that is copied with it
                path.rmdir() if path.is_dir() else path.unlink()
