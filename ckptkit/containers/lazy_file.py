"""A file that is opened when its first byte is wanted, so that a folder of thousands opens fast."""

from __future__ import annotations

import threading
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.errors import CorruptFileError


class LazyFile:
    """The bytes of a regular file of known size, as a ByteSource; safe in many threads.

    With ``keep_open`` one descriptor serves all reads until ``close``; without it each read
    opens the file anew, for folders with more files than a process may have descriptors.
    """

    __slots__ = ("_file", "_keep_open", "_lock", "nbytes", "path")

    def __init__(self, path: FilePath, nbytes: int, *, keep_open: bool = False) -> None:
        self.path, self.nbytes = path, nbytes
        self._keep_open, self._lock = keep_open, threading.Lock()
        self._file: FileBytes | None = None

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on.

        Raises: TruncatedFileError; CorruptFileError if the file was replaced since it was listed.
        """
        if self._keep_open:
            self._kept().read_into(offset, out)
        else:
            with self._opened() as file:
                file.read_into(offset, out)

    def read(self, start: int, nbytes: int) -> bytes:
        """Exactly ``nbytes`` bytes from ``start``. Raises: as ``read_into``."""
        if self._keep_open:
            return self._kept().read(start, nbytes)
        with self._opened() as file:
            return file.read(start, nbytes)

    def close(self) -> None:
        """Give the descriptor back, if there is one."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            file.close()

    def _kept(self) -> FileBytes:
        with self._lock:
            if self._file is None:
                self._file = self._opened()
            return self._file

    def _opened(self) -> FileBytes:
        file = FileBytes(self.path)
        if file.nbytes != self.nbytes:
            seen = f"has {file.nbytes} bytes now"
            file.close()
            raise CorruptFileError(self.path, seen, f"{self.nbytes}, as when it was listed")
        return file
