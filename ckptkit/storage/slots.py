"""A file of a few places that one process writes over and over, so that others read them later.

What was written is there when its writer is killed: the system has it. It is not durable, and a
place may be torn; whoever reads it has to see that by a digest of its own.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

SLOT_NBYTES = 1 << 20  # room of a place; the file has holes where nothing was written
_LENGTH = struct.Struct("<Q")
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Slots:
    """Writes the places of a new file. Raises: OSError."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, _FLAGS, 0o666)

    def write(self, number: int, data: bytes) -> None:
        """Write one place; nothing is synced. Raises: OSError; ValueError if there is no room."""
        if len(data) + _LENGTH.size > SLOT_NBYTES:
            raise ValueError(f"{len(data)} bytes")
        os.pwrite(self._fd, _LENGTH.pack(len(data)) + data, number * SLOT_NBYTES)

    def close(self) -> None:
        """Write no more; does nothing the second time."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def read_slots(path: Path, n_slots: int) -> list[bytes]:
    """Return what the places hold, whole or torn; those that are not there are left out.

    Nothing is there if there is no file, or one that cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        found = [_read_slot(fd, number * SLOT_NBYTES) for number in range(n_slots)]
    except OSError:
        return []
    finally:
        os.close(fd)
    return [data for data in found if data]


def _read_slot(fd: int, start: int) -> bytes:
    head = os.pread(fd, _LENGTH.size, start)
    nbytes = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
    if nbytes > SLOT_NBYTES - _LENGTH.size:
        return b""
    return os.pread(fd, nbytes, start + _LENGTH.size)
