"""What clients write: repositories, commits, large files and tags."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from training.local_hub.access import require_creation, require_write
from training.local_hub.reading import API, find_commit, find_repository, front_matter, parameter
from training.local_hub.storage import File, HubError, Repository, is_large, large_file

FIRST_FILE = "*.keras filter=lfs diff=lfs merge=lfs -text\n"  # the Hub's own is longer


def address(request: Request, repository: Repository) -> str:
    """Return a repository's page."""
    prefix = "" if repository.kind == "model" else f"{repository.kind}s/"
    return f"{request.base_url}{prefix}{repository.id}"


async def create(request: Request) -> Response:
    """Create a repository: it begins with `.gitattributes`, and a Space's with its card."""
    wanted = await request.json()
    user = require_creation(request)
    kind, owner = wanted.get("type") or "model", wanted.get("organization") or user
    repository = Repository(request.app.state.folder, kind, f"{owner}/{wanted['name']}")
    if owner != user:
        raise HubError(403, "Forbidden", f"{user} cannot create in the namespace {owner}.")
    if kind == "space" and not wanted.get("sdk"):
        raise HubError(400, "BadRequest", "A Space needs an sdk.")
    if repository.exists:
        answer = {"error": "It exists already.", "url": address(request, repository)}
        return JSONResponse(answer, 409)
    begun = {".gitattributes": FIRST_FILE}
    if kind == "space":
        begun["README.md"] = f"---\ntitle: {wanted['name']}\nsdk: {wanted['sdk']}\n---\n"
    with repository.scratch() as scratch:
        files = {
            path: save(repository, scratch / "file", path, text.encode())
            for path, text in begun.items()
        }
    repository.commit(files, "initial commit")
    return JSONResponse({"url": address(request, repository)})


def save(repository: Repository, scratch: Path, path: str, content: bytes) -> File:
    """Add a file's content."""
    scratch.write_bytes(content)
    return repository.add(scratch, path)


async def preupload(request: Request) -> Response:
    """Say of each file how to send it, and what is there now: the client leaves out the same."""
    require_write(request)
    present = find_commit(request).files
    answer = []
    for wanted in (await request.json())["files"]:
        path = wanted["path"]
        mode = "lfs" if is_large(path, wanted["size"]) else "regular"
        entry = {"path": path, "uploadMode": mode, "shouldIgnore": False}
        if path in present:
            entry["oid"] = present[path].sha256 or present[path].oid
        answer.append(entry)
    return JSONResponse({"files": answer})


async def large_batch(request: Request) -> Response:
    """Say where to send large files: nowhere, if they are here."""
    require_write(request)
    repository = find_repository(request)
    repository.refs()  # it must exist
    host = f"http://{request.url.hostname}:{request.url.port}"
    objects = []
    for wanted in (await request.json())["objects"]:
        entry = {"oid": wanted["oid"], "size": wanted["size"]}
        if not repository.content(large_file(wanted["oid"], wanted["size"])).exists():
            place = f"{host}/_lfs/{repository.kind}s/{repository.id}/{wanted['oid']}"
            entry["actions"] = {"upload": {"href": place, "header": {}}}
        objects.append(entry)
    answer = {"transfer": "basic", "objects": objects}
    return JSONResponse(answer, media_type="application/vnd.git-lfs+json")


async def receive(request: Request) -> Response:
    """Take a large file, straight to disk."""
    repository = find_repository(request)
    expected, digest, size = request.path_params["sha256"], hashlib.sha256(), 0
    with repository.scratch() as scratch:
        with (scratch / "file").open("wb") as partial:
            async for part in request.stream():
                partial.write(part)
                digest.update(part)
                size += len(part)
        if digest.hexdigest() != expected:
            raise HubError(400, "BadRequest", f"This is not the file {expected}.")
        (scratch / "file").replace(repository.content(large_file(expected, size)))
    return Response()


async def commit(request: Request) -> Response:
    """Make a commit of what a client sends: one JSON a line."""
    require_write(request)
    repository, head = find_repository(request), find_commit(request)
    header: dict[str, Any] = {}
    files = dict(head.files)
    with repository.scratch() as scratch:
        for line in (await request.body()).splitlines():
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "header":
                header = value
            elif key == "file":
                content = base64.b64decode(value["content"])
                files[value["path"]] = save(repository, scratch / "file", value["path"], content)
            elif key == "lfsFile":
                files[value["path"]] = find_large(repository, value["oid"])
            elif key == "deletedFile":
                files.pop(value["path"], None)
            elif key == "deletedFolder":
                folder = value["path"].rstrip("/") + "/"
                files = {path: file for path, file in files.items() if not path.startswith(folder)}
            else:
                raise HubError(400, "BadRequest", f"{key!r} is no operation of a commit.")
    message = "\n\n".join(filter(None, (header.get("summary"), header.get("description"))))
    parent = header.get("parentCommit") or head.id
    id = repository.commit(files, message, parameter(request, "revision"), parent)
    request.app.state.spaces.committed(repository)
    place = f"{address(request, repository)}/commit/{id}"
    return JSONResponse({"commitUrl": place, "commitOid": id, "pullRequestUrl": None})


def find_large(repository: Repository, sha256: str) -> File:
    """Return a large file that was sent before, or raise HubError."""
    content = repository.content(large_file(sha256, 0))
    if not content.exists():
        raise HubError(400, "BadRequest", f"The large file {sha256} was not sent.")
    return large_file(sha256, content.stat().st_size)


async def tag(request: Request) -> Response:
    """Give a commit a name that stays."""
    require_write(request)
    commit, wanted = find_commit(request), await request.json()
    find_repository(request).tag(wanted["tag"], commit.id, wanted.get("message") or "")
    return Response()


def untag(request: Request) -> Response:
    """Take a tag away."""
    require_write(request)
    find_repository(request).tag(parameter(request, "revision"), None)
    return Response()


async def validate_yaml(request: Request) -> Response:
    """Check a README's front matter: it must be a mapping in YAML."""
    wanted = await request.json()
    try:
        if not isinstance(front_matter(wanted["content"]), dict):
            raise yaml.YAMLError("it is no mapping")
    except yaml.YAMLError as error:
        problem = {"message": f"The front matter cannot be read: {error}"}
        return JSONResponse({"errors": [problem], "warnings": []}, 400)
    return JSONResponse({"errors": [], "warnings": []})


REPOSITORY = "/{owner}/{name}"
LARGE_BATCH = REPOSITORY + ".git/info/lfs/objects/batch"
ROUTES = [
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
    Route(API + "/preupload/{revision}", preupload, methods=["POST"]),
    Route(API + "/commit/{revision}", commit, methods=["POST"]),
    Route(API + "/tag/{revision}", tag, methods=["POST"]),
    Route(API + "/tag/{revision}", untag, methods=["DELETE"]),
    Route("/{kind}s" + LARGE_BATCH, large_batch, methods=["POST"]),
    Route(LARGE_BATCH, large_batch, methods=["POST"]),
    Route("/_lfs/{kind}s" + REPOSITORY + "/{sha256}", receive, methods=["PUT"]),
]
