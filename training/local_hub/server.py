"""Serves a folder of repositories to the unmodified clients, on loopback only.

Imports no Hub library: those read HF_ENDPOINT when first imported, which may not be set yet.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from training.local_hub import access, faults, reading, spaces, writing
from training.local_hub.access import Token
from training.local_hub.faults import Faults, with_faults
from training.local_hub.spaces import Spaces
from training.local_hub.storage import HubError

HOST = "127.0.0.1"
STAND_IN = ("X-Stand-In", "local_hub")
TOKENS = {"hf_local": Token("local")}  # the one who rehearses

log = logging.getLogger(__name__)


@contextmanager
def running_hub(folder: Path, port: int = 0, tokens: Mapping[str, Token] = TOKENS) -> Iterator[str]:
    """Serve the repositories in a folder until the block ends.

    Args:
        folder: Theirs; it may be empty or missing.
        port: 0 for any that is free.
        tokens: What each secret stands for.

    Yields:
        The endpoint, for HF_ENDPOINT.

    Raises:
        OSError: If the port is taken.
    """
    hub = application(folder.resolve(), tokens)
    quiet: dict[str, Any] = {"lifespan": "off", "log_config": None, "timeout_graceful_shutdown": 1}
    app = with_faults(on_raw_path(hub), hub.state, lambda: setattr(server, "should_exit", True))
    server = uvicorn.Server(uvicorn.Config(app, headers=[STAND_IN], **quiet))
    with socket.create_server((HOST, port)) as listener:  # requests can wait from here on
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        endpoint = hub.state.spaces.endpoint = f"http://{HOST}:{listener.getsockname()[1]}"
        log.info("A stand-in for the Hub (local_hub) serves %s at %s", folder, endpoint)
        try:
            yield endpoint
        finally:
            hub.state.spaces.stop_all()
            server.should_exit = True
            thread.join()


def application(folder: Path, tokens: Mapping[str, Token]) -> Starlette:
    """Build the application."""
    routes = [*faults.ROUTES, *access.ROUTES, *writing.ROUTES, *spaces.ROUTES, *reading.ROUTES]
    hub = Starlette(routes=routes, exception_handlers={HubError: refuse})
    hub.state.folder, hub.state.tokens, hub.state.spaces = folder, dict(tokens), Spaces(folder)
    hub.state.faults = Faults()
    return hub


def on_raw_path(app: ASGIApp) -> ASGIApp:
    """Route on the path as it was sent: decoded, the revision "dev%2Fx" would be two segments."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "path": scope["raw_path"].decode()}, receive, send)

    return routed


def refuse(request: Request, error: Exception) -> Response:
    """Answer as the Hub refuses."""
    assert isinstance(error, HubError)
    message = error.message.encode("unicode_escape").decode()  # a header is one line of Latin
    headers = {"X-Error-Code": error.code, "X-Error-Message": message}
    if error.commit:
        headers["X-Repo-Commit"] = error.commit
    return JSONResponse({"error": error.message}, error.status, headers)
