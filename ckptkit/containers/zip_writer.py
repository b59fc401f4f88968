"""The bytes around the entries of a zip archive, as torch lays them out: stored and aligned. Pure.

Source: APPNOTE.TXT 6.3.10; caffe2/serialize/inline_container.cc (alignment by an extra field).
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

ALIGNMENT_NBYTES = 64  # torch's: a mapped tensor begins at a cache line
_LOCAL = Struct("<4s5H3I2H")
_CENTRAL = Struct("<4s6H3I5H2I")
_END = Struct("<4s4H2IH")
_WIDE_END = Struct("<4sQ2H2I4Q")
_WIDE_LOCATOR = Struct("<4sIQI")
_WIDE = 0xFFFFFFFF
_WIDE_COUNT = 0xFFFF
_WIDE_TAG, _PADDING_TAG = 0x0001, 0x4246  # "FB", which every reader passes over
_MIDNIGHT_1980 = (0, 0x21)  # time and date: no clock, so that equal content gives equal bytes
_VERSION, _WIDE_VERSION = 20, 45


class EntryToWrite(NamedTuple):
    """An entry to be: an ASCII name, the size and the CRC-32 of its content."""

    name: str
    nbytes: int
    crc: int


class ZipLayout(NamedTuple):
    """What stands before the content of each entry, and what follows the last one.

    ``starts`` are the offsets of the contents. Sizes do not depend on the CRCs.
    """

    heads: list[bytes]
    starts: list[int]
    tail: bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the archive without the contents of its entries."""
        return sum(map(len, self.heads)) + len(self.tail)


def lay_out(entries: Sequence[EntryToWrite]) -> ZipLayout:
    """Place the entries back to back, each content at a multiple of ``ALIGNMENT_NBYTES``."""
    heads, starts, rows = [], [], []
    offset = 0
    for entry in entries:
        head = _local_header(entry, offset)
        rows.append(_central_header(entry, offset))
        heads.append(head)
        starts.append(offset + len(head))
        offset += len(head) + entry.nbytes
    directory = b"".join(rows)
    return ZipLayout(heads, starts, directory + _end(len(entries), len(directory), offset))


def _local_header(entry: EntryToWrite, offset: int) -> bytes:
    name = entry.name.encode("ascii")
    wide = entry.nbytes >= _WIDE
    extra = _extra(_WIDE_TAG, entry.nbytes.to_bytes(8, "little") * 2) if wide else b""
    used = offset + _LOCAL.size + len(name) + len(extra)
    padding = -(used + 4) % ALIGNMENT_NBYTES  # the field's own head takes four bytes
    extra += _extra(_PADDING_TAG, bytes(padding))
    size = _WIDE if wide else entry.nbytes
    version = _WIDE_VERSION if wide else _VERSION
    fields = (version, 0, 0, *_MIDNIGHT_1980, entry.crc, size, size, len(name), len(extra))
    return _LOCAL.pack(b"PK\x03\x04", *fields) + name + extra


def _central_header(entry: EntryToWrite, offset: int) -> bytes:
    name = entry.name.encode("ascii")
    size, place, wide = entry.nbytes, offset, b""
    if entry.nbytes >= _WIDE:
        size, wide = _WIDE, entry.nbytes.to_bytes(8, "little") * 2
    if offset >= _WIDE:
        place, wide = _WIDE, wide + offset.to_bytes(8, "little")
    extra = _extra(_WIDE_TAG, wide) if wide else b""
    version = _WIDE_VERSION if wide else _VERSION
    fields = (
        version, version, 0, 0, *_MIDNIGHT_1980, entry.crc, size, size, len(name), len(extra),
        0, 0, 0, 0, place,
    )  # fmt: skip
    return _CENTRAL.pack(b"PK\x01\x02", *fields) + name + extra


def _extra(tag: int, content: bytes) -> bytes:
    return tag.to_bytes(2, "little") + len(content).to_bytes(2, "little") + content


def _end(count: int, directory_nbytes: int, directory_start: int) -> bytes:
    wide = b""
    if count >= _WIDE_COUNT or directory_nbytes >= _WIDE or directory_start >= _WIDE:
        at = directory_start + directory_nbytes
        wide = _WIDE_END.pack(
            b"PK\x06\x06", _WIDE_END.size - 12, _WIDE_VERSION, _WIDE_VERSION, 0, 0,
            count, count, directory_nbytes, directory_start,
        ) + _WIDE_LOCATOR.pack(b"PK\x06\x07", 0, at, 1)  # fmt: skip
    told = min(count, _WIDE_COUNT)
    nbytes, start = min(directory_nbytes, _WIDE), min(directory_start, _WIDE)
    return wide + _END.pack(b"PK\x05\x06", 0, 0, told, told, nbytes, start, 0)
