"""Where a checkpoint may be written, and what it may replace: decided before anything is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.errors import CkptkitError, TargetExistsError, WriteFailedError
from ckptkit.types import MANIFEST_NAME, Limits

MAX_SHOWN = 5
_SUFFIXES = (".pth.tar", ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".safetensors", ".tar")


class Words(NamedTuple):
    """What a caller can do about a target that is taken, in his own words."""

    another: str
    replacing: str


FROM_SHELL = Words("name another DST", "say --replace (in Python: replace=True)")
FROM_PYTHON = Words("save under another name", "pass replace=True")


def default_target(source: FilePath) -> FilePath:
    """The folder beside the source: its name without a checkpoint's suffix, or with ``.v2``.

    Raises: WriteFailedError for the root of a file system, which has nothing beside it.
    """
    named = source if source.name not in ("", "..") else FilePath(os.path.realpath(source))
    name = named.name
    if not name:
        raise WriteFailedError(
            source, "there is no place beside it", "a DST", "name the folder to write"
        )
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix) and not named.is_dir():
            return named.with_name(name[: -len(suffix)])
    return named.with_name(name + ".v2")


def check_target(source: FilePath, target: FilePath, *, replace: bool, limits: Limits) -> None:
    """Refuse a target that would harm the source, a sealed folder or anybody's files.

    Raises: TargetExistsError, WriteFailedError.
    """
    if target.name in ("", ".."):
        raise WriteFailedError(target, "this names no new folder", "a name of its own")
    require_apart(source, target)
    holder = sealed_above(target)
    if holder is not None:
        raise WriteFailedError(
            target, f"lies inside the sealed checkpoint {holder}", "a place outside of it",
            "name another DST",
        )  # fmt: skip
    check_replaceable(target, replace=replace, limits=limits)


def sealed_above(path: FilePath) -> FilePath | None:
    """The sealed folder inside which ``path`` lies, if any; itself does not count."""
    above = FilePath(os.path.realpath(path)).parents
    return next((folder for folder in above if os.path.lexists(folder / MANIFEST_NAME)), None)


def require_apart(source: FilePath, target: FilePath) -> None:
    """Compare where both really lie: by their resolved paths, and as the same files on disk."""
    real, other = FilePath(os.path.realpath(source)), FilePath(os.path.realpath(target))
    if _is_same(real, other):
        raise TargetExistsError(target, "is the source itself", "another place", "name another DST")
    if any(_is_same(real, folder) for folder in other.parents):
        raise WriteFailedError(
            target, f"lies inside the source {source}", "a place outside of it", "name another DST"
        )
    if any(_is_same(other, folder) for folder in real.parents):
        raise TargetExistsError(
            target, f"holds the source {source}", "a place apart from it", "name another DST"
        )


def _is_same(one: FilePath, other: FilePath) -> bool:
    if one == other:
        return True
    try:
        return one.samefile(other)  # where case does not count, two spellings are one folder
    except OSError:
        return False


def check_replaceable(
    target: FilePath, *, replace: bool, limits: Limits, words: Words = FROM_SHELL
) -> None:
    """Accept what is free, and with ``replace`` an empty folder or a sealed one and no more.

    Raises: TargetExistsError, which says what is there.
    """
    if not os.path.lexists(target):
        return
    seen = _why_kept(target, limits)
    if seen:
        raise TargetExistsError(
            target, seen, "a free name, or a sealed checkpoint with nothing else in it",
            _advice(target, words),
        )  # fmt: skip
    if not replace:
        raise TargetExistsError(
            target, "exists already", "a name that is free",
            f"{words.another}, or {words.replacing}",
        )  # fmt: skip


def _advice(target: FilePath, words: Words) -> str:
    if target.is_symlink() or not target.is_file():
        return f"{words.another}, or move away by hand what is there"
    free = default_target(target)
    such = f", such as {free.name}," if not os.path.lexists(free) else ""
    return f"a checkpoint is a folder: {words.another}{such} or remove the file"


def _why_kept(target: FilePath, limits: Limits) -> str:
    """What forbids to replace ``target``, in words; empty if nothing does."""
    try:
        mode = target.lstat().st_mode
        if stat.S_ISLNK(mode):
            return f"is a symbolic link to {str(target.readlink())!a}"
        if not stat.S_ISDIR(mode):
            return "is a file" if stat.S_ISREG(mode) else "is a device, a pipe or a socket"
        found = sorted(names_below(target))
    except OSError as exc:
        return f"cannot be looked into ({(exc.strerror or str(exc)).lower()})"
    if not found:
        return ""
    if MANIFEST_NAME not in found:
        return f"is a folder that holds other files: {shown_names(found)}"
    try:
        own = _sealed_names(target, limits)
    except CkptkitError as exc:
        return f"is sealed, but its manifest cannot be read ({exc.seen})"
    strangers = [name for name in found if name not in own]
    if strangers:
        return f"holds files that are no part of its checkpoint: {shown_names(strangers)}"
    return ""


def names_below(folder: FilePath) -> Iterator[str]:
    """Every file and link, and every folder in which there is nothing, relative with "/"."""
    pending = [""]
    while pending:
        above = pending.pop()
        with os.scandir(folder / above) as found:
            entries = list(found)
        if above and not entries:
            yield above.rstrip("/") + "/"
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{above}{entry.name}/")
            else:
                yield f"{above}{entry.name}"


def _sealed_names(folder: FilePath, limits: Limits) -> set[str]:
    from ckptkit.containers.bytesource import FileBytes
    from ckptkit.containers.folder_scan import inner_file
    from ckptkit.schema import parse_manifest

    with FileBytes(inner_file(folder, MANIFEST_NAME)) as file:
        manifest = parse_manifest(file.read(0, file.nbytes), str(file.where), limits)
    return {MANIFEST_NAME, *(entry.name for entry in manifest.files)}


def shown_names(names: list[str]) -> str:
    """A few of many names, printable."""
    shown = ", ".join(ascii(name)[1:-1] for name in names[:MAX_SHOWN])
    return shown + (f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else "")
