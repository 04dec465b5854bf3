"""Which commit of which repository this runs from."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git_commit() -> str | None:
    """Return the commit, marked where files differ from it; None outside git."""
    return ask_git("describe", "--always", "--abbrev=40", "--dirty=-modified")


def github_repository() -> str | None:
    """Return the repository on GitHub, "name/repository", as the workflow or git has it."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return name
    remote = ask_git("remote", "get-url", "origin") or ""
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?$", remote)
    return found[1] if found else None


def ask_git(*arguments: str) -> str | None:
    """Return git's answer about this folder; None where it has none."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
