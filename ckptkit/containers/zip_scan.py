"""Every pickle of a zip archive, wherever it hides and in whatever state the archive is."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from struct import Struct

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.pickle_scan import MAX_NESTING, scan_bytes, scan_row
from ckptkit.containers.pickle_sniff import HEAD_NBYTES, is_pickle_start, is_text_pickle_start
from ckptkit.containers.polyglot import archive_start, other_readings, polyglot_notices
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
    ends: list[tuple[int, int]] = []
    for entry in index.entries.values():
        yield from _scan_entry(index, entry, limits, prefix, nesting)
        ends.append((entry.header, entry.room))
    first = min((start for start, _ in ends), default=0)
    if first:
        hidden = file.part(0, first, file.where)
        yield from _scan_remains(hidden, limits, f"{prefix}hidden bytes: ")


def _scan_entry(
    index: ZipIndex, entry: ZipEntry, limits: Limits, prefix: str, nesting: int
) -> Iterator[StreamScan]:
    name = prefix + entry.name
    if entry.usize == 0:
        return
    try:
        head = _head(index, entry)
        if head.startswith(LOCAL_MARK) and nesting < MAX_NESTING and entry.method == STORED:
            start = locate(index.file, entry)
            inner = index.file.part(start, start + entry.csize, name)
            yield from scan_archive(inner, limits, f"{name}: ", nesting + 1)
            return
        is_named = entry.name.endswith((".pkl", ".pickle"))
        if not (is_named or is_pickle_start(head) or is_text_pickle_start(head)):
            return
        data = read_entry(index, entry, limits, check=False)
    except ContainerError as exc:
        yield StreamScan(name, (), (), exc)
        return
    is_storage = _STORAGE.search(entry.name) is not None
    for scan in scan_bytes(data, name, limits, nodes_for=index.file.nbytes):
        # Numbers begin like a pickle by chance; only a name tells them apart.
        if scan.uses or (is_named and not is_storage):
            yield scan


def _head(index: ZipIndex, entry: ZipEntry) -> bytes:
    start = locate(index.file, entry)
    if entry.method == STORED:
        return index.file.read(start, min(HEAD_NBYTES, entry.csize))
    data = index.file.read(start, min(HEAD_NBYTES * 4, entry.csize))
    return _inflated(data, HEAD_NBYTES)


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
        name = f"{prefix}{raw.decode('utf-8', 'replace')} (recovered)"
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
