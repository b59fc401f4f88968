"""Walk a folder to look at every file in it: hidden ones, caches, checkpoints inside of it.

``folder_scan`` lists what belongs to a checkpoint and refuses what is odd. This walk belongs to
``scan``: nothing is left out because of its name, and what cannot be read is named, not raised.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.bytesource import special_file_error
from ckptkit.containers.folder_scan import MAX_LEVELS
from ckptkit.containers.folder_scan import _is_cached_blob as is_cached_blob
from ckptkit.errors import AccessDeniedError, CkptkitError, LimitExceededError, UnsafePathError
from ckptkit.types import Limits


class FoundFile(NamedTuple):
    """A regular file, or why something at this place is not read.

    ``name`` is relative to the folder, with "/" between the parts.
    """

    name: str
    path: FilePath
    nbytes: int
    refusal: CkptkitError | None = None


def walk_all(folder: FilePath, limits: Limits) -> Iterator[FoundFile]:
    """Every file below ``folder``, sorted folder by folder; never leaves it, never opens one.

    Raises: AccessDeniedError if the folder itself cannot be listed.
    """
    pending, seen = [""], 0
    while pending:
        relative = pending.pop()
        below: list[str] = []
        for entry in _entries(folder, relative, limits):
            if isinstance(entry, FoundFile):
                yield entry
                continue
            seen += 1
            name = f"{relative}/{entry.name}" if relative else entry.name
            if seen > limits.max_entries:
                expected = f"at most {limits.max_entries} (max_entries)"
                error = LimitExceededError(folder, "holds too many files", expected)
                yield FoundFile(name, folder / name, 0, error)
                return
            found = _look_at(entry, name, folder)
            if found is None:
                below.append(name)
            elif found.nbytes >= 0:
                yield found
        pending.extend(reversed(below))


def _entries(
    folder: FilePath, relative: str, limits: Limits
) -> Iterator[os.DirEntry[str] | FoundFile]:
    path = folder / relative
    if relative.count("/") >= MAX_LEVELS:
        error: CkptkitError = LimitExceededError(path, f"more than {MAX_LEVELS} folders deep")
        yield FoundFile(f"{relative}/", path, 0, error)
        return
    entries: list[os.DirEntry[str]] = []
    try:
        with os.scandir(path) as found:
            for entry in found:
                entries.append(entry)
                if len(entries) > limits.max_entries:
                    break
    except OSError as exc:
        error = AccessDeniedError(path, exc.strerror or "cannot be listed")
        if not relative:
            raise error from exc
        yield FoundFile(f"{relative}/", path, 0, error)
    yield from sorted(entries, key=lambda entry: entry.name)


def _look_at(entry: os.DirEntry[str], name: str, folder: FilePath) -> FoundFile | None:
    """What one entry is; None for a folder. A link inside has -1 bytes: it is met by itself."""
    path = folder / name
    try:
        if entry.is_symlink():
            return _look_at_link(name, path, folder)
        if entry.is_dir(follow_symlinks=False):
            return None
        status = entry.stat(follow_symlinks=False)
    except OSError as exc:
        return FoundFile(name, path, 0, AccessDeniedError(path, exc.strerror or "cannot be read"))
    special = special_file_error(path, status.st_mode)
    if special is not None:
        refusal = UnsafePathError(path, f"{special.seen}, never opened", "a regular file")
        return FoundFile(name, path, 0, refusal)
    return FoundFile(name, path, status.st_size)


def _look_at_link(name: str, path: FilePath, folder: FilePath) -> FoundFile:
    if is_cached_blob(path):
        return FoundFile(name, path, path.stat().st_size)
    target, inside = os.path.realpath(path), os.path.realpath(folder)
    if target != inside and not target.startswith(inside + os.sep):
        seen = "is a link that leaves the folder, not followed"
    else:
        try:
            mode = os.lstat(target).st_mode
        except OSError:
            seen = "is a link to nothing"
        else:
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                return FoundFile(name, path, -1)
            seen = "is a link to something that is no file"
    return FoundFile(name, path, 0, UnsafePathError(path, seen, "files of its own"))
