"""System calls that Python does not offer: atomic renames, early write-back, allocation.

Everything here is either a hint that may silently do nothing, or raises OSError so that the
caller takes a slower road: no platform is required to have any of it.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

UNSUPPORTED = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY, errno.EBADF}
)
NO_LINKS = UNSUPPORTED | {errno.EXDEV, errno.EPERM, errno.EMLINK}  # what link(2) may answer
AT_FDCWD = -100  # linux/fcntl.h
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2  # linux/fs.h
RENAME_SWAP, RENAME_EXCL = 2, 4  # sys/stdio.h of macOS
SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h: start writing dirty pages, wait for nothing

_functions: dict[str, Any] = {}


def _function(name: str) -> Any:
    """The C library's function of this name, typed; None where it has none."""
    if name not in _functions:
        import ctypes  # 8 ms that readers never pay

        number, text, offset = ctypes.c_int, ctypes.c_char_p, ctypes.c_int64
        signatures: dict[str, list[Any]] = {
            "renameat2": [number, text, number, text, ctypes.c_uint],
            "renamex_np": [text, text, ctypes.c_uint],
            "sync_file_range": [number, offset, offset, ctypes.c_uint],
            "fallocate": [number, number, offset, offset],
        }
        # off_t is 64 bits wide only there; a 32-bit C library would misread the arguments.
        wide = sys.maxsize > 1 << 32
        function = getattr(ctypes.CDLL(None, use_errno=True), name, None) if wide else None
        if function is not None:
            function.argtypes, function.restype = signatures[name], number
        _functions[name] = function
    return _functions[name]


def libc_call(name: str, *args: Any) -> None:
    """Call one function of the C library. Raises: OSError, ENOSYS where it is missing."""
    function = _function(name)
    if function is None:
        raise OSError(errno.ENOSYS, f"this system has no {name}")
    import ctypes

    while function(*args) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def _rename_with(source: Path, target: Path, linux_flag: int, macos_flag: int) -> None:
    names = os.fsencode(source), os.fsencode(target)
    if sys.platform == "darwin":
        libc_call("renamex_np", *names, macos_flag)
    else:
        libc_call("renameat2", AT_FDCWD, names[0], AT_FDCWD, names[1], linux_flag)


def rename_noreplace(source: Path, target: Path) -> None:
    """Rename in one step, failing with EEXIST if ``target`` is there. Raises: OSError."""
    _rename_with(source, target, RENAME_NOREPLACE, RENAME_EXCL)


def rename_exchange(one: Path, other: Path) -> None:
    """Let two existing names change places in one step. Raises: OSError."""
    _rename_with(one, other, RENAME_EXCHANGE, RENAME_SWAP)


def start_writeback(fd: int, start: int, nbytes: int) -> None:
    """Ask the system to begin writing these bytes to disk; a hint, it promises nothing."""
    try:
        libc_call("sync_file_range", fd, start, nbytes, SYNC_FILE_RANGE_WRITE)
    except OSError:
        return  # the fsync that follows writes them, and reports what fails


def allocate(fd: int, nbytes: int) -> None:
    """Reserve disk space for the first ``nbytes`` of an empty file, where that is cheap.

    posix_fallocate would write a byte into every block where the file system cannot reserve.
    Raises: OSError (ENOSPC, EDQUOT, EFBIG) where the space is not to be had.
    """
    if nbytes == 0:
        return
    try:
        libc_call("fallocate", fd, 0, 0, nbytes)
    except OSError as exc:
        if exc.errno not in UNSUPPORTED:
            raise
        os.ftruncate(fd, nbytes)  # refuses at least a file that is too large for the system


def sync(fd: int) -> None:
    """Return when the file's or folder's bytes are on stable storage. Raises: OSError."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync there leaves bytes in the drive's cache
        except OSError as exc:
            if exc.errno not in UNSUPPORTED:
                raise
        else:
            return
    os.fsync(fd)


def close_quietly(fd: int) -> None:
    """Close a descriptor through which nothing was written, so that no failure can lose bytes."""
    try:
        os.close(fd)
    except OSError:
        return


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises: OSError; folders that cannot be are skipped."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(fd)
    except OSError as exc:
        if exc.errno not in UNSUPPORTED:  # some network file systems sync no folder
            raise
    finally:
        close_quietly(fd)
