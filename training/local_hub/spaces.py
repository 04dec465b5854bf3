"""Spaces, really started: each in an environment of its own, on a port of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from training.local_hub.reading import API, find_repository, read_card
from training.local_hub.storage import MAIN, HubError, Repository

HOST = "127.0.0.1"
PYTHON = Path(sys.executable)
START_SECONDS = 60
STARTS = 3  # on another port each
FIRST_PORT = 7860
NEVER = threading.Event()
KEPT = ("PATH", "LANG", "TMPDIR", "PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")

log = logging.getLogger(__name__)


class SpaceError(Exception):
    """A Space cannot run: the stage it ends in, and why."""

    def __init__(self, stage: str, reason: str) -> None:
        """Take the Hub's name for the stage."""
        super().__init__(reason)
        self.stage = stage


class Space:
    """One commit of a Space, built and run by a thread.

    Attributes:
        commit: Its id.
        url: Where it answers; empty before it is started.
    """

    def __init__(self, repository: Repository, endpoint: str, environments: Path) -> None:
        """Begin to build it."""
        self.repository, self.endpoint, self.environments = repository, endpoint, environments
        self.commit = repository.commit_at(MAIN)
        self.folder = repository.folder / "running" / self.commit.id
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = threading.Event()
        self._stage = "BUILDING"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def stage(self) -> str:
        """The Hub's name for what it is doing."""
        if self._stage == "RUNNING" and self.process and self.process.poll() is not None:
            return "RUNTIME_ERROR"
        return self._stage

    def log(self, kind: str) -> Path:
        """Return the file that "build" or "run" writes to."""
        return self.folder.with_name(f"{self.commit.id}.{kind}.log")

    def runtime(self) -> dict[str, Any]:
        """Return what the Hub says of its process."""
        return {
            "stage": self.stage,
            "hardware": {"current": "cpu-basic", "requested": "cpu-basic"},
            "gcTimeout": 172_800,
            "storage": None,
            "replicas": {"current": 1, "requested": 1},
            "sha": self.commit.id,
        }

    def stop(self) -> None:
        """End its process."""
        self.ended.set()
        self._thread.join()
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        for kind in ("build", "run"):
            self.log(kind).write_bytes(b"")
        try:
            app = self._write_out()
            python = self._build()
            self._stage = "APP_STARTING"
            self._stage = "RUNNING" if self._start(python, app) else "RUNTIME_ERROR"
        except SpaceError as error:
            with self.log("build").open("a") as output:
                output.write(f"{error}\n")
            self._stage = error.stage
        except Exception:  # the thread's last word: else the Space would build for ever
            log.exception("The Space %s", self.repository.id)
            self._stage = "BUILD_ERROR"

    def _write_out(self) -> str:
        """Lay the commit's files out; return the app's file."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for path, file in self.commit.files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.repository.content(file), self.folder / path)
        card = read_card(self.repository, self.commit)
        app = str(card.get("app_file", "app.py"))
        if card.get("sdk") != "gradio":
            raise SpaceError("CONFIG_ERROR", "README.md names no sdk that runs here: gradio")
        if not (self.folder / app).is_file():
            raise SpaceError("NO_APP_FILE", f"There is no {app}")
        pin = f"gradio=={card.get('sdk_version')}"
        asked = self._requirements().split()
        if any(one.startswith("gradio==") and one != pin for one in asked):
            raise SpaceError("BUILD_ERROR", f"requirements.txt and sdk_version ({pin}) disagree")
        return app

    def _requirements(self) -> str:
        file = self.folder / "requirements.txt"
        return file.read_text("utf-8") if file.is_file() else ""

    def _build(self) -> Path:
        """Make the environment that requirements.txt asks for, once; return its Python."""
        name = hashlib.sha256(self._requirements().encode()).hexdigest()[:16]
        environment = self.environments / name
        if not (environment / "whole").exists():
            shutil.rmtree(environment, ignore_errors=True)
            uv = (str(PYTHON), "-m", "uv")
            self._call(*uv, "venv", "--quiet", "--python", str(PYTHON), str(environment))
            python = str(environment / "bin" / "python")
            requirements = self.folder / "requirements.txt"
            if requirements.is_file():
                self._call(*uv, "pip", "install", "--python", python, "-r", str(requirements))
            (environment / "whole").touch()
        return environment / "bin" / "python"

    def _call(self, *command: str) -> None:
        with self.log("build").open("ab") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)
        if done.returncode:
            raise SpaceError("BUILD_ERROR", f"{' '.join(command[2:4])} ended with an error")

    def _start(self, python: Path, app: str) -> bool:
        """Run the app until it answers; on another port if somebody took this one meanwhile."""
        for _ in range(STARTS):
            port = free_port()
            self.url = f"http://{HOST}:{port}"
            self.process = self._spawn(python, app, port)
            if answers(self.url, self.process, self.ended):
                return True
            self.process.kill()
            self.process.wait()
            if self.ended.is_set() or free_port() == port:  # the app's own fault
                break
        return False

    def _spawn(self, python: Path, app: str, port: int) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {
            "HOME": str(self.folder),
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.environments / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_SERVER_NAME": HOST,
            "GRADIO_SERVER_PORT": str(port),
            "SPACE_ID": self.repository.id,
        }
        with self.log("run").open("wb") as output:
            return subprocess.Popen(
                (str(python), "-u", app),
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is the Hub's: it ends its Spaces itself
            )


class Spaces:
    """All that run on one Hub."""

    def __init__(self, folder: Path) -> None:
        """Keep environments and caches in the Hub's folder."""
        self.folder, self.endpoint = folder, ""
        self.running: dict[str, Space] = {}
        self._changing = threading.Lock()

    def committed(self, repository: Repository) -> None:
        """Build and start a Space's new commit in the place of the one that runs."""
        if repository.kind == "space":
            self.stop(repository)
            self.find(repository)

    def find(self, repository: Repository) -> Space:
        """Return a Space, started if it is not."""
        with self._changing:
            if repository.id not in self.running:
                place = self.folder / "environments"
                self.running[repository.id] = Space(repository, self.endpoint, place)
            return self.running[repository.id]

    def describe(self, repository: Repository) -> dict[str, Any]:
        """Return what a repository's description says of its Space."""
        space = self.find(repository)
        name = repository.id.replace("/", "-")
        return {"host": space.url, "subdomain": name, "runtime": space.runtime()}

    def stop(self, repository: Repository) -> None:
        """End a Space's process."""
        with self._changing:
            space = self.running.pop(repository.id, None)
        if space:
            space.stop()

    def stop_all(self) -> None:
        """End every process."""
        for space in list(self.running.values()):
            self.stop(space.repository)


def free_port() -> int:
    """Return 7860, where Gradio's pages are looked for, or the next port nobody listens on."""
    for port in range(FIRST_PORT, FIRST_PORT + 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise SpaceError("RUNTIME_ERROR", f"No port from {FIRST_PORT} on is free")


def answers(url: str, process: subprocess.Popen[bytes], ended: threading.Event = NEVER) -> bool:
    """Wait until a process serves a page; return False if it ends, or is to end, or is late.

    So too if it listens elsewhere: Gradio moves on where somebody took the port meanwhile, and then
    that one's page would answer.
    """
    port, deadline = int(url.rpartition(":")[2]), time.monotonic() + START_SECONDS
    while process.poll() is None and not ended.wait(0.1) and time.monotonic() < deadline:
        with contextlib.suppress(OSError, psutil.Error):  # not yet
            ports = listening(process)
            if ports and port not in ports:
                return False
            if ports:
                urllib.request.urlopen(url, timeout=5).close()
                return True
    return False


def listening(process: subprocess.Popen[bytes]) -> set[int]:
    """Return the ports that a process listens on."""
    sockets = psutil.Process(process.pid).net_connections("tcp")
    return {one.laddr.port for one in sockets if one.status == psutil.CONN_LISTEN}


def find_space(request: Request) -> Space:
    """Return the Space that the path names."""
    repository = find_repository(request)
    repository.refs()  # it must exist
    spaces: Spaces = request.app.state.spaces
    return spaces.find(repository)


def runtime(request: Request) -> Response:
    """Answer with the stage."""
    return JSONResponse(find_space(request).runtime())


def logs(request: Request) -> Response:
    """Send the log so far, as server-sent events."""
    kind = request.path_params["log"]
    if kind not in ("build", "run"):
        raise HubError(404, "EntryNotFound", f"There is no log {kind!r}.")
    lines = find_space(request).log(kind).read_text("utf-8", "replace").splitlines(keepends=True)

    def events() -> Iterator[str]:
        for line in lines:
            yield f"data: {json.dumps({'data': line, 'timestamp': ''})}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


ROUTES = [
    Route(API + "/runtime", runtime),
    Route(API + "/logs/{log}", logs),
]
