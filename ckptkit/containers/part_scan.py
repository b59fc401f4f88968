"""Follow the pickles of a run of bytes by what they begin with: a member, a gap, a file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from struct import Struct

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.held_bytes import HeldBytes
from ckptkit.containers.pickle_scan import MAX_NESTING, is_telling, scan_row
from ckptkit.containers.pickle_sniff import HEAD_NBYTES, is_pickle_start, is_text_pickle_start
from ckptkit.containers.safetensors import looks_like_safetensors, read_header
from ckptkit.containers.tar_index import BLOCK_NBYTES, is_tar_header
from ckptkit.containers.zip_index import LOCAL_MARK
from ckptkit.errors import ContainerError
from ckptkit.protocols import StreamScan
from ckptkit.types import Limits, Notice

NOT_SCANNED = "not-scanned"  # the code of the notice that something was left unread
MAX_UNPACKED_NBYTES = 64 << 20
GZIP_MARK = b"\x1f\x8b\x08"
NPY_MARK = b"\x93NUMPY"
_NPY_LENGTHS = {1: Struct("<H"), 2: Struct("<I"), 3: Struct("<I")}
_PACKED = (
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"Rar!\x1a\x07", "RAR"), (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstandard"), (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\x1f\x9d", "compress"),
)  # fmt: skip


def scan_part(part: FileBytes, name: str, limits: Limits, nesting: int = 0) -> Iterator[StreamScan]:
    """Follow every pickle of ``part``; yields nothing where none can be.

    Streams are called after ``name``. What cannot be looked into is said in a notice with the
    code ``NOT_SCANNED``; nothing is raised for what is wrong with the bytes.
    """
    head = part.head(max(HEAD_NBYTES, BLOCK_NBYTES))
    if nesting > MAX_NESTING:
        yield not_scanned(name, f"it lies {MAX_NESTING} archives deep")
    elif head.startswith(LOCAL_MARK):
        from ckptkit.containers.zip_scan import scan_archive

        yield from scan_archive(part, limits, f"{name}: ", nesting)
    elif is_tar_header(head[:BLOCK_NBYTES]):
        from ckptkit.containers.tar_scan import scan_tar

        yield from scan_tar(part, limits, f"{name}: ", nesting)
    elif head.startswith(GZIP_MARK):
        yield from _scan_gzip(part, name, limits, nesting)
    elif head.startswith(NPY_MARK):
        yield from _scan_npy(part, name, limits)
    elif is_pickle_start(head) or is_text_pickle_start(head):
        yield from scan_row(part, limits, name)
    else:
        yield from _scan_other(part, name, head, limits)


def not_scanned(name: str, why: str) -> StreamScan:
    """Say that something was left unread."""
    return StreamScan(name, (), (Notice("warning", NOT_SCANNED, why, name),))


def packed_kind(head: bytes) -> str | None:
    """The name of an archive kind that is never looked into, or None."""
    return next((kind for mark, kind in _PACKED if head.startswith(mark)), None)


def header_scan(file: FileBytes, name: str, limits: Limits) -> Iterator[StreamScan]:
    """Hold a file that begins as safetensors to that: its header parses, and no pickle is both."""
    if is_pickle_start(file.head(HEAD_NBYTES)):
        # A length may look like the mark of a pickle: only one that names something counts.
        yield from filter(is_telling, scan_row(file, limits, name))
    try:
        read_header(file, limits)
    except ContainerError as exc:
        yield StreamScan(name, (), (), exc)


def _scan_other(part: FileBytes, name: str, head: bytes, limits: Limits) -> Iterator[StreamScan]:
    kind = packed_kind(head)
    if kind is not None:
        yield not_scanned(name, f"it is packed ({kind}): unpack it first")
    elif looks_like_safetensors(head):
        yield from header_scan(part, name, limits)


def _scan_gzip(part: FileBytes, name: str, limits: Limits, nesting: int) -> Iterator[StreamScan]:
    if isinstance(part, HeldBytes):
        yield not_scanned(name, "it is packed twice (gzip): unpack it first")
        return
    data, whole = _gunzipped(part)
    if not whole:
        most = MAX_UNPACKED_NBYTES >> 20
        yield not_scanned(name, f"gzip that breaks off or holds over {most} MiB: unpack it first")
    yield from scan_part(HeldBytes(data, name), f"{name} (gzip)", limits, nesting + 1)


def _gunzipped(part: FileBytes) -> tuple[bytes, bool]:
    """What a gzip file holds, up to a bound, and whether that is all; its streams in a row."""
    out, position, step = bytearray(), 0, 1 << 20
    inflater = zlib.decompressobj(31)
    try:
        while position < part.nbytes:
            data = part.read(position, min(step, part.nbytes - position))
            position += len(data)
            while data:
                out += inflater.decompress(data, MAX_UNPACKED_NBYTES + 1 - len(out))
                if len(out) > MAX_UNPACKED_NBYTES:
                    return bytes(out), False
                data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                if inflater.eof:
                    if not data.strip(b"\0"):
                        data = b""
                    inflater = (
                        zlib.decompressobj(31) if data or position < part.nbytes else inflater
                    )
    except (zlib.error, ContainerError):
        return bytes(out), False
    return bytes(out), inflater.eof


def _scan_npy(part: FileBytes, name: str, limits: Limits) -> Iterator[StreamScan]:
    """An array of objects is a pickle behind a header. Source: numpy.lib.format."""
    head = part.head(16)
    length = _NPY_LENGTHS.get(head[6]) if len(head) > 12 else None
    if length is None:
        yield not_scanned(name, "a NumPy file of an unknown version")
        return
    start = 8 + length.size + length.unpack_from(head, 8)[0]
    if start >= part.nbytes:
        return
    rest = part.part(start, part.nbytes, part.where)
    if b"O" in part.read(8, min(start - 8, 4096)):
        yield from scan_row(rest, limits, name)
