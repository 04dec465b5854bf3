"""Is everything there that a release needs? For each thing what is wrong, and where to mend it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import HfApi, SpaceInfo, constants, get_token
from huggingface_hub.errors import OIDCError, RepositoryNotFoundError

from training.config import repository
from training.git import github_repository
from training.hub import RETRIED, Kind, explain, look_into, require_ours
from training.stage import StageError

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([\w-]+)==([^\s;]+)", re.MULTILINE)
VERSIONS = ("3.11", "3.12", "3.13")
VARIABLES: dict[Kind, str] = {"model": "HF_MODEL_ID", "space": "HF_SPACE_ID"}
HARDWARE = {
    "zero-a10g": "on ZeroGPU, which is free",
    "cpu-basic": "on CPU basic, which needs PRO",
}
FORK = "your-name/your-fork"  # where nothing says which one this is
BUSY = RETRIED - {0}  # may pass in a minute
MARKS = {True: "✓", False: "✗", None: "–"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        about: What.
        good: Whether it is as it must be; None where that cannot be told from here.
        said: What was found, and what to do about it.
    """

    about: str
    good: bool | None
    said: str


def examine() -> Iterator[Finding]:
    """Look at Python, packages, variables, identity and both repositories, in this order."""
    yield examine_python()
    yield examine_packages()
    yield examine_identity()
    for kind, variable in VARIABLES.items():
        try:
            id = repository(variable)
        except StageError as error:
            yield Finding("Variable", False, f"{error}{where_variables_are()}")
            continue
        yield examine_repository(id, kind)
        yield trusted_publisher(id, kind)


def line(finding: Finding) -> str:
    """Print a finding."""
    return f"{MARKS[finding.good]} {finding.about}: {finding.said}"


def examine_python() -> Finding:
    """Is it one of those that this is tested with?"""
    version = platform.python_version()
    good = version.rpartition(".")[0] in VERSIONS
    advice = (
        ""
        if good
        else f"; {', '.join(VERSIONS)} are tested: rm -rf .venv && make PYTHON=python3.12"
    )
    return Finding("Python", good, version + advice)


def examine_packages() -> Finding:
    """Are the packages installed that requirements.txt pins?"""
    pins: dict[str, str] = {}
    for name in ("requirements.txt", "space/requirements.txt"):
        pins |= PIN.findall((ROOT / name).read_text("utf-8"))
    wrong = []
    for package, version in pins.items():
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed != version and not package.startswith("tensorflow"):  # of two, one is here
            wrong.append(f"{package} {installed} instead of {version}")
    if wrong:
        return Finding("Packages", False, f"{', '.join(wrong)}. Install them: make install")
    return Finding("Packages", True, f"{len(pins)} as pinned")


def examine_identity() -> Finding:
    """Does the Hub know who asks?"""
    resource, settings = os.environ.get("HF_OIDC_RESOURCE"), f"{constants.ENDPOINT}/settings/tokens"
    try:
        token = get_token()
        if token is None:
            said = (
                "no token here. A workflow with Trusted Publishers needs none; elsewhere set "
                f"HF_TOKEN to one that may write both repositories, from {settings}"
            )
            return Finding("Identity", None, said)
        if resource:
            return Finding("Identity", True, f"this workflow may write {resource}")
        user = HfApi().whoami(token)
    except OIDCError as error:
        said = f"{error} In a workflow, give the job the permission id-token: write"
        return Finding("Identity", False, said)
    except (HTTPError, ConnectionError) as error:
        status, _ = look_into(error)
        if status in BUSY:
            return Finding("Identity", None, f"the Hub is busy (HTTP {status}): run it again")
        refused = f"the Hub refused HF_TOKEN (HTTP {status}). Make another: {settings}"
        if resource:
            refused = f"{resource} does not trust this workflow (HTTP {status}): see below"
        return Finding("Identity", False, refused if status else unreachable(error))
    # A browser's login has no token by name, and may do what its user may.
    token_kind = (user.get("auth") or {}).get("accessToken") or {}
    if token_kind.get("role") == "read":
        said = f"{user['name']}'s token may only read. Make one that may write: {settings}"
        return Finding("Identity", False, said)
    return Finding("Identity", True, f"{user['name']}'s token")


def examine_repository(id: str, kind: Kind) -> Finding:
    """Is it there, and of the right kind?"""
    page = f"{constants.ENDPOINT}/{'spaces/' if kind == 'space' else ''}{id}"
    try:
        info = HfApi(token=False).repo_info(id, repo_type=kind)  # as a visitor does
    except RepositoryNotFoundError:
        new = f"{constants.ENDPOINT}/{'new-space' if kind == 'space' else 'new'}"
        return Finding(kind.capitalize(), False, f"there is no {page}, or it is private: {new}")
    except (HTTPError, ConnectionError) as error:
        status, _ = look_into(error)
        said = explain(error, status, id, kind) if status else unreachable(error)
        return Finding(kind.capitalize(), None if status in BUSY else False, said)
    if isinstance(info, SpaceInfo) and info.sdk != "gradio":
        said = f"its SDK is {info.sdk}, not Gradio: delete it at {page}/settings, make another at "
        return Finding("Space", False, f"{said}{constants.ENDPOINT}/new-space")
    try:
        files = getattr(info, "siblings", None) or ()
        require_ours([file.rfilename for file in files], id, kind)
    except StageError as error:
        return Finding(kind.capitalize(), False, str(error))
    if isinstance(info, SpaceInfo):
        return examine_space(info, page)
    return Finding("Model", True, page)


def examine_space(info: SpaceInfo, page: str) -> Finding:
    """Can it run the page?"""
    runtime = info.runtime
    hardware = str((runtime and (runtime.requested_hardware or runtime.hardware)) or "")
    kind = HARDWARE.get(hardware, f"on {hardware}, which costs by the hour" if hardware else "")
    return Finding("Space", True, " ".join(filter(None, (page, kind))))


def trusted_publisher(id: str, kind: Kind) -> Finding:
    """Say which claims must stand there: nobody but its owner can look."""
    page = f"{constants.ENDPOINT}/{'spaces/' if kind == 'space' else ''}{id}/settings"
    claims = f"repository {github_repository() or FORK}, branch main, workflow release.yml"
    said = f"for releases by Actions it must be {claims}: {page}"
    return Finding("Trusted Publisher", None, said)


def where_variables_are() -> str:
    """Say where a workflow's variables are set."""
    place = f"https://github.com/{github_repository() or FORK}/settings/variables/actions"
    return f"; for a workflow, set it at {place}"


def unreachable(error: Exception) -> str:
    """Say that nothing answered."""
    return f"{constants.ENDPOINT} could not be reached ({type(error).__name__})"
