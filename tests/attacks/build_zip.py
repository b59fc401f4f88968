"""A zip writer that can lie in every field, and torch's own layout on top of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tests.attacks.build_pickle import state_dict, tensor

FOUR_FLOATS = struct.pack("<4f", 1.0, 2.0, 3.0, 4.0)


class Entry(NamedTuple):
    """A member; None means the truth, anything else is written as it stands."""

    name: str | bytes
    data: bytes
    method: int = 0
    flags: int = 0
    crc: int | None = None
    csize: int | None = None
    usize: int | None = None
    local_name: bytes | None = None
    local_crc: int | None = None
    local_csize: int | None = None
    local_usize: int | None = None
    local_flags: int | None = None
    local_method: int | None = None
    offset: int | None = None
    extra: bytes = b""
    local_extra: bytes = b""
    comment: bytes = b""
    external: int = 0
    disk: int = 0
    omit_local: bool = False
    omit_central: bool = False


class End(NamedTuple):
    """The end record; None means the truth."""

    count: int | None = None
    count_here: int | None = None
    size: int | None = None
    offset: int | None = None
    disk: int = 0
    comment: bytes = b""
    prefix: bytes = b""
    shift: int = 0  # added to every stated offset, for an archive behind a prefix
    gap: bytes = b""  # between the last member and the central directory
    zip64: bool = False


def _pick(lie: Any, truth: Any) -> Any:
    return truth if lie is None else lie


def write_zip(entries: Sequence[Entry], end: End = End()) -> bytes:
    """Write an archive."""
    out = bytearray(end.prefix)
    central = bytearray()
    count = 0
    for entry in entries:
        name = entry.name.encode() if isinstance(entry.name, str) else entry.name
        packed = _pack(entry)
        crc, usize = _pick(entry.crc, zlib.crc32(entry.data)), _pick(entry.usize, len(entry.data))
        csize = _pick(entry.csize, len(packed))
        start = len(out) + end.shift
        if not entry.omit_local:
            local_name = _pick(entry.local_name, name)
            out += struct.pack(
                "<IHHHHHIIIHH", 0x04034B50, 20, _pick(entry.local_flags, entry.flags),
                _pick(entry.local_method, entry.method), 0, 33, _pick(entry.local_crc, crc),
                _pick(entry.local_csize, csize), _pick(entry.local_usize, usize),
                len(local_name), len(entry.local_extra),
            )  # fmt: skip
            out += local_name + entry.local_extra + packed
        if entry.omit_central:
            continue
        count += 1
        central += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, entry.flags, entry.method, 0, 33, crc,
            csize, usize, len(name), len(entry.extra), len(entry.comment), entry.disk, 0,
            entry.external, _pick(entry.offset, start),
        )  # fmt: skip
        central += name + entry.extra + entry.comment
    out += end.gap
    where = _pick(end.offset, len(out) + end.shift)
    size = _pick(end.size, len(central))
    out += central
    if end.zip64:
        out += _zip64_end(len(out) + end.shift, _pick(end.count, count), size, where)
        count, size, where = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    total = _pick(end.count, count)
    out += struct.pack(
        "<IHHHHIIH", 0x06054B50, end.disk, end.disk, _pick(end.count_here, total) & 0xFFFF,
        total & 0xFFFF, size & 0xFFFFFFFF, where & 0xFFFFFFFF, len(end.comment),
    )  # fmt: skip
    return bytes(out + end.comment)


def _pack(entry: Entry) -> bytes:
    return _deflate(entry.data) if entry.method == 8 else entry.data


@lru_cache(maxsize=4)  # a bomb names the same bytes thousands of times
def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _zip64_end(at: int, count: int, size: int, where: int) -> bytes:
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, where)
    return record + struct.pack("<IIQI", 0x07064B50, 0, at, 1)


def members(
    pickle: bytes | None = None,
    storages: Mapping[str, bytes] | None = None,
    *,
    root: str = "archive",
    byteorder: bytes | None = b"little",
) -> list[Entry]:
    """The members of a torch file, in torch's order."""
    body = state_dict(weight=tensor()) if pickle is None else pickle
    blobs = {"0": FOUR_FLOATS} if storages is None else storages
    rows = [Entry(f"{root}/data.pkl", body)]
    if byteorder is not None:
        rows.append(Entry(f"{root}/byteorder", byteorder))
    rows += [Entry(f"{root}/data/{key}", data) for key, data in blobs.items()]
    rows.append(Entry(f"{root}/version", b"3\n"))
    return rows


def torch_zip(pickle: bytes | None = None, storages: Mapping[str, bytes] | None = None) -> bytes:
    """A well-formed torch file around a pickle of any kind."""
    return write_zip(members(pickle, storages))
