"""Let a new checkpoint share an unchanged file with an older one."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ckptkit.errors import UnsafePathError
from ckptkit.storage import kernel
from ckptkit.storage.crew import BLOCK_NBYTES
from ckptkit.storage.freespace import free_nbytes, storage_error
from ckptkit.storage.writer import CREATE


class FileIdentity(NamedTuple):
    """What tells one state of one regular file from any other."""

    device: int
    inode: int
    nbytes: int
    modified_ns: int


def identity_of(path: Path) -> FileIdentity | None:
    """Say which file lies at ``path``; None where no regular file does."""
    try:
        status = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def link_unchanged(source: Path, target: Path, identity: FileIdentity) -> bool:
    """Give the file that ``identity`` names a second name, durably; False if that is not possible.

    Whoever gets False writes the bytes anew: a copy of the file would be no cheaper.
    Raises: WriteFailedError if the file's bytes cannot be synced.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    try:
        if identity_of(target) != identity:  # replaced or changed since somebody looked at it
            target.unlink()
            return False
        _sync(target)  # a folder that was copied here may never have been synced
    except OSError as exc:
        with suppress(OSError):
            target.unlink()
        raise storage_error(exc, target, 0, None) from exc
    return True


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        kernel.sync(fd)
    finally:
        kernel.close_quietly(fd)


def hard_link_or_copy(source: Path, target: Path) -> bool:
    """Give a regular file a second name; copy and sync it where links are not to be had.

    Returns whether it is a link. Raises: UnsafePathError if ``source`` is no regular file;
    NotFoundError, AccessDeniedError, DiskFullError, WriteFailedError.
    """
    nbytes = 0
    try:
        status = source.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise UnsafePathError(source, "is no regular file", "a file to link or copy")
        nbytes = status.st_size
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in kernel.NO_LINKS:
                raise
            _copy(source, target)
            return False
    except OSError as exc:
        raise storage_error(exc, target, nbytes, free_nbytes(target.parent)) from exc
    return True


def _copy(source: Path, target: Path) -> None:
    read_fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write_fd = os.open(target, CREATE, 0o666)
        try:
            while block := os.read(read_fd, BLOCK_NBYTES):
                view = memoryview(block)
                while view:
                    view = view[os.write(write_fd, view) :]
            kernel.sync(write_fd)
        except OSError:
            target.unlink()
            raise
        finally:
            os.close(write_fd)
    finally:
        kernel.close_quietly(read_fd)
