"""The process that saves: when, by which versions, started how, from which commit.

The one place below the command line that looks at the clock and at the process: a save is made
by a script, and nobody else could say it.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ckptkit.version import __version__

GIT_TIMEOUT_S = 2.0  # once a process; a repository that is slower than this goes unnamed
_SAFE_GIT = (
    "git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null",
)  # fmt: skip


def now() -> str:
    """The time, RFC 3339, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def surroundings() -> dict[str, Any]:
    """Versions, command line and commit; no path of this machine but what the arguments say."""
    found: dict[str, Any] = {"ckptkit": __version__}
    for library in ("torch", "numpy"):
        version = getattr(sys.modules.get(library), "__version__", None)
        if version is not None:
            found[library] = str(version)
    found["python"] = ".".join(map(str, sys.version_info[:3]))
    system = os.uname()
    found["platform"] = f"{system.sysname} {system.release} {system.machine}"
    found["command"] = _command()
    git = commit_of(_home())
    return found if git is None else {**found, "git": dict(git)}


def _command() -> list[str]:
    """The arguments as they were given, the program's without its folders."""
    arguments = [str(argument) for argument in getattr(sys, "argv", None) or [""]]
    return [os.path.basename(arguments[0]), *arguments[1:]]  # noqa: PTH119 - of any text


def _home() -> str:
    """The folder of the program; the working folder of an interactive one."""
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.dirname(os.path.abspath(program)) if program else os.getcwd()  # noqa: PTH100, PTH109, PTH120 - never raises for odd names


@cache
def commit_of(folder: str) -> tuple[tuple[str, Any], ...] | None:
    """The commit of the repository around ``folder``, and whether tracked files differ from it.

    Asked once a process: what runs was loaded when it started. None without git, without a
    repository or a commit, or where git takes too long. Never raises.
    """
    import subprocess

    command = [*_SAFE_GIT, "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            command, cwd=folder, capture_output=True, timeout=GIT_TIMEOUT_S, check=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    head = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "")
    if not head or head == "(initial)":
        return None
    dirty = any(not line.startswith("#") for line in lines)
    return (("commit", head), ("dirty", dirty))
