"""What the destination refuses, in words: too full, too small, read-only, broken."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ckptkit.errors import (
    AccessDeniedError,
    CkptkitError,
    DiskFullError,
    NotFoundError,
    WriteFailedError,
)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def free_nbytes(folder: Path) -> int | None:
    """Bytes that this process may still write below ``folder``; None where nobody can say."""
    try:
        space = os.statvfs(folder)
    except OSError:
        return None
    if space.f_blocks == 0:  # some FUSE file systems report nothing at all
        return None
    blocks = space.f_bfree if os.geteuid() == 0 else space.f_bavail
    return blocks * space.f_frsize


def require_free(folder: Path, needed_nbytes: int) -> None:
    """Refuse before the first byte is written. Raises: DiskFullError with both numbers."""
    free = free_nbytes(folder)
    if free is not None and needed_nbytes > free:
        raise disk_full(folder, needed_nbytes, free)


def disk_full(where: Path, needed_nbytes: int, free: int | None, reason: str = "") -> DiskFullError:
    """The error that names what was needed and what was there."""
    has = "an unknown number of bytes is" if free is None else f"{free:,} bytes are"
    return DiskFullError(
        where,
        reason or "not enough free disk space",
        f"{needed_nbytes:,} bytes; {has} free",
        "free some space or choose another destination; nothing was left behind"
        " and older checkpoints are as they were",
    )


def storage_error(
    exc: OSError, where: Path, needed_nbytes: int, free: int | None = None
) -> CkptkitError:
    """The project's own error for what the operating system said about ``where``."""
    said = f"{exc.strerror or exc} ({errno.errorcode.get(exc.errno or 0, exc.errno)})"
    if exc.errno in FULL:
        return _limit_hit(exc, where, needed_nbytes) or disk_full(where, needed_nbytes, free)
    if exc.errno in REFUSED:
        return AccessDeniedError(
            where, said, "to be allowed to write", "check its owner, its mode and the mount"
        )
    if exc.errno == errno.ENOENT:
        return NotFoundError(where, said, "the folder to exist", "create it first")
    if exc.errno == errno.ENAMETOOLONG:
        return WriteFailedError(
            where, said, "a name that is short enough for the file system",
            "choose a shorter one: while it is written it has a hidden name, which is longer",
        )  # fmt: skip
    return WriteFailedError(
        where,
        said,
        "every write, sync and rename to succeed",
        "check the disk (dmesg, SMART, the mount); older checkpoints are as they were",
    )


def _limit_hit(exc: OSError, where: Path, needed_nbytes: int) -> DiskFullError | None:
    """What stopped a write where the disk itself has room; None where it has not."""
    limits = {
        errno.EDQUOT: ("the disk quota is used up", "free some of your files, or ask for more"),
        errno.EFBIG: (
            "a limit on the size of a file was hit (ulimit -f, a quota or the file system's own)",
            "raise it (ulimit -f unlimited) or choose another destination",
        ),
    }
    if exc.errno not in limits:
        return None
    seen, advice = limits[exc.errno]
    needed = f"room for {needed_nbytes:,} bytes" if needed_nbytes else ""
    kept = "nothing was left behind and older checkpoints are as they were"
    return DiskFullError(where, seen, needed, f"{advice}; {kept}")
