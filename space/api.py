"""The endpoints for programs: wires what they send to the reader, and answers in JSON.

Their names are fixed, so that no change in here breaks a program; their docstrings are the text of
the page "Use via API", and their types too: Gradio reads them, so they are no strings here.
"""

import asyncio
import base64
import io
import json
import math
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import get_blocks_context
from gradio.events import Dependency, api
from gradio_client import handle_file
from huggingface_hub import hf_hub_url
from PIL import Image

from intake import IntakeError, is_address, receive, text_of
from limits import MAX_CALLS, MAX_RUNNING
from reader import Answer, Classifier, Release, UnreadableImageError
from reading_process import SMALL_BYTES, ReadingProcess

MAX_BATCH = 256  # images in one call
BATCH_SECONDS = 60.0  # for all addresses of one call
SMALL_TEXT = SMALL_BYTES * 4 // 3  # characters of base64
BATCH_THREADS = 4  # images of one batch in work at once, most of them waiting for an address
HEADLINE = {
    "test": ("n", "accuracy", "accuracy_interval", "log_loss", "calibration_error"),
    "redrawn": ("n", "accuracy", "accuracy_interval"),
    "refusal": ("threshold", "test_refused", "answered_error"),
    "model": ("parameters",),
}

# What a call on the page "Use via API" sends: a file of this Space, where the Hub has it.
EXAMPLE = handle_file(
    hf_hub_url(
        os.environ.get("SPACE_ID", "your-name/draw-a-digit"), "examples/two.png", repo_type="space"
    )
)

Sent = str | gr.FileData  # what a program may send for an image


class Endpoints:
    """What programs may call; answers for one release."""

    def __init__(self, classifier: Classifier) -> None:
        """Take the release's model, and its numbers from its `metrics.json`."""
        self.classifier = classifier
        self.reading_process = ReadingProcess(classifier.release)
        self.threads = ThreadPoolExecutor(MAX_RUNNING)  # for what is large, or has to be fetched
        self.metrics = headline_metrics(classifier.release)

    @asynccontextmanager
    async def running(self, _: Any) -> AsyncIterator[None]:
        """Start the reading process with the Space's server, so that no call has to wait for it."""
        await self.reading_process.start()
        yield

    def add(self) -> None:
        """Add them to the page in whose context this is called."""
        classify = api(self.classify, api_name="classify", concurrency_limit=MAX_CALLS)
        # One at a time: a batch is many images, and others wait.
        batch = api(self.classify_batch, api_name="classify_batch", concurrency_limit=1)
        show_example(classify, EXAMPLE)
        show_example(batch, [EXAMPLE])
        api(self.model, api_name="model")

    async def classify(self, image: Sent) -> dict[str, Any]:
        """Read the handwritten digit on an image: a file, an http(s) address, or base64.

        Any paper and ink, dark on light or light on dark, also transparent; up to 20 MB. The answer
        holds `digit` (null where there is none), `confidence`, `probabilities` (ten), `reason`
        (null, "blank" or "unsure"), `seen` (the 28 × 28 pixels the model saw, as PNG, and what was
        done to get there) and `model` (id, commit, version). An image without ink is an answer,
        with the reason "blank"; what is no image is an error.
        """
        try:
            small = receive_small(image)
            if small is not None and (answer := await self.reading_process.classify(small)):
                return to_json(answer, self.classifier.release)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.threads, self.read, image)
        except (IntakeError, UnreadableImageError) as error:
            raise gr.Error(str(error), print_exception=False) from None

    def classify_batch(self, images: list[Sent]) -> list[dict[str, Any]]:
        """Read up to 256 images in one call: for each, in order, the answer or its own error.

        Each image is sent as for `/classify`, and answered like there; for one that cannot be read
        there is {"error": "…"} in its place.
        """
        if not isinstance(images, list) or not 1 <= len(images) <= MAX_BATCH:
            raise gr.Error(
                f"Pass a list of 1 to {MAX_BATCH} images; send more in several calls.",
                print_exception=False,
            )
        deadline = time.monotonic() + BATCH_SECONDS

        def read(image: Any) -> dict[str, Any]:
            try:
                return self.read(image, deadline)
            except (IntakeError, UnreadableImageError) as error:
                return {"error": str(error)}

        with ThreadPoolExecutor(BATCH_THREADS) as pool:
            return list(pool.map(read, images))

    def model(self) -> dict[str, Any]:
        """Say which model answers: its `id`, `commit` and `version` on the Hub, and its `metrics`.

        The numbers are those of its card: `test` on MNIST's 10,000 test images, `redrawn` on the
        same drawn again on a canvas, `refusal` for when it is unsure. Shares are from 0 to 1.
        """
        return name_release(self.classifier.release) | {"metrics": self.metrics}

    def read(self, image: Any, deadline: float = math.inf) -> dict[str, Any]:
        """Answer for what a program sent; an address is waited for until the deadline at most.

        Raises:
            IntakeError: If that is no image file, nor leads to one.
            UnreadableImageError: If the file is not an image.
        """
        answer = self.classifier.classify(receive(image, deadline))
        return to_json(answer, self.classifier.release)


def show_example(endpoint: Dependency, sent: Any) -> None:
    """Have the page "Use via API" print a call with an image; else it prints "..." in its place."""
    page: Any = get_blocks_context()
    image = page.blocks[endpoint["inputs"][0]]
    image.label = "image"
    image.example_payload = lambda: sent


def receive_small(sent: Any) -> Path | bytes | None:
    """Take an image that is here and small.

    Returns:
        The uploaded file, or an image file's bytes; None for an address and for what is large.

    Raises:
        IntakeError: If there is no image in what was sent.
    """
    if is_address(text_of(sent)) or len(text_of(sent)) > SMALL_TEXT:
        return None
    source = receive(sent, deadline=0.0)
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    return source if size <= SMALL_BYTES else None


def to_json(answer: Answer, release: Release) -> dict[str, Any]:
    """Put an answer into the form of the API.

    Returns:
        `digit` (null where there is none), `confidence`, `probabilities` (ten), `reason` (null,
        "blank" or "unsure"), `seen` (`png` as a data URL and `steps`; null for a blank) and
        `model` (`id`, `commit`, `version`; null for one that was never published).
    """
    seen = None
    if answer.seen:
        file = io.BytesIO()
        Image.fromarray(answer.seen.pixels).save(file, "PNG")
        png = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        seen = {"png": png, "steps": list(answer.seen.steps)}
    return {
        "digit": answer.digit,
        "confidence": answer.confidence,
        "probabilities": list(answer.probabilities),
        "reason": answer.reason,
        "seen": seen,
        "model": name_release(release),
    }


def name_release(release: Release) -> dict[str, Any]:
    """Say which release this is."""
    return {"id": release.id, "commit": release.commit, "version": release.version}


def headline_metrics(release: Release) -> dict[str, Any]:
    """Pick a release's main numbers; none of what was not measured yet."""
    file = release.folder / "metrics.json"
    measured = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return {
        part: {name: measured[part][name] for name in names if name in measured[part]}
        for part, names in HEADLINE.items()
        if part in measured
    }
