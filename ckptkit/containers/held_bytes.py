"""Bytes in memory with the face of a file: what was unpacked is read as a file is."""

from __future__ import annotations

from ckptkit.containers.bytesource import FileBytes, check_span
from ckptkit.containers.bytesource import _Descriptor as Descriptor


class HeldBytes(FileBytes):
    """Unpacked bytes, called ``where`` in errors."""

    __slots__ = ()

    def __init__(self, data: bytes, where: object) -> None:
        self.where = where
        self._base = 0
        self._descriptor = _Held(data, where)
        self.nbytes = len(data)


class _Held(Descriptor):
    __slots__ = ("_data", "_where")

    def __init__(self, data: bytes, where: object) -> None:
        self._fd = -1  # there is none to close
        self._data, self._where = data, where
        self.nbytes = len(data)

    def read(self, offset: int, nbytes: int) -> bytes:
        check_span(self._where, offset, nbytes, self.nbytes)
        return self._data[offset : offset + nbytes]

    def fill(self, offset: int, out: memoryview) -> None:
        out[:] = self.read(offset, out.nbytes)
