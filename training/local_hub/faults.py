"""Faults on request: what a service does on a bad day, once, at a request of one's choice."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

HEX = re.compile(r"[0-9a-f]{40,64}")
PLACE = "/_faults"


@dataclass
class Faults:
    """What was asked for since it was last ordered, and what is to go wrong.

    Attributes:
        wanted: The method and path, hashes left out, that goes wrong.
        number: At which of these requests, from 1.
        answer: 429, 500 or 503; or drop the connection, delay, stop the server, kill the process.
        seconds: How late the answer is after a delay.
        process: Who is killed.
        seen: Each request, in their order.
    """

    wanted: str = ""
    number: int = 1
    answer: str = ""
    seconds: float = 0.0
    process: int = 0
    seen: list[str] = field(default_factory=list)

    def is_due(self, method: str, path: str) -> bool:
        """Note a request; tell whether it is the one to go wrong."""
        self.seen.append(f"{method} {HEX.sub('*', path)}")
        return self.seen[-1] == self.wanted and self.seen.count(self.wanted) == self.number


def with_faults(app: ASGIApp, state: State, stop: Callable[[], None]) -> ASGIApp:
    """Let a request go wrong if it is due."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        faults: Faults = state.faults
        if scope["path"] == PLACE or not faults.is_due(scope["method"], scope["path"]):
            await app(scope, receive, send)
        elif faults.answer == "delay":
            await asyncio.sleep(faults.seconds)
            await app(scope, receive, send)
        elif faults.answer.isdigit():
            status, headers = int(faults.answer), {"Retry-After": "1"}
            answer: Response = JSONResponse({"error": "A fault."}, status, headers)
            if status == 503:  # comes from what stands before the Hub
                answer = HTMLResponse("<h1>Service Unavailable</h1>", status, headers)
            await answer(scope, receive, send)
        else:
            if faults.answer == "kill":
                os.kill(faults.process, signal.SIGKILL)
            if faults.answer == "stop":
                stop()
            await drop(send)

    return served


async def drop(send: Send) -> None:
    """Begin an answer and close the connection in the middle of it."""
    length = [(b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"{", "more_body": False})


async def order(request: Request) -> Response:
    """Take an order for a fault in the place of the one before; answer what was seen till now."""
    state, wanted = request.app.state, await request.json()
    answer = JSONResponse(state.faults.seen)
    state.faults = Faults(**wanted)
    return answer


ROUTES = [Route(PLACE, order, methods=["POST"])]
