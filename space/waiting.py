"""The page while there is no model: it says so, and tries again by itself.

Stands in for Gradio's on the same port, until the release can be loaded.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reader import Classifier, ReleaseError

RETRY_SECONDS = 10
SAID = (
    "The model cannot be loaded from the Hub at the moment. "
    f"It is tried again every {RETRY_SECONDS} seconds."
)
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Draw a digit</title>
<style>
  body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 32em; margin: 20vh auto; padding: 1em }}
</style>
<h1>One moment</h1>
<p role="status">{SAID} This page reloads by itself.</p>
<script>
  setInterval(async () => {{
    const answer = await fetch("config").catch(() => null);
    if (answer?.ok) location.reload();
  }}, 2000);
</script>
"""


def wait(load: Callable[[], Classifier]) -> Classifier:
    """Serve the waiting page until the release loads; say in the log what is in the way."""
    with serving_page():
        while True:
            time.sleep(RETRY_SECONDS)
            try:
                return load()
            except ReleaseError as error:
                print(f"{SAID} {error}", flush=True)


@contextmanager
def serving_page() -> Iterator[None]:
    """Answer visitors with the page and programs with an error, where Gradio would listen."""
    place = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    with ThreadingHTTPServer((place, port), Waiting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


class Waiting(BaseHTTPRequestHandler):
    """Answers every request while there is no model."""

    def do_GET(self) -> None:
        """Show the page; to what is not for eyes, say that the service is not available."""
        if self.path.partition("?")[0] == "/":
            self.answer(200, "text/html; charset=utf-8", PAGE)
        else:
            self.do_POST()

    def do_POST(self) -> None:
        """Tell a program to come back."""
        self.answer(503, "application/json", json.dumps({"error": f"{SAID} Call again later."}))

    def answer(self, status: int, kind: str, body: str) -> None:
        """Send an answer that nobody keeps."""
        self.send_response(status)
        content = body.encode()
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Retry-After": str(RETRY_SECONDS),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        """Name no version."""
        return "waiting"

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the log for what is in the way."""
