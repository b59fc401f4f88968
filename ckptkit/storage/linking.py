"""Let a new checkpoint share an unchanged file with an older one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ckptkit.errors import UnsafePathError
from ckptkit.storage import kernel
from ckptkit.storage.crew import BLOCK_NBYTES
from ckptkit.storage.freespace import free_nbytes, storage_error
from ckptkit.storage.writer import CREATE


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
