"""Deflated bytes by position, in bounded memory."""

from __future__ import annotations

import zlib

from ckptkit.containers.bytesource import FileBytes
from ckptkit.errors import CorruptFileError

_CHUNK_NBYTES = 1 << 20


class InflatedBytes:
    """A deflated entry, inflated as it is read; going back starts again from the front."""

    __slots__ = ("_consumed", "_inflater", "_pending", "_position", "_stored", "nbytes")

    def __init__(self, stored: FileBytes, nbytes: int) -> None:
        self._stored, self.nbytes = stored, nbytes
        self._restart()

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` from ``offset`` of the inflated bytes.

        Raises: CorruptFileError if the stream is broken, too short or too long.
        """
        if offset < self._position:
            self._restart()
        while self._position < offset:
            self._inflate(min(_CHUNK_NBYTES, offset - self._position))
        done = 0
        while done < out.nbytes:
            data = self._inflate(min(_CHUNK_NBYTES, out.nbytes - done))
            out[done : done + len(data)] = data
            done += len(data)
        if self._position == self.nbytes:
            self._check_end()

    def _restart(self) -> None:
        self._inflater = zlib.decompressobj(-15)
        self._consumed = self._position = 0
        self._pending = b""

    def _inflate(self, limit: int) -> bytes:
        """Between 1 and ``limit`` bytes more."""
        try:
            while True:
                data = self._inflater.decompress(self._pending, limit)
                self._pending = self._inflater.unconsumed_tail
                if data:
                    self._position += len(data)
                    return data
                if self._inflater.eof or not self._refill():
                    raise self._broken("ends too early")
        except zlib.error as exc:
            raise self._broken("is no deflate stream") from exc

    def _refill(self) -> bool:
        if self._pending:
            return True
        count = min(_CHUNK_NBYTES // 4, self._stored.nbytes - self._consumed)
        self._pending = self._stored.read(self._consumed, count)
        self._consumed += count
        return count > 0

    def _check_end(self) -> None:
        try:
            while not self._inflater.eof:
                if self._inflater.decompress(self._pending, 1):
                    raise self._broken(f"holds more than {self.nbytes} bytes")
                self._pending = self._inflater.unconsumed_tail
                if not self._inflater.eof and not self._refill():
                    raise self._broken("has no end")
        except zlib.error as exc:
            raise self._broken("is no deflate stream") from exc

    def _broken(self, how: str) -> CorruptFileError:
        return CorruptFileError(
            self._stored.where, f"the deflated entry {how}", advice="fetch the file again"
        )
