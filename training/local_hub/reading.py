"""What clients read: the answers about repositories, and the files themselves."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import yaml
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from training.local_hub.storage import MAIN, POINTER, Commit, HubError, Repository

CARD_KEYS = ("tags", "library_name", "pipeline_tag", "model-index", "sdk")  # repeated beside it


def parameter(request: Request, name: str, default: str = "") -> str:
    """Return a part of the path, decoded: routing is on the raw one."""
    return unquote(request.path_params.get(name, default))


def find_repository(request: Request) -> Repository:
    """Return the repository that the path names."""
    id = f"{parameter(request, 'owner')}/{parameter(request, 'name')}"
    return Repository(request.app.state.folder, parameter(request, "kind", "model"), id)


def find_commit(request: Request) -> Commit:
    """Return the commit that the path names, by default that of main."""
    return find_repository(request).commit_at(parameter(request, "revision", MAIN))


def info(request: Request) -> Response:
    """Describe a repository at a revision."""
    repository, commit = find_repository(request), find_commit(request)
    *_, first = repository.history(commit.id)
    card = read_card(repository, commit)
    answer = {key: card[key] for key in CARD_KEYS if key in card}
    answer |= {"id": repository.id, "author": parameter(request, "owner"), "sha": commit.id}
    answer |= {"private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0}
    answer |= {"createdAt": first.date, "lastModified": commit.date, "cardData": card}
    if repository.kind == "space":
        answer |= request.app.state.spaces.describe(repository)
    detailed = "blobs" in request.query_params
    answer["siblings"] = [
        {"rfilename": path} | (entry | {"blobId": entry["oid"]} if detailed else {})
        for path, entry in entries(commit).items()
        if entry["type"] == "file"
    ]
    return JSONResponse(answer)


def read_card(repository: Repository, commit: Commit) -> dict[str, Any]:
    """Return the front matter of a commit's README."""
    if "README.md" not in commit.files:
        return {}
    try:
        card = front_matter(repository.content(commit.files["README.md"]).read_text("utf-8"))
    except yaml.YAMLError:
        return {}
    return card if isinstance(card, dict) else {}


def front_matter(text: str) -> Any:
    """Parse what stands between the first two lines of three dashes; {} where nothing does."""
    before, *card = text.split("---\n", 2)
    return yaml.safe_load(card[0]) or {} if len(card) == 2 and not before else {}


def entries(commit: Commit) -> dict[str, dict[str, Any]]:
    """Describe a commit's files and folders as listings do, by path."""
    listed: dict[str, dict[str, Any]] = {}
    folders: dict[str, Any] = {}
    for path, file in sorted(commit.files.items()):
        listed[path] = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
        if file.sha256:
            listed[path]["lfs"] = {
                "oid": file.sha256,
                "sha256": file.sha256,
                "size": file.size,
                "pointerSize": len(POINTER.format(file.sha256, file.size)),
            }
        for folder in list(PurePosixPath(path).parents)[:-1]:
            folders.setdefault(str(folder), hashlib.sha1()).update(f"{path} {file.oid}".encode())
    for path, digest in folders.items():
        listed[path] = {"type": "directory", "path": path, "size": 0, "oid": digest.hexdigest()}
    return listed


def tree(request: Request) -> Response:
    """List what lies in a folder or, with ?recursive=true, anywhere below it."""
    commit, folder = find_commit(request), parameter(request, "path")
    prefix = f"{folder}/" if folder else ""
    below = {p.removeprefix(prefix): e for p, e in entries(commit).items() if p.startswith(prefix)}
    if folder and not below:
        raise HubError(404, "EntryNotFound", f"There is no folder {folder!r}.", commit.id)
    recursive = request.query_params.get("recursive", "").lower() == "true"
    return JSONResponse([entry for path, entry in below.items() if recursive or "/" not in path])


async def paths_info(request: Request) -> Response:
    """Describe the paths asked for; those that are not there are left out."""
    listed = entries(find_commit(request))
    async with request.form() as form:
        paths = [str(path) for path in form.getlist("paths")]
    return JSONResponse([listed[path] for path in paths if path in listed])


def commits(request: Request) -> Response:
    """List a revision's commits, newest first."""
    answer, authors = [], [{"user": parameter(request, "owner")}]
    for commit in find_repository(request).history(parameter(request, "revision")):
        title, _, message = commit.message.partition("\n")
        described = {"id": commit.id, "title": title, "message": message.strip()}
        answer.append(described | {"date": commit.date, "authors": authors})
    return JSONResponse(answer)


def refs(request: Request) -> Response:
    """List branches and tags."""
    answer: dict[str, Any] = {"converts": [], "pullRequests": []}
    for sort, names in find_repository(request).refs().items():
        prefix = "refs/heads/" if sort == "branches" else "refs/tags/"
        answer[sort] = [
            {"name": name, "ref": prefix + name, "targetCommit": id} for name, id in names.items()
        ]
    return JSONResponse(answer)


def resolve(request: Request) -> Response:
    """Send a regular file, or say where a large one is: on another origin.

    Within one, clients follow a redirect at once and then miss the headers it had.
    """
    repository, commit = find_repository(request), find_commit(request)
    file = commit.file(parameter(request, "path"))
    headers = {"X-Repo-Commit": commit.id, "ETag": f'"{file.oid}"'}
    if not file.sha256:
        return FileResponse(repository.content(file), headers=headers)
    headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    host = "127.0.0.1" if request.url.hostname == "localhost" else "localhost"
    place = repository.content(file).relative_to(request.app.state.folder).as_posix()
    return RedirectResponse(f"http://{host}:{request.url.port}/_cdn/{place}", 302, headers)


def large(request: Request) -> Response:
    """Send a large file."""
    content = find_repository(request).folder / "blobs" / request.path_params["sha256"]
    if not content.is_file():
        raise HubError(404, "EntryNotFound", "There is no such large file.")
    return FileResponse(content, headers={"ETag": f'"{content.name}"'})


API = "/api/{kind}s/{owner}/{name}"
RESOLVE = "/{owner}/{name}/resolve/{revision}/{path:path}"
ROUTES = [
    Route(API, info),
    Route(API + "/revision/{revision}", info),
    Route(API + "/tree/{revision}", tree),
    Route(API + "/tree/{revision}/{path:path}", tree),
    Route(API + "/paths-info/{revision}", paths_info, methods=["POST"]),
    Route(API + "/commits/{revision}", commits),
    Route(API + "/refs", refs),
    Route("/{kind}s" + RESOLVE, resolve),
    Route(RESOLVE, resolve),
    Route("/_cdn/{kind}s/{owner}/{name}/blobs/{sha256}", large),
]
