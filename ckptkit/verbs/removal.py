"""Removing a source after its migration: the files that were read and proved, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.folder_scan import SKIPPED_FOLDERS
from ckptkit.errors import UnsafePathError
from ckptkit.nodes import SeqNode
from ckptkit.protocols import Opened
from ckptkit.types import Notice
from ckptkit.verbs.targets import sealed_above

_NESTED = "a checkpoint of its own"
_TOOL = "a cache or history of a tool"
_LINK = "a link: what it names may serve others"
_CHANGED = "changed since it was read"
_UNREAD = "not read by the migration"
Stamp = tuple[int, int, int, int]


class Stock(NamedTuple):
    """What was read, before anything was written: each file with what tells it from a later one.

    ``nested`` are the folders below the source that are checkpoints of their own.
    """

    source: FilePath
    files: dict[FilePath, Stamp | None]
    nested: frozenset[FilePath]


class Removal(NamedTuple):
    """What became of a source. ``left_behind`` has "name: reason" of everything that stays."""

    source_removed: bool
    left_behind: tuple[str, ...]
    notices: tuple[Notice, ...]


def check_removable(source: FilePath) -> None:
    """Refuse, before anything is done. Raises: UnsafePathError."""
    advice = "name the file or folder itself, or remove the link by hand afterwards"
    if source.is_symlink():
        seen = "is a symbolic link, so it is not clear what would be removed"
        raise UnsafePathError(source, seen, "a file or folder to remove", advice)
    holder = sealed_above(source)
    if holder is not None:
        seen = f"is part of the sealed checkpoint {holder}, which would be damaged"
        raise UnsafePathError(source, seen, "a source of its own", "keep the source")


def take_stock(opened: Opened, before: Stamp | None) -> Stock:
    """Note which files an opened checkpoint reads, and how they are now.

    ``before`` is the stamp of its path from before it was opened: what replaced a file since was
    not read.
    """
    own = () if opened.path.is_dir() else (opened.path,)
    files = {path: stamp_of(path) for path in opened.files or own}
    files |= {path: before for path in files if path == opened.path}
    nested = opened.properties.get("nested")
    names = nested.items if isinstance(nested, SeqNode) else []
    return Stock(opened.path, files, frozenset(opened.path / str(name) for name in names))


def remove_source(stock: Stock) -> Removal:
    """Remove what was read, and the folders that this empties; never raises for what cannot go."""
    kept = {path: reason for path in stock.files if (reason := _remove_file(path, stock))}
    is_folder = stock.source.is_dir()
    if is_folder:
        _remove_emptied(stock)
        left = list(_remains(stock, kept))
    else:
        left = [(path.name, reason) for path, reason in kept.items()]
    if not left:
        return Removal(True, (), ())
    texts = tuple(f"{name}: {reason}" for name, reason in left)
    entries = "one entry" if len(left) == 1 else f"{len(left):,} entries"
    message = f"left of the source: {entries}; only what was read and proved is removed"
    notice = Notice("warning", "source-left", message, str(stock.source))
    return Removal(False, texts, (notice,))


def stamp_of(path: FilePath) -> Stamp | None:
    """Device, inode, size and time of a file; None if it is not there."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _remove_file(path: FilePath, stock: Stock) -> str:
    """Remove one file that was read; return why it stays, if it does."""
    if path.is_symlink():
        return _LINK
    if stamp_of(path) != stock.files[path]:
        return _CHANGED
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        return (exc.strerror or str(exc)).lower()
    return ""


def _remove_emptied(stock: Stock) -> None:
    """Remove the folders of removed files in which nothing is left, deepest first."""
    folders = {folder for path in stock.files for folder in _up_to(path.parent, stock.source)}
    for folder in sorted(folders, key=lambda one: -len(one.parts)):
        try:
            folder.rmdir()
        except OSError:  # something is left in it: what, is told
            continue


def _up_to(folder: FilePath, top: FilePath) -> Iterable[FilePath]:
    below = [one for one in folder.parents if one.is_relative_to(top)]
    return [folder, *below] if folder.is_relative_to(top) else []


def _remains(stock: Stock, kept: dict[FilePath, str]) -> Iterator[tuple[str, str]]:
    """What is still there and why, a folder that is one thing in one line."""
    pending = [stock.source]
    while pending:
        folder = pending.pop()
        reason = _TOOL if folder.name in SKIPPED_FOLDERS else ""
        reason = _NESTED if folder in stock.nested else reason
        names = [] if reason else _entries(folder)
        if folder != stock.source and (reason or not names):
            yield (
                folder.relative_to(stock.source).as_posix() + "/",
                reason or "empty before, or not to be listed",
            )
            continue
        for path in names:
            if path.is_dir() and not path.is_symlink():
                pending.append(path)
            else:
                reason = _LINK if path.is_symlink() else _UNREAD
                yield path.relative_to(stock.source).as_posix(), kept.get(path, reason)
    if stock.source.exists() and not _entries(stock.source):
        yield ".", "the folder itself could not be removed"


def _entries(folder: FilePath) -> list[FilePath]:
    try:
        return sorted(folder.iterdir(), reverse=True)
    except OSError:
        return []
