"""The bytes of one zip entry: located, inflated where need be, and checked by their CRC."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from struct import Struct

from ckptkit.containers.bytesource import FileBytes, check_span
from ckptkit.containers.inflate import InflatedBytes
from ckptkit.containers.zip_index import (
    FLAG_DESCRIPTOR,
    LOCAL_MARK,
    LOCAL_NBYTES,
    STORED,
    ZipEntry,
    ZipIndex,
    widened,
)
from ckptkit.errors import ChecksumError, CorruptFileError, LimitExceededError
from ckptkit.nodes import ByteSource
from ckptkit.types import Limits

_LOCAL = Struct("<4s5H3I2H")
_CHUNK_NBYTES = 1 << 20
_FREE_HELD_NBYTES = 4 << 20
_MAX_HELD_RATIO = 32  # the pickle of 100,000 tensors deflates to a fifth


def locate(file: FileBytes, entry: ZipEntry) -> int:
    """The offset of the entry's first byte, once its local header agrees with the directory.

    Raises: CorruptFileError where the two differ, or the data runs into its neighbour.
    Source: APPNOTE.TXT 6.3.10, sections 4.3.7 and 4.4.4.
    """
    raw_name = entry.raw_name
    header = file.read(entry.header, LOCAL_NBYTES + len(raw_name))
    mark, _, flags, method, _, _, crc, csize, usize, name_nbytes, extra_nbytes = _LOCAL.unpack(
        header[:LOCAL_NBYTES]
    )
    if mark != LOCAL_MARK or name_nbytes != len(raw_name) or header[LOCAL_NBYTES:] != raw_name:
        raise _differs(file, entry, "name")
    if flags != entry.flags or method != entry.method:
        raise _differs(file, entry, "flags or method")
    extra_start = entry.header + LOCAL_NBYTES + name_nbytes
    start: int = extra_start + extra_nbytes
    if start + entry.csize > entry.room:
        raise CorruptFileError(
            file.where, f"the entry {entry.name!a} runs into what comes after it",
            advice="the file is damaged or was made to mislead: fetch it again",
        )  # fmt: skip
    if 0xFFFFFFFF in (csize, usize):
        usize, csize = widened(file, file.read(extra_start, extra_nbytes), (usize, csize))
    later = (0,) if flags & FLAG_DESCRIPTOR else ()  # the descriptor behind the data has them
    if csize not in (entry.csize, *later) or usize not in (entry.usize, *later):
        raise _differs(file, entry, "size")
    if crc not in (entry.crc, *later):
        raise _differs(file, entry, "checksum")
    return start


class EntryBytes:
    """The content of an entry, inflated; not one byte of a damaged entry passes as whole.

    Read from front to back, the CRC is kept on the way and compared before the last bytes are
    handed out; read in any other way, the entry is first gone through once.
    """

    __slots__ = ("_crc", "_entry", "_file", "_lock", "_names", "_next", "_raw", "_sound", "nbytes")

    def __init__(
        self, file: FileBytes, entry: ZipEntry, names: Callable[[ZipEntry], str] | None, check: bool
    ) -> None:
        self._file, self._entry, self._names = file, entry, names
        self._lock = threading.Lock()
        self._raw: ByteSource | None = None
        self._next = self._crc = 0
        self._sound = not check
        self.nbytes = entry.usize

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill ``out`` with the content from ``offset`` on.

        Raises: ChecksumError naming the entry and its tensors; CorruptFileError.
        """
        check_span(ascii(self._entry.name), offset, out.nbytes, self.nbytes)
        with self._lock:
            raw = self._raw or self._open()
            if not self._sound and offset != self._next:
                self._next = self._crc = 0
                self._read_through(raw)
            if not self._sound:
                raw.read_into(offset, out)
                self._advance(out)
                return
            if type(raw) is not FileBytes:  # an inflater has a position of its own
                raw.read_into(offset, out)
                return
        raw.read_into(offset, out)

    def _open(self) -> ByteSource:
        start = locate(self._file, self._entry)
        stored = self._file.part(start, start + self._entry.csize, ascii(self._entry.name))
        plain = self._entry.method == STORED
        raw: ByteSource = stored if plain else InflatedBytes(stored, self.nbytes)
        self._raw = raw
        return raw

    def _read_through(self, raw: ByteSource) -> None:
        buffer = memoryview(bytearray(min(_CHUNK_NBYTES, self.nbytes)))
        while not self._sound:
            out = buffer[: min(_CHUNK_NBYTES, self.nbytes - self._next)]
            raw.read_into(self._next, out)
            self._advance(out)

    def _advance(self, out: memoryview) -> None:
        self._crc = zlib.crc32(out, self._crc)
        self._next += out.nbytes
        if self._next == self.nbytes:
            if self._crc != self._entry.crc:
                self._next = self._crc = 0
                raise self._mismatch()
            self._sound = True

    def _mismatch(self) -> ChecksumError:
        users = self._names(self._entry) if self._names else ""
        return ChecksumError(
            self._file.where,
            f"the entry {self._entry.name!a}{users} does not have the CRC-32 recorded for it",
            f"{self._entry.crc:#010x}",
            "the file is damaged: fetch it again, or use another checkpoint",
        )


def read_entry(index: ZipIndex, entry: ZipEntry, limits: Limits, *, check: bool = True) -> bytes:
    """The whole content of an entry that has to be held in memory, such as a pickle.

    Raises: LimitExceededError, ChecksumError, CorruptFileError.
    """
    allowed = held_limit(entry.method, entry.csize, limits)
    if entry.usize > allowed:
        raise LimitExceededError(
            index.file.where, f"the entry {entry.name!a} holds {entry.usize} bytes",
            f"at most {allowed}", "raise --limit max_pickle_nbytes=N",
        )  # fmt: skip
    source = EntryBytes(index.file, entry, None, check)
    if entry.method == STORED and not check:
        return index.file.read(locate(index.file, entry), entry.csize)
    out = bytearray(entry.usize)
    source.read_into(0, memoryview(out))
    return bytes(out)


def held_limit(method: int, csize: int, limits: Limits) -> int:
    """How many bytes an entry may hold that has to be in memory."""
    if method == STORED:
        return limits.max_pickle_nbytes
    return min(limits.max_pickle_nbytes, _FREE_HELD_NBYTES + _MAX_HELD_RATIO * csize)


def _differs(file: FileBytes, entry: ZipEntry, what: str) -> CorruptFileError:
    return CorruptFileError(
        file.where, f"the {what} of the entry {entry.name!a} differs from the directory's",
        "a local header that agrees", "the file is damaged or was made to mislead: fetch it again",
    )  # fmt: skip
