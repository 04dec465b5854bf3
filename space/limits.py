"""What a caller may ask of this Space, and what is said to one who asks for more.

Bounds what Gradio leaves open, and turns each of its errors into one sentence.
"""

from __future__ import annotations

import os
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from gradio_client.utils import is_file_obj_with_meta, is_http_url_like, traverse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intake import MAX_BYTES

MAX_WAITING = 200  # events in the queue; whoever comes later is asked to try again
UPDATE_SECONDS = 5  # until those who wait hear of their place again; else it is at every event
MAX_RUNNING = 4  # of each kind; the model takes one at a time, the rest draws and decodes
MAX_CALLS = 16  # of `/classify`: without a thread of their own, and waiting in the queue costs more
MAX_SESSIONS = 100  # of which Gradio remembers what they sent last
MAX_BODY_BYTES = 2 * MAX_BYTES  # of one request: an image as base64 is a third larger
MAX_VALUES = 200_000  # in one request's JSON; Gradio looks at each, and nobody is served meanwhile
# Of Gradio's own: one runs ffmpeg on what is sent, the other writes to the disk what was sent.
CLOSED = ("/process_recording", "/deep_link")

# Gradio would summarise its last 10,000 events anew with each one, ever slower and larger.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")

UNEXPECTED = (
    "This call cannot be answered. See what the endpoints take at /gradio_api/info, or under "
    '"Use via API" at the foot of the page.'
)
SAID = {  # where Gradio's own words tell too little or too much, by status code
    400: UNEXPECTED,
    403: "This file is not for callers. Pass only what the Space itself has named.",
    404: "There is nothing here. " + UNEXPECTED.partition(". ")[2],
    405: UNEXPECTED,
    413: f"This is too large. Send at most {MAX_BYTES // 1_000_000} MB for an image, and "
    f"{MAX_BODY_BYTES // 1_000_000} MB or {MAX_VALUES:,} values at once.",
    503: "Too many are waiting. Try again in a few seconds.",
}


class Page(gr.Blocks):
    """A page that fetches nothing for its callers, and whose every error is a sentence."""

    async def process_api(
        self, block_fn: Any, inputs: list[Any], *arguments: Any, **options: Any
    ) -> dict[str, Any]:
        """Answer one event.

        Raises:
            gr.Error: If it cannot be answered; the cause is in the log alone.
        """
        try:
            inputs = leave_files_alone(inputs, everything=block_fn.api_visibility == "public")
            return await super().process_api(block_fn, inputs, *arguments, **options)
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(UNEXPECTED) from error


def leave_files_alone(inputs: list[Any], everything: bool) -> list[Any]:
    """Unmark files, so that Gradio does not look for them: addresses, or everything.

    It would fetch an address into memory, however large it is; and of a batch it would refuse all
    for a single file that is not there.
    """

    def is_left(value: Any) -> bool:
        return is_file_obj_with_meta(value) and (everything or is_http_url_like(value["path"]))

    def unmark(file: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in file.items() if name != "meta"}

    left: list[Any] = traverse(inputs, unmark, is_left)
    return left


class BodyLimit:
    """Middleware that ends a request which is larger than `MAX_BODY_BYTES`, sent so or trickled.

    So it does with one of too many values, and with what is `CLOSED`. It also says what Gradio
    finds too large in our words.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Take what comes after it."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is received."""
        if scope.get("path", "").rstrip("/").endswith(CLOSED):
            await say(404)(scope, receive, send)
            return
        received = values = 0
        kind = dict(scope.get("headers", ())).get(b"content-type", b"")
        is_json = not kind.startswith(b"multipart/")

        async def count() -> Message:
            nonlocal received, values
            message = await receive()
            body = message.get("body", b"")
            received += len(body)
            values += is_json and body.count(b",") + body.count(b"[")
            if received > MAX_BODY_BYTES or values > MAX_VALUES:
                raise HTTPException(413)
            return message

        too_large = False

        async def tell(message: Message) -> None:
            nonlocal too_large
            if message["type"] == "http.response.start" and message["status"] == 413:
                too_large = True
                await say(413)(scope, receive, send)
            elif not too_large:
                await send(message)

        await self.app(scope, count, tell)


def refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that reached no event: it names none, or is not what one takes."""
    if not isinstance(error, HTTPException):
        malformed = isinstance(error, RequestValidationError | KeyError | TypeError | ValueError)
        return JSONResponse({"error": UNEXPECTED}, 422 if malformed else 500)
    return say(error.status_code, error.detail)


def say(status: int, otherwise: str = UNEXPECTED) -> JSONResponse:
    """Answer with what is said for a status."""
    said = SAID.get(status, otherwise)
    return JSONResponse({"error": said, "detail": said}, status)


APP = {
    "middleware": [Middleware(BodyLimit)],
    "exception_handlers": dict.fromkeys((HTTPException, RequestValidationError, Exception), refuse),
}
