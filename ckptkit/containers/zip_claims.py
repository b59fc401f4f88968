"""Where the bytes of a record may lie, by whatever still says it, and which claim is true."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from struct import Struct, pack
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.inflate import InflatedBytes
from ckptkit.containers.salvage import read_through
from ckptkit.containers.zip_index import LOCAL_NBYTES, STORED, ZipEntry
from ckptkit.containers.zip_remains import Remain
from ckptkit.errors import ContainerError
from ckptkit.nodes import ByteSource
from ckptkit.types import Limits

DESCRIPTOR_MARK = b"PK\x07\x08"
DESCRIPTOR_SIZES = (16, 24)  # with 32-bit and with 64-bit sizes
ALIGNMENT = 64  # of a record's first byte: caffe2/serialize/inline_container.cc
_LENGTHS = Struct("<2H")
_FREE_INFLATED_NBYTES = 256 << 20
_FREE_NBYTES = 256 << 20
_MAX_READINGS = 8  # of as many bytes as the file has: claims that are false cost a reading each
MAX_CLAIMS = 24  # of one record: an honest one has one header and a handful of readings of it


class Claim(NamedTuple):
    """One reading of where a record lies. ``crcs``: what the directory or the header recorded."""

    start: int
    csize: int
    usize: int
    method: int
    crcs: tuple[int, ...]

    @property
    def stop(self) -> int:
        """Where the bytes end in the file."""
        return self.start + self.csize


class Verdict(NamedTuple):
    """What became of a claim: ``state`` is "proved", "unproved" (no checksum left) or "false"."""

    state: str
    source: ByteSource | None


def directory_claims(file: FileBytes, entry: ZipEntry) -> Iterator[Claim]:
    """Read a directory's entry; the local header, which only says where it starts, may lie."""
    starts: dict[int, None] = {}
    lengths = file.read(entry.header + LOCAL_NBYTES - _LENGTHS.size, _LENGTHS.size)
    starts[entry.header + LOCAL_NBYTES + sum(_LENGTHS.unpack(lengths))] = None
    for descriptor in (*DESCRIPTOR_SIZES, 0):
        starts[entry.room - descriptor - entry.csize] = None
    for start in starts:
        if entry.header + LOCAL_NBYTES <= start and start + entry.csize <= file.nbytes:
            yield Claim(start, entry.csize, entry.usize, entry.method, (entry.crc,))


def header_claims(file: FileBytes, remain: Remain, nbytes: int, stop: int) -> Iterator[Claim]:
    """Read a local header; ``nbytes`` is what the pickle needs, ``stop`` where the next begins."""
    crcs = (remain.crc,) if remain.crc else ()
    if remain.method != STORED:
        if remain.csize and remain.usize >= nbytes and remain.start + remain.csize <= file.nbytes:
            yield Claim(remain.start, remain.csize, remain.usize, remain.method, crcs)
        return
    first = remain.header + LOCAL_NBYTES + len(remain.name.encode()) + 4
    for start in dict.fromkeys((remain.start, first + -first % ALIGNMENT)):
        sizes = (remain.csize, nbytes, *(stop - n - start for n in (*DESCRIPTOR_SIZES, 0)))
        for size in dict.fromkeys(sizes):
            if size >= max(nbytes, 1) and start + size <= file.nbytes:
                yield Claim(start, size, size, STORED, crcs)


class Prover:
    """Reads what claims point to and compares checksums, within a budget of bytes."""

    def __init__(self, file: FileBytes, limits: Limits, advance: Callable[[int], None]) -> None:
        self._file, self._limits, self._advance = file, limits, advance
        self._left = _FREE_NBYTES + _MAX_READINGS * file.nbytes
        self.has_crcs = True

    def prove(self, claim: Claim, *, in_directory: bool = False) -> Verdict:
        """Hold a claim against every checksum that is recorded for it."""
        ratio = self._limits.max_inflate_ratio
        if claim.usize > _FREE_INFLATED_NBYTES + ratio * claim.csize or self._left < claim.usize:
            return Verdict("false", None)
        self._left -= claim.usize
        stored = self._file.part(claim.start, claim.stop, self._file.where)
        plain = claim.method == STORED
        source: ByteSource = stored if plain else InflatedBytes(stored, claim.usize)
        if not self.has_crcs:
            is_there = in_directory or self._agreement(claim, 0) != "false"
            return Verdict("unproved" if is_there else "false", source)
        try:
            crc = self._crc_of(source)
        except ContainerError:
            return Verdict("false", None)
        state = "proved" if crc in claim.crcs else self._agreement(claim, crc)
        return Verdict(state, source)

    def _crc_of(self, source: ByteSource) -> int:
        whole = _Summed(source)
        read_through(whole, self._advance)
        return whole.crc

    def _agreement(self, claim: Claim, crc: int) -> str:
        """Compare with the descriptor behind the data, of which the file's end may cut a part."""
        nbytes = min(DESCRIPTOR_SIZES[1], self._file.nbytes - claim.stop)
        tail = self._file.read(claim.stop, nbytes)
        if len(tail) >= 8 and self.has_crcs:
            return "proved" if tail[4:8] == pack("<I", crc) else "false"
        head = DESCRIPTOR_MARK + pack("<I", crc)
        if tail[:8] == head[: len(tail)]:
            sizes = (claim.csize, claim.usize)
            narrow = max(sizes) < 1 << 32 and pack("<2I", *sizes)
            wide = pack("<2Q", *sizes)
            rest = tail[8:]
            agrees = rest == wide[: len(rest)] or (narrow and rest[:8] == narrow[: len(rest)])
            return "unproved" if agrees else "false"
        return "false"


class _Summed:
    """A source that keeps the CRC-32 of what is read from front to back."""

    def __init__(self, source: ByteSource) -> None:
        self._source, self.nbytes, self.crc = source, source.nbytes, 0

    def read_into(self, offset: int, out: memoryview) -> None:
        self._source.read_into(offset, out)
        self.crc = zlib.crc32(out, self.crc)
