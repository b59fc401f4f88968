"""What a writer that died leaves beside its target: how it is named, found, removed, restored."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ckptkit.storage import kernel
from ckptkit.storage.owner import (
    OWNER_PATTERN,
    Owner,
    current_owner,
    is_dead,
    is_same_boot,
    parse_owner,
)
from ckptkit.types import LEFTOVER_PATTERN

_NAME = re.compile(LEFTOVER_PATTERN, re.DOTALL)
_OWNER = re.compile(OWNER_PATTERN)
_MAX_LABEL_NBYTES = 150  # what a name of at most 255 bytes leaves for the target's own
_CUT = "~"


class Leftover(NamedTuple):
    """A hidden sibling. ``kind``: "stage" (being written) or "old" (moved aside by a replace)."""

    path: Path
    label: str
    kind: str
    owner: Owner


def sibling_name(target: Path, kind: str) -> str:
    """A name beside ``target`` that says who made it, that nobody can guess."""
    token = os.urandom(4).hex()
    return f".{label_of(target.name)}.{kind}-{current_owner().text}-{token}"


def label_of(name: str) -> str:
    """The target's name, cut where it is so long that the sibling's would be too long."""
    encoded = os.fsencode(name)
    if len(encoded) <= _MAX_LABEL_NBYTES:
        return name
    from zlib import crc32

    kept = encoded[: _MAX_LABEL_NBYTES - 9].decode("utf-8", "ignore")
    return f"{kept}{_CUT}{crc32(encoded):08x}"


def parse_leftover(path: Path) -> Leftover | None:
    """What a hidden name says; None if it is not one of ours."""
    match = _NAME.fullmatch(path.name)
    owner = _OWNER.fullmatch(match[3]) if match else None
    if match is None or owner is None:
        return None
    return Leftover(path, match[1], match[2], parse_owner(owner[1], owner[2], owner[3]))


def find_leftovers(parent: Path) -> Iterator[Leftover]:
    """Every stage and every moved-aside checkpoint in a folder, of the living and the dead."""
    for name in sorted(os.listdir(parent)):  # noqa: PTH208 - a Path for each name is slow
        if name.startswith(".") and (found := parse_leftover(parent / name)):
            yield found


def is_abandoned(leftover: Leftover) -> bool:
    """Whether its writer has certainly ended; in doubt (another computer's) it has not.

    A writer holds a flock on what it writes. Under our own kernel that lock is proof even across
    containers; where the file system has none, the process number and its start time are.
    """
    dead = is_dead(leftover.owner)
    if dead is not None or not is_same_boot(leftover.owner):
        return dead is True
    lock = hold(leftover.path)
    if isinstance(lock, int):
        kernel.close_quietly(lock)
        return True
    return False


def hold(path: Path) -> int | OSError:
    """Lock a folder for as long as the returned descriptor is open, or say why not."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as exc:
        return exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        kernel.close_quietly(fd)
        return exc
    return fd


def remove(path: Path) -> bool:
    """Remove a file, link or whole folder, following no link; say whether it is gone."""
    from shutil import rmtree

    try:
        if path.is_dir() and not path.is_symlink():
            rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return not os.path.lexists(path)
    return True


def discard(path: Path) -> bool:
    """Remove a checkpoint so that its name is gone in one step; say whether its bytes are too.

    What a kill leaves is a stage that nobody takes for a checkpoint; the next writer cleans it.
    Raises: OSError if it cannot be renamed: then it is as it was.
    """
    hidden = path.with_name(sibling_name(path, "stage"))
    os.rename(path, hidden)  # noqa: PTH104 - as the other renames are spelled
    kernel.sync_folder(path.parent)
    return remove(hidden)


def clean_leftovers(parent: Path) -> list[Path]:
    """Remove what dead writers left in ``parent``; returns what was removed.

    A moved-aside checkpoint whose target is missing is the only copy: it is put back instead.
    What cannot be removed stays for the next writer; the space check then says what is missing.
    """
    removed = []
    for leftover in find_leftovers(parent):
        if not is_abandoned(leftover):
            continue
        if leftover.kind == "old" and not _is_superseded(leftover):
            continue
        if remove(leftover.path):
            removed.append(leftover.path)
    return removed


def _is_superseded(old: Leftover) -> bool:
    """Whether the target of a moved-aside checkpoint exists, if need be because we restore it."""
    if _CUT in old.label:
        return False  # its full name is not known here; a writer to that target restores it
    target = old.path.with_name(old.label)
    recover_two_step(target)
    return os.path.lexists(target) and os.path.lexists(old.path)


def find_moved_aside(target: Path) -> Path | None:
    """The newest checkpoint that a dead writer moved aside from ``target``, if that is missing.

    Changes nothing, so that a reader may ask it in a folder it must not write. Raises: OSError.
    """
    if os.path.lexists(target) or not target.parent.is_dir():
        return None
    label = label_of(target.name)
    olds = [
        old.path
        for old in find_leftovers(target.parent)
        if old.kind == "old" and old.label == label and is_abandoned(old)
    ]
    return max(olds, key=lambda path: path.lstat().st_ctime_ns, default=None)


def recover_two_step(target: Path) -> bool:
    """Put back the checkpoint that a replace moved aside and died before replacing.

    Only where the target is missing and that writer is dead. Returns whether it was restored;
    writers ask this first, readers ``find_moved_aside``. Raises: OSError.
    """
    newest = find_moved_aside(target)
    if newest is None:
        return False
    try:
        rename_new(newest, target)
    except OSError as exc:
        if exc.errno in (errno.EEXIST, errno.ENOENT):  # another process restored it before us
            return False
        raise
    with suppress(OSError):  # a reader may lack the right; the next writer syncs it
        kernel.sync_folder(target.parent)
    return True


def rename_new(source: Path, target: Path) -> None:
    """Rename onto a name that must be free. Raises: OSError, FileExistsError if it is taken.

    Where the kernel or the file system cannot refuse by itself, a look just before has to do;
    a rename never replaces a folder with something in it, and a link never replaces a file.
    """
    try:
        kernel.rename_noreplace(source, target)
    except OSError as exc:
        if exc.errno not in kernel.UNSUPPORTED:
            raise
        _rename_after_look(source, target)


def _rename_after_look(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        if source.is_dir() or not _linked(source, target):
            os.rename(source, target)  # noqa: PTH104 - as the other renames are spelled
        else:
            source.unlink()
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR):  # made since the look
            raise FileExistsError(errno.EEXIST, exc.strerror, str(target)) from exc
        raise


def _linked(source: Path, target: Path) -> bool:
    """Give a file its final name as a second one; False where there are no links (FAT)."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in kernel.NO_LINKS:
            raise
        return False
    return True
