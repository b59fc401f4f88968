"""Bytes of an open file by position: the floor on which every container stands.

Files are read with ``pread`` and never mapped: a mapped file that shrinks under a reader kills
the process with SIGBUS, and mapped pages count as memory of ours.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path as FilePath
from typing import NoReturn

from ckptkit.containers.absent import absent
from ckptkit.errors import (
    AccessDeniedError,
    CorruptFileError,
    InputError,
    NotFoundError,
    TruncatedFileError,
    UnknownFormatError,
)
from ckptkit.nodes import ByteSource

_DENIED = (errno.EACCES, errno.EPERM)
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)
# Never wait for the other end of a pipe, never become a child's file.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)

_MAX_PREAD_NBYTES = 1 << 30  # Linux hands out at most 0x7ffff000 bytes a call

_SPECIAL_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def raise_os_error(where: object, exc: OSError) -> NoReturn:
    """Say what the operating system refused, in our own words."""
    reason = os.strerror(exc.errno) if exc.errno else str(exc)
    if exc.errno in _DENIED:
        raise AccessDeniedError(
            where, f"cannot be read ({reason})", advice="ask its owner, or run as its owner"
        ) from exc
    if exc.errno == errno.ENAMETOOLONG:
        raise NotFoundError(
            where, "a name in it is longer than the file system allows", "an existing path",
            "check that it is a path, and not a text",
        ) from exc  # fmt: skip
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        raise absent(where) from exc
    if exc.errno in _ABSENT:
        raise NotFoundError(where, f"cannot be opened ({reason})", "an existing path") from exc
    raise CorruptFileError(
        where, f"reading failed ({reason})", advice="check the disk and the mount it lies on"
    ) from exc


def special_file_error(where: object, mode: int) -> InputError | None:
    """The refusal of a path that is no regular file, from its ``st_mode``; else None."""
    if stat.S_ISREG(mode):
        return None
    kind = next((name for test, name in _SPECIAL_KINDS if test(mode)), "a special file")
    return UnknownFormatError(where, f"is {kind}", "a regular file or a folder")


class FileBytes:
    """One open regular file, or a window of one; reads by position, safe in many threads.

    Windows made by ``part`` share the descriptor and close with it.
    """

    __slots__ = ("_base", "_descriptor", "nbytes", "where")

    def __init__(self, path: FilePath | str) -> None:
        self.where: object = path
        self._base = 0
        self._descriptor = _Descriptor(path)
        self.nbytes = self._descriptor.nbytes

    @property
    def base(self) -> int:
        """Where in the file itself this window begins."""
        return self._base

    def part(self, start: int, stop: int, where: object) -> FileBytes:
        """The bytes ``start:stop`` as a file of their own, called ``where`` in errors.

        Raises: TruncatedFileError if they are not all there.
        """
        if not 0 <= start <= stop <= self.nbytes:
            raise TruncatedFileError(
                where, f"bytes {start} to {stop} are not in a file of {self.nbytes} bytes"
            )
        window = object.__new__(FileBytes)
        window.where, window._descriptor = where, self._descriptor
        window._base, window.nbytes = self._base + start, stop - start
        return window

    def read(self, start: int, nbytes: int) -> bytes:
        """Exactly ``nbytes`` bytes from ``start``.

        Raises: TruncatedFileError if the file has fewer.
        """
        check_span(self.where, start, nbytes, self.nbytes)
        return self._descriptor.read(self._base + start, nbytes)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on, whole or not at all.

        Raises: TruncatedFileError if the file has fewer.
        """
        check_span(self.where, offset, out.nbytes, self.nbytes)
        self._descriptor.fill(self._base + offset, out)

    def head(self, nbytes: int) -> bytes:
        """The first bytes, fewer if the file is shorter."""
        return self.read(0, min(nbytes, self.nbytes))

    def close(self) -> None:
        """Give the descriptor back; reading afterwards is a defect of the caller."""
        self._descriptor.close()

    def __enter__(self) -> FileBytes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MemoryBytes:
    """Bytes that are in memory already, such as an array inside a pickle."""

    __slots__ = ("_data", "nbytes")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data)
        self.nbytes = self._data.nbytes

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on."""
        check_span("bytes in memory", offset, out.nbytes, self.nbytes)
        out[:] = self._data[offset : offset + out.nbytes]


class SlicedBytes:
    """A run of another source's bytes, as a source of its own."""

    __slots__ = ("_source", "_start", "nbytes")

    def __init__(self, source: ByteSource, start: int, nbytes: int) -> None:
        check_span("a slice", start, nbytes, source.nbytes)
        self._source, self._start, self.nbytes = source, start, nbytes

    @property
    def memory(self) -> memoryview | None:
        """The bytes themselves, where the other source has them in memory."""
        whole: memoryview | None = getattr(self._source, "memory", None)
        return None if whole is None else whole[self._start : self._start + self.nbytes]

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the bytes from ``offset`` on."""
        check_span("a slice", offset, out.nbytes, self.nbytes)
        self._source.read_into(self._start + offset, out)

    @classmethod
    def within(cls, source: ByteSource, start: int, nbytes: int) -> SlicedBytes:
        """The same for a run that is known to lie inside: 100,000 of them are not checked twice."""
        made = cls.__new__(cls)
        made._source, made._start, made.nbytes = source, start, nbytes  # noqa: SLF001
        return made

    def below(self) -> tuple[ByteSource, int]:
        """The source that is no slice itself, and where in it this slice begins.

        Neighbours of one source can be read in one call.
        """
        source, start = self._source, self._start
        while isinstance(source, SlicedBytes):
            start += source._start  # noqa: SLF001 - another of this class
            source = source._source  # noqa: SLF001
        return source, start


def check_span(where: object, start: int, nbytes: int, available: int) -> None:
    """Refuse a read that is not wholly inside ``available`` bytes.

    Raises: TruncatedFileError.
    """
    if start < 0 or nbytes < 0 or start + nbytes > available:
        raise TruncatedFileError(
            where,
            f"ends after {available} bytes",
            f"{nbytes} bytes from offset {start} on",
            "the copy was cut short, so fetch it again",
        )


class _Descriptor:
    """The open descriptor that a file and its windows share."""

    __slots__ = ("_fd", "nbytes", "path")

    def __init__(self, path: FilePath | str) -> None:
        self.path = path
        self._fd = -1
        try:
            self._fd = os.open(path, _OPEN_FLAGS)
            status = os.fstat(self._fd)
        except OSError as exc:
            self.close()
            raise_os_error(path, exc)
        except ValueError as exc:  # a NUL in the path
            raise NotFoundError(path, f"is no possible path ({exc})") from exc
        refusal = special_file_error(path, status.st_mode)
        if refusal is not None:
            self.close()
            raise refusal
        self.nbytes = status.st_size

    def read(self, offset: int, nbytes: int) -> bytes:
        if nbytes > _MAX_PREAD_NBYTES:
            out = bytearray(nbytes)
            self.fill(offset, memoryview(out))
            return bytes(out)
        try:
            data = os.pread(self._fd, nbytes, offset)
        except OSError as exc:
            raise_os_error(self.path, exc)
        if len(data) == nbytes:
            return data
        if not data:
            raise self._shrunk(offset)
        return data + self.read(offset + len(data), nbytes - len(data))

    def fill(self, offset: int, out: memoryview) -> None:
        done, wanted = 0, out.nbytes
        while done < wanted:
            try:
                count = os.preadv(self._fd, [out[done:] if done else out], offset + done)
            except OSError as exc:
                raise_os_error(self.path, exc)
            if not count:
                raise self._shrunk(offset + done)
            done += count

    def _shrunk(self, offset: int) -> TruncatedFileError:
        return TruncatedFileError(
            self.path,
            f"became shorter while it was read: nothing at byte {offset}",
            f"{self.nbytes} bytes, as when it was opened",
        )

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):  # nothing was written through it, so nothing can be lost
                os.close(fd)

    def __del__(self) -> None:
        self.close()
