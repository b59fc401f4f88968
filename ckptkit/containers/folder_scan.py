"""Walk a folder without ever leaving it: names, sizes, and nothing that is no plain file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.errors import (
    AccessDeniedError,
    CorruptFileError,
    LimitExceededError,
    UnsafePathError,
)
from ckptkit.types import DEFAULT_LIMITS, Limits, Notice

# Folders that tools put beside a checkpoint: histories and caches, never part of its state.
SKIPPED_FOLDERS = frozenset({".git", ".cache", "__pycache__", ".ipynb_checkpoints"})
MAX_LEVELS = 32  # folders inside folders; honest checkpoints use 3

# A Hugging Face cache keeps a file once, under its hash, and links to it from each snapshot.
_BLOB_NAME = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class FolderFile(NamedTuple):
    """A regular file of a folder; ``name`` is relative to it, with "/" between the parts."""

    name: str
    path: FilePath
    nbytes: int


class FolderUnit(NamedTuple):
    """A subfolder that was not entered, and the plain names in it."""

    name: str
    names: tuple[str, ...]


class FolderListing(NamedTuple):
    """What lies in a folder, sorted by name. ``units`` are subfolders that stayed closed."""

    files: tuple[FolderFile, ...]
    units: tuple[FolderUnit, ...]
    notices: tuple[Notice, ...]


def checked_plain_name(name: object, where: object) -> str:
    """Return ``name`` if it can only mean a file directly inside the folder.

    Raises: UnsafePathError.
    """
    if type(name) is not str:
        raise UnsafePathError(where, f"a file is named by a {type(name).__name__}", "a string")
    if name in ("", ".", "..") or len(name) > 255:
        raise UnsafePathError(where, f"{ascii(name)[:100]} is no file name")
    if any(char in "/\\" or ord(char) < 32 or 0xD800 <= ord(char) <= 0xDFFF for char in name):
        seen = f"the name {ascii(name)[:100]} points elsewhere or cannot be written down"
        raise UnsafePathError(where, seen, "a plain file name inside the folder")
    return name


def inner_file(folder: FilePath, name: object) -> FilePath:
    """Find the regular file that a checkpoint names inside its own folder.

    Raises: UnsafePathError for a path, a link or a device; CorruptFileError if it is missing.
    """
    path = folder / checked_plain_name(name, folder)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError as exc:
        advice = "the folder was copied in part, so fetch it again"
        seen = "the checkpoint names this file, but it is not there"
        raise CorruptFileError(path, seen, advice=advice) from exc
    except OSError as exc:
        raise AccessDeniedError(path, exc.strerror or "cannot be read") from exc
    if stat.S_ISLNK(mode) and not _is_cached_blob(path):
        raise UnsafePathError(path, "is a symbolic link", "a file", "replace it by what it names")
    if not stat.S_ISLNK(mode) and not stat.S_ISREG(mode):
        raise UnsafePathError(path, "is a device, a pipe or a folder", "a regular file")
    return path


def scan_folder(
    folder: FilePath,
    limits: Limits = DEFAULT_LIMITS,
    is_unit: Callable[[str, tuple[str, ...]], bool] | None = None,
    refused: dict[str, str] | None = None,
) -> FolderListing:
    """List the regular files in a folder and below.

    ``is_unit(relative name, names in it)`` says which subfolders are something of their own:
    they are named and not entered. A link that stays inside is noted and not followed.
    With ``refused`` what would be an error is put there instead, name -> what it is, and so is
    every link: the caller knows which names matter.
    Raises: UnsafePathError for a link that leaves, a device, a pipe; LimitExceededError.
    """
    walk = _Walk(folder, limits, refused)
    pending = [""]
    while pending:
        relative = pending.pop()
        entries = walk.entered(relative)
        names = tuple(entry.name for entry in entries)
        if relative and is_unit is not None and is_unit(relative, names):
            walk.units.append(FolderUnit(relative, names))
            continue
        for entry in entries:
            name = f"{relative}/{entry.name}" if relative else entry.name
            if walk.takes(entry, name):
                pending.append(name)
    return FolderListing(tuple(sorted(walk.files)), tuple(sorted(walk.units)), tuple(walk.notices))


class _Walk:
    """What one walk has found so far."""

    def __init__(
        self, folder: FilePath, limits: Limits, refused: dict[str, str] | None = None
    ) -> None:
        self.folder, self.limits, self.seen = folder, limits, 0
        self.refused = refused
        self.files: list[FolderFile] = []
        self.units: list[FolderUnit] = []
        self.notices: list[Notice] = []

    def entered(self, relative: str) -> list[os.DirEntry[str]]:
        """What lies in a folder; nothing of one that is refused. Raises: as ``entries_of``."""
        try:
            return self.entries_of(relative)
        except (AccessDeniedError, LimitExceededError) as exc:
            if self.refused is None or not relative:
                raise
            self.refused[relative] = exc.seen
            return []

    def takes(self, entry: os.DirEntry[str], name: str) -> bool:
        """``take``, but what is refused is no error where the caller wants to know of it."""
        try:
            return self.take(entry, name)
        except (AccessDeniedError, UnsafePathError) as exc:
            if self.refused is None:
                raise
            self.refused[name] = exc.seen
            return False

    def entries_of(self, relative: str) -> list[os.DirEntry[str]]:
        path = self.folder / relative
        if relative.count("/") >= MAX_LEVELS:
            raise LimitExceededError(path, f"more than {MAX_LEVELS} folders inside each other")
        entries: list[os.DirEntry[str]] = []
        try:
            with os.scandir(path) as found:
                for entry in found:
                    self.seen += 1
                    if self.seen > self.limits.max_entries:
                        expected = f"at most {self.limits.max_entries} (max_entries)"
                        raise LimitExceededError(self.folder, "holds too many files", expected)
                    entries.append(entry)
        except OSError as exc:
            raise AccessDeniedError(path, exc.strerror or "cannot be listed") from exc
        return sorted(entries, key=lambda entry: entry.name)

    def take(self, entry: os.DirEntry[str], name: str) -> bool:
        """Keep what one entry is; True if it is a folder to enter."""
        path = self.folder / name
        try:
            if entry.is_symlink():
                self._take_link(name, path)
                return False
            if entry.is_dir(follow_symlinks=False):
                return self._enters(entry.name, name)
            status = entry.stat(follow_symlinks=False)
        except OSError as exc:
            raise AccessDeniedError(path, exc.strerror or "cannot be read") from exc
        if not stat.S_ISREG(status.st_mode):
            raise UnsafePathError(path, "is a device, a pipe or a socket", "a regular file")
        self.files.append(FolderFile(name, path, status.st_size))
        return False

    def _enters(self, last: str, name: str) -> bool:
        if last not in SKIPPED_FOLDERS:
            return True
        self.notices.append(Notice("info", "folder-skipped", "a cache or history of a tool", name))
        return False

    def _take_link(self, name: str, path: FilePath) -> None:
        if _is_cached_blob(path):
            self.files.append(FolderFile(name, path, path.stat().st_size))
            return
        target, inside = os.path.realpath(path), os.path.realpath(self.folder)
        if target != inside and not target.startswith(inside + os.sep):
            seen = "is a symbolic link that leaves the folder"
            raise UnsafePathError(path, seen, "files of its own", "replace it by what it names")
        if self.refused is not None:
            self.refused[name] = "is a symbolic link"
            return
        where = os.path.relpath(target, inside)
        self.notices.append(Notice("info", "link-skipped", f"a link to {ascii(where)[1:-1]}", name))


def _is_cached_blob(path: FilePath) -> bool:
    """Say whether a link is one of a Hugging Face cache: snapshots/<rev>/x -> blobs/<hash>."""
    link = os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118
    blob = FilePath(os.path.normpath(os.path.join(link, "..", os.readlink(path))))  # noqa: PTH115, PTH118
    if blob.parent.name != "blobs" or not _BLOB_NAME.fullmatch(blob.name):
        return False
    if not FilePath(link).is_relative_to(blob.parent.parent / "snapshots"):
        return False
    try:
        return stat.S_ISREG(blob.lstat().st_mode)
    except OSError:
        return False
