"""Serves a folder of repositories to the unmodified clients, on loopback only.

Imports no Hub library: those read HF_ENDPOINT when first imported, which may not be set yet.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from training.local_hub.reading import ROUTES
from training.local_hub.storage import HubError

HOST = "127.0.0.1"
STAND_IN = ("X-Stand-In", "local_hub")

log = logging.getLogger(__name__)


@contextmanager
def running_hub(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve the repositories in a folder until the block ends.

    Args:
        folder: Theirs; it may be empty or missing.
        port: 0 for any that is free.

    Yields:
        The endpoint, for HF_ENDPOINT.

    Raises:
        OSError: If the port is taken.
    """
    app = application(folder)
    config = uvicorn.Config(
        app, headers=[STAND_IN], lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server((HOST, port)) as listener:  # requests can wait from here on
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        endpoint = f"http://{HOST}:{listener.getsockname()[1]}"
        log.info("A stand-in for the Hub (local_hub) serves %s at %s", folder, endpoint)
        try:
            yield endpoint
        finally:
            server.should_exit = True
            thread.join()


def application(folder: Path) -> ASGIApp:
    """Build the ASGI application."""
    app = Starlette(routes=ROUTES, exception_handlers={HubError: refuse})
    app.state.folder = folder

    async def on_raw_path(scope: Scope, receive: Receive, send: Send) -> None:
        # Decoded, the revision "dev%2Fx" would be two segments.
        await app({**scope, "path": scope["raw_path"].decode()}, receive, send)

    return on_raw_path


def refuse(request: Request, error: Exception) -> Response:
    """Answer as the Hub refuses."""
    assert isinstance(error, HubError)
    message = error.message.encode("unicode_escape").decode()  # a header is one line of Latin
    headers = {"X-Error-Code": error.code, "X-Error-Message": message}
    if error.commit:
        headers["X-Repo-Commit"] = error.commit
    return JSONResponse({"error": error.message}, error.status, headers)
