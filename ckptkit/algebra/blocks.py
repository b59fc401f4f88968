"""Bytes that are made block by block, so that no tensor is ever in memory whole."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ckptkit.containers.bytesource import check_span

BLOCK_NBYTES = 1 << 20  # of the result, made at a time; each computed tensor holds one at most


class BlockedBytes:
    """A ByteSource whose blocks ``make`` returns, given (offset, nbytes); safe in many threads.

    ``step``: blocks begin at multiples of this many bytes and, but for the last, have as many
    of them as fit into BLOCK_NBYTES (one at least). So what a read returns never depends on how it
    was cut into calls.
    """

    __slots__ = ("_block", "_lock", "_make", "_size", "_start", "nbytes")

    def __init__(
        self, nbytes: int, step: int, make: Callable[[int, int], bytes | bytearray]
    ) -> None:
        self.nbytes, self._make = nbytes, make
        self._size = max(BLOCK_NBYTES // max(step, 1), 1) * max(step, 1)
        self._lock = threading.Lock()
        self._start, self._block = -1, memoryview(b"")

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on."""
        check_span("a computed tensor", offset, out.nbytes, self.nbytes)
        out, done = out.cast("B"), 0
        with self._lock:
            while done < out.nbytes:
                start = (offset + done) // self._size * self._size
                if start != self._start:
                    self._start = -1  # a failure below must not leave a wrong block behind
                    made = self._make(start, min(self._size, self.nbytes - start))
                    self._start, self._block = start, memoryview(made)
                skip = offset + done - start
                count = min(self._block.nbytes - skip, out.nbytes - done)
                out[done : done + count] = self._block[skip : skip + count]
                done += count
            if offset + done == self.nbytes:  # read to the end: as a rule nobody comes back
                self._start, self._block = -1, memoryview(b"")
