"""A second process, which reads small images for programs; the first is left to the network.

Python runs on one core at a time: in one process, requests would wait while images are read. It
starts and ends with the Space. Large images are rare and read in a thread of the Space's own, so
that no small one waits behind them.
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import cast

from PIL import Image

from reader import FORMATS, Answer, Classifier, Release
from reader.preprocessing import tile_of

SMALL_BYTES = 375_000  # of a file; few pixels can come as many passes over them
SMALL_SIDE = 500  # pixels; an image within it is read in some milliseconds
LENGTH = 4  # bytes, before each answer: its own


class ReadingProcess(asyncio.SubprocessProtocol):
    """Answers as `Classifier.classify` does; for one event loop."""

    def __init__(self, release: Release) -> None:
        """Take the release to answer for; nothing is started yet."""
        self.release = release
        self._starting = asyncio.Lock()
        self._images: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._waiting: deque[asyncio.Future[Answer | None]] = deque()

    async def classify(self, source: Path | bytes) -> Answer | None:
        """Read the digit on a small image, or say why there is none.

        Returns:
            The answer; None for an image that is not small, or cannot be read, or if no process
            can be started.

        Raises:
            ConnectionAbortedError: If the process ends meanwhile; the next call starts another.
        """
        images = await self.start()
        if images is None:
            return None
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        images.write(pickle.dumps(source))
        return cast(Answer | None, await answer)

    async def start(self) -> asyncio.WriteTransport | None:
        """Start the process where none runs; return the way for images to it, if it can be."""
        async with self._starting:
            if self._images is None:
                with suppress(OSError):  # too little memory, or too many processes
                    process, _ = await asyncio.get_running_loop().subprocess_exec(
                        lambda: self,
                        *(sys.executable, __file__, self.release.folder),
                        stderr=None,
                        start_new_session=True,  # Ctrl-C is for the Space alone
                    )
                    self._images = cast(asyncio.WriteTransport, process.get_pipe_transport(0))
        return self._images

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Hand each answer to who waits for it; they come in the order of the images."""
        self._received += data
        while len(self._received) > LENGTH:
            end = LENGTH + int.from_bytes(self._received[:LENGTH])
            if len(self._received) < end:
                return
            answer = pickle.loads(self._received[LENGTH:end])
            del self._received[:end]
            if not (waiting := self._waiting.popleft()).done():  # a caller may have left
                waiting.set_result(answer)

    def connection_lost(self, problem: Exception | None) -> None:
        """Tell whoever waits that the process has ended."""
        self._images = None
        self._received.clear()
        while self._waiting:
            if not (waiting := self._waiting.popleft()).done():
                waiting.set_exception(ConnectionAbortedError("The reading process has ended."))


def main() -> None:
    """Answer for image after image, until the Space ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library may print is no answer
    classifier = Classifier(Release(Path(sys.argv[1])))
    with suppress(EOFError):
        while True:
            answer = pickle.dumps(read(classifier, pickle.load(sys.stdin.buffer)))
            answers.write(len(answer).to_bytes(LENGTH) + answer)
            answers.flush()


def read(classifier: Classifier, source: Path | bytes) -> Answer | None:
    """Answer for an image; None if it is not small, or cannot be read."""
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=FORMATS) as image:  # not decoded yet
            if max(*image.size, *tile_of(image)) <= SMALL_SIDE:
                return classifier.classify(image)
    except Exception:  # whatever it is, the Space's own reader says it
        return None
    return None


if __name__ == "__main__":
    main()
