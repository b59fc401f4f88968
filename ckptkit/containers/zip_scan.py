"""Every pickle of a zip archive, wherever it hides and in whatever state the archive is."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.held_bytes import HeldBytes
from ckptkit.containers.part_scan import (
    GZIP_MARK,
    MAX_UNPACKED_NBYTES,
    NPY_MARK,
    not_scanned,
    packed_kind,
    scan_part,
)
from ckptkit.containers.pickle_scan import (
    MAX_NESTING,
    is_telling,
    scan_bytes,
    scan_row,
    scan_tail,
)
from ckptkit.containers.pickle_sniff import HEAD_NBYTES, is_pickle_start, is_text_pickle_start
from ckptkit.containers.polyglot import archive_start, other_readings, polyglot_notices
from ckptkit.containers.tar_index import BLOCK_NBYTES, is_tar_header
from ckptkit.containers.zip_entry import locate, read_entry
from ckptkit.containers.zip_index import (
    DEFLATED,
    LOCAL_MARK,
    LOCAL_NBYTES,
    STORED,
    ZipEntry,
    ZipIndex,
    read_zip_index,
)
from ckptkit.errors import ContainerError
from ckptkit.protocols import Probe, StreamScan
from ckptkit.types import Limits

_LOCAL = Struct("<4s5H3I2H")
_STORAGE = re.compile(r"(?:^|/)(?:data|constants)/\d+$")
_MAX_DESCRIPTOR_NBYTES = 24
_MAX_STEP_NBYTES = 1 << 20
_MAX_RECOVERED_NBYTES = 64 << 20  # of one entry of a broken archive


def scan_zip(probe: Probe, limits: Limits) -> Iterator[StreamScan]:
    """Follow the pickles of an archive; never raises for what is wrong with them or with it."""
    with FileBytes(probe.path) as file:
        yield from scan_archive(file, limits)
        yield from scan_other_readings(file, "zip", limits)


def scan_other_readings(file: FileBytes, own: str, limits: Limits) -> Iterator[StreamScan]:
    """Say what else a file is, and follow the pickles of those readings as well."""
    notices = polyglot_notices(file, own)
    if not notices:
        return
    yield StreamScan("file", (), notices)
    others = other_readings(file, own)
    start = archive_start(file) if "zip" in others else None
    if start is not None:
        part = file.part(start, file.nbytes, f"{file.where}: archive at byte {start}")
        yield from scan_archive(part, limits, "appended archive: ")
    if "tar" in others:
        yield from scan_row(file.part(512, file.nbytes, file.where), limits, "tar member")


def scan_archive(
    file: FileBytes, limits: Limits, prefix: str = "", nesting: int = 0
) -> Iterator[StreamScan]:
    """Follow the pickles of an archive that may lie inside another file."""
    try:
        index = read_zip_index(file, limits)
    except ContainerError as exc:
        yield StreamScan(f"{prefix}archive", (), (), exc)
        yield from _scan_remains(file, limits, prefix)
        return
    if index.notices:
        yield StreamScan(f"{prefix}archive", (), index.notices)
    spans: list[tuple[int, int]] = []  # from where to where something is in the index
    for entry in index.entries.values():
        try:
            start = locate(file, entry)
        except ContainerError as exc:
            yield StreamScan(prefix + entry.name, (), (), exc)
            continue
        spans.append((entry.header, start + entry.csize))
        if entry.usize:
            yield from _scan_entry(_Found(index, entry, start), limits, prefix, nesting)
    end = max((entry.room for entry in index.entries.values()), default=0)
    yield from _scan_gaps(file, [*spans, (end, end)], limits, prefix)


def _scan_gaps(
    file: FileBytes, spans: list[tuple[int, int]], limits: Limits, prefix: str
) -> Iterator[StreamScan]:
    """Follow what lies between the entries, where honest archives have a few numbers at most."""
    position = 0
    for start, stop in sorted(spans):
        if start - position > _MAX_DESCRIPTOR_NBYTES:
            hidden = file.part(position, start, file.where)
            yield from _scan_remains(hidden, limits, f"{prefix}hidden at {position}: ")
            yield from scan_tail(hidden, limits, 0)
        position = max(position, stop)


class _Found(NamedTuple):
    """An entry whose local header agrees with the directory; its bytes begin at ``start``."""

    archive: ZipIndex
    entry: ZipEntry
    start: int

    def head(self) -> bytes:
        """The first bytes of its content."""
        nbytes = HEAD_NBYTES if self.entry.method == STORED else 4 * HEAD_NBYTES
        data = self.archive.file.read(self.start, min(nbytes, self.entry.csize))
        return data if self.entry.method == STORED else _inflated(data, HEAD_NBYTES)


def _scan_entry(found: _Found, limits: Limits, prefix: str, nesting: int) -> Iterator[StreamScan]:
    index, entry, start = found
    name = prefix + entry.name
    head = found.head()
    if head.startswith(LOCAL_MARK) and nesting < MAX_NESTING and entry.method == STORED:
        inner = index.file.part(start, start + entry.csize, name)
        yield from scan_archive(inner, limits, f"{name}: ", nesting + 1)
        return
    if _holds_others(entry, head):
        yield from _scan_holder(found, name, limits, nesting)
        return
    is_named = entry.name.endswith((".pkl", ".pickle"))
    if not (is_named or is_pickle_start(head) or is_text_pickle_start(head)):
        return
    try:
        data = read_entry(index, entry, limits, check=False)
    except ContainerError as exc:
        yield StreamScan(name, (), (), exc)
        return
    is_storage = _STORAGE.search(entry.name) is not None
    for scan in scan_bytes(data, name, limits, nodes_for=index.file.nbytes):
        # Numbers begin like a pickle by chance; only a readable name tells them apart.
        if is_telling(scan) or (scan.uses and not is_storage) or is_named:
            yield scan


def _holds_others(entry: ZipEntry, head: bytes) -> bool:
    """Whether an entry is an archive of its own; numbers may look like one by chance."""
    if _STORAGE.search(entry.name) is not None:
        return head.startswith(LOCAL_MARK)
    return (
        head.startswith((LOCAL_MARK, GZIP_MARK, NPY_MARK))
        or packed_kind(head) is not None
        or is_tar_header(head[:BLOCK_NBYTES])
    )


def _scan_holder(found: _Found, name: str, limits: Limits, nesting: int) -> Iterator[StreamScan]:
    """Look into an archive inside an archive; a deflated one is unpacked in memory, once."""
    index, entry, start = found
    if entry.method == STORED:
        part = index.file.part(start, start + entry.csize, name)
    elif isinstance(index.file, HeldBytes) or entry.usize > MAX_UNPACKED_NBYTES:
        yield not_scanned(name, "it is packed twice, or too large to unpack in memory")
        return
    else:
        try:
            part = HeldBytes(read_entry(index, entry, limits, check=False), name)
        except ContainerError as exc:
            yield StreamScan(name, (), (), exc)
            return
    yield from scan_part(part, name, limits, nesting + 1)


def _inflated(data: bytes, limit: int) -> bytes:
    """What can be inflated of a stream that may be broken."""
    inflater = zlib.decompressobj(-15)
    try:
        return inflater.decompress(data, limit)
    except zlib.error:
        return b""


def _scan_remains(file: FileBytes, limits: Limits, prefix: str) -> Iterator[StreamScan]:
    """Follow what still looks like entries in an archive whose directory cannot be used."""
    for start in _local_headers(file):
        header = file.read(start, LOCAL_NBYTES)
        _, _, _, method, _, _, _, csize, _, name_nbytes, extra_nbytes = _LOCAL.unpack(header)
        body = start + LOCAL_NBYTES + name_nbytes + extra_nbytes
        if body >= file.nbytes or method not in (STORED, DEFLATED):
            continue
        raw = file.read(start + LOCAL_NBYTES, name_nbytes)
        room = min(file.nbytes - body, _MAX_RECOVERED_NBYTES)
        if csize and csize != 0xFFFFFFFF:
            room = min(room, csize)
        head = file.read(body, min(HEAD_NBYTES * 4, room))
        head = head if method == STORED else _inflated(head, HEAD_NBYTES)
        named = raw.endswith((b".pkl", b".pickle"))
        if not (named or is_pickle_start(head) or is_text_pickle_start(head)):
            continue
        data = file.read(body, room)
        if method == DEFLATED:
            data = _inflated(data, _MAX_RECOVERED_NBYTES)
        name = f"{prefix}{raw.decode('utf-8', 'replace')!a} (recovered)"
        for scan in scan_bytes(data, name, limits, nodes_for=file.nbytes):
            if scan.uses or named:
                yield scan


def _local_headers(file: FileBytes) -> Iterator[int]:
    """Where local headers begin, found by their mark alone."""
    position, found, kept = 0, 0, b""
    while position < file.nbytes and found < 10_000:
        data = kept + file.read(position, min(_MAX_STEP_NBYTES, file.nbytes - position))
        base = position - len(kept)
        place = data.find(LOCAL_MARK)
        while place >= 0:
            if base + place + LOCAL_NBYTES <= file.nbytes:
                yield base + place
                found += 1
            place = data.find(LOCAL_MARK, place + 4)
        position += _MAX_STEP_NBYTES
        kept = data[-3:]
