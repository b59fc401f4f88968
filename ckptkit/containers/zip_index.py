"""The entries of a zip archive, from a parser that trusts no number in it.

Own code, because ``zipfile`` forgives what hostile files live on (names that differ, entries that
overlap, prepended data), and takes a second for 100,000 entries.
"""

from __future__ import annotations

import re
from struct import Struct
from struct import error as StructError  # noqa: N812 - said as what it means here
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.zip_end import find_directory
from ckptkit.errors import (
    CkptkitError,
    CorruptFileError,
    LimitExceededError,
    UnsafePathError,
)
from ckptkit.types import Limits, Notice

STORED, DEFLATED = 0, 8
LOCAL_MARK = b"PK\x03\x04"
LOCAL_NBYTES = 30
_CENTRAL = Struct("<4s6H3I5H2I")
_CENTRAL_NBYTES = 46

FLAG_DESCRIPTOR, FLAG_UTF8 = 0x8, 0x800
_DEFLATE_LEVEL = 0x6
_KNOWN_FLAGS = FLAG_DESCRIPTOR | FLAG_UTF8 | _DEFLATE_LEVEL
_FREE_INFLATED_NBYTES = 256 << 20  # any archive may grow by this much: zeros deflate well
_MAX_GAP_NBYTES = 0xFFFF + 24  # the longest local extra field, and a 64-bit data descriptor
_ZIP64_TAG, _UNICODE_PATH_TAG = 0x0001, 0x7075
_UNICODE_PATH_TAG_BYTES = _UNICODE_PATH_TAG.to_bytes(2, "little")
_UNIX, _LINK_MODE = 3, 0xA

# One search over all names at once, a NUL between them: components "..", ".", "" (but for the end
# of a folder's name), absolute and drive paths, backslashes and control characters.
_BAD_NAME = re.compile(
    rb"(?:^|[\x00/])(?:\.\.?(?=[\x00/]|$)|/|(?=\x00|$))|(?:^|\x00)[A-Za-z]:[/\\]|\\|[\x01-\x1f\x7f]"
)


class ZipEntry(NamedTuple):
    """One entry, as the central directory has it; ``room`` is where its neighbour starts."""

    name: str
    raw_name: bytes
    header: int
    csize: int
    usize: int
    crc: int
    method: int
    flags: int
    room: int


class ZipIndex(NamedTuple):
    """Every entry of an archive by name, in the order of the file, and what was odd."""

    file: FileBytes
    entries: dict[str, ZipEntry]
    notices: tuple[Notice, ...]


def read_zip_index(file: FileBytes, limits: Limits) -> ZipIndex:
    """Parse and verify the directory of an archive; no entry is read.

    Raises: TruncatedFileError, CorruptFileError, UnsafePathError, LimitExceededError.
    """
    directory = find_directory(file, limits)
    data = file.read(directory.start, directory.stop - directory.start)
    rows = _parse_rows(file, data, directory.n_entries)
    _check_names(file, [row[0] for row in rows])
    entries, notices = _place(file, rows, directory.start)
    _check_inflation(file, entries, limits)
    return ZipIndex(file, entries, directory.notices + notices)


_Row = tuple[bytes, int, int, int, int, int, int]  # name, header, csize, usize, crc, method, flags


def _parse_rows(file: FileBytes, data: bytes, count: int) -> list[_Row]:
    rows: list[_Row] = []
    unpack, position, end = _CENTRAL.unpack_from, 0, len(data)
    try:
        for _ in range(count):
            (
                mark, made_by, _needed, flags, method, _time, _date, crc, csize, usize,
                name_nbytes, extra_nbytes, comment_nbytes, disk, _internal, mode, header,
            ) = unpack(data, position)  # fmt: skip
            name_start = position + _CENTRAL_NBYTES
            extra_start = name_start + name_nbytes
            position = extra_start + extra_nbytes + comment_nbytes
            if mark != b"PK\x01\x02" or position > end:
                raise _damaged(file, f"entry {len(rows)} of the directory is none")
            name = data[name_start:extra_start]
            if csize == 0xFFFFFFFF or usize == 0xFFFFFFFF or header == 0xFFFFFFFF:
                extra = data[extra_start : extra_start + extra_nbytes]
                usize, csize, header = widened(file, extra, (usize, csize, header))
            if flags & ~_KNOWN_FLAGS or disk or method not in (STORED, DEFLATED):
                raise _unsupported(file, name, flags, method)
            if method == STORED and csize != usize:
                raise _damaged(file, f"{_shown(name)} is stored, but {csize} bytes are {usize}")
            if made_by >> 8 == _UNIX and mode >> 28 == _LINK_MODE:
                raise UnsafePathError(file.where, f"the entry {_shown(name)} is a symbolic link")
            if extra_nbytes and _UNICODE_PATH_TAG_BYTES in data[extra_start:position]:
                extra = data[extra_start : extra_start + extra_nbytes]
                _check_other_name(file, extra, name)
            rows.append((name, header, csize, usize, crc, method, flags))
    except StructError as exc:
        raise _damaged(file, "the directory ends inside an entry") from exc
    if position != end:
        raise _damaged(file, f"{end - position} bytes follow the last entry of the directory")
    return rows


def widened(file: FileBytes, extra: bytes, values: tuple[int, ...]) -> list[int]:
    """Replace each 0xFFFFFFFF of ``values`` by its 64 bits in the zip64 extra field.

    Raises: CorruptFileError if the field is missing, short or twice there.
    """
    fields = extra_fields(extra, _ZIP64_TAG)
    wide: list[int] = []
    rest = fields[0] if len(fields) == 1 else b""
    for value in values:
        if value != 0xFFFFFFFF:
            wide.append(value)
            continue
        if len(rest) < 8:
            raise _damaged(file, "a 64-bit size is announced, but not there")
        wide.append(int.from_bytes(rest[:8], "little"))
        rest = rest[8:]
    return wide


def extra_fields(extra: bytes, wanted: int) -> list[bytes]:
    """The contents of the fields with the tag ``wanted`` in an extra record."""
    fields: list[bytes] = []
    position = 0
    while position + 4 <= len(extra):
        tag = int.from_bytes(extra[position : position + 2], "little")
        nbytes = int.from_bytes(extra[position + 2 : position + 4], "little")
        if tag == wanted:
            fields.append(extra[position + 4 : position + 4 + nbytes])
        position += 4 + nbytes
    return fields


def _check_other_name(file: FileBytes, extra: bytes, name: bytes) -> None:
    """Refuse an entry that some readers would call by another name (Info-ZIP Unicode Path)."""
    for field in extra_fields(extra, _UNICODE_PATH_TAG):
        if field[5:] != name:
            raise UnsafePathError(
                file.where, f"the entry {_shown(name)} has a second name, {_shown(field[5:])}"
            )


def _check_names(file: FileBytes, names: list[bytes]) -> None:
    if not names:
        return
    if b"" in names or any(b"\x00" in name for name in names):
        raise UnsafePathError(file.where, "an entry's name is empty or holds a NUL")
    joined = b"\x00".join(name.removesuffix(b"/") for name in names)
    bad = _BAD_NAME.search(joined)
    if bad is not None:
        place = joined.count(
            b"\x00", 0, bad.start() + 1 if bad.group()[:1] == b"\x00" else bad.start()
        )
        raise UnsafePathError(
            file.where, f"the entry name {_shown(names[place])} leaves the archive or hides",
            "plain relative names", "do not unpack this file",
        )  # fmt: skip
    # torch looks names up without regard to ASCII case, so these would be one and the same.
    folded = joined.lower().split(b"\x00")
    if len(set(folded)) != len(names):
        seen: set[bytes] = set()
        twice = next(name for name in folded if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _damaged(file, f"two entries are called {_shown(twice)}")


def _place(
    file: FileBytes, rows: list[_Row], directory_start: int
) -> tuple[dict[str, ZipEntry], tuple[Notice, ...]]:
    """Give every entry the room up to its neighbour; entries that share bytes are refused."""
    made: list[ZipEntry] = []
    stop, hidden = directory_start, 0
    order = sorted(range(len(rows)), key=[row[1] for row in rows].__getitem__)
    for i in reversed(order):
        name, header, csize, usize, crc, method, flags = rows[i]
        gap = stop - (header + LOCAL_NBYTES + len(name) + csize)
        if gap < 0:
            raise _damaged(file, f"{_shown(name)} overlaps what comes after it")
        if gap > _MAX_GAP_NBYTES:
            hidden += gap
        text = _decoded(file, name, flags)
        made.append(ZipEntry(text, name, header, csize, usize, crc, method, flags, stop))
        stop = header
    made.reverse()
    entries = {entry.name: entry for entry in made}
    if len(entries) != len(rows):
        raise _damaged(file, "two names are the same once they are decoded")
    hidden += stop  # what comes before the first entry
    if not hidden:
        return entries, ()
    message = f"{hidden} bytes belong to no entry of the archive"
    return entries, (Notice("danger", "hidden-bytes", message, str(file.where)),)


def _decoded(file: FileBytes, raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        if flags & FLAG_UTF8:
            raise _damaged(file, f"the name {_shown(raw)} is not UTF-8") from exc
        return raw.decode("cp437")


def _check_inflation(file: FileBytes, entries: dict[str, ZipEntry], limits: Limits) -> None:
    deflated = [entry for entry in entries.values() if entry.method == DEFLATED]
    total = sum(entry.usize for entry in deflated)
    allowed = _FREE_INFLATED_NBYTES + limits.max_inflate_ratio * sum(e.csize for e in deflated)
    if total > allowed:
        raise LimitExceededError(
            file.where, f"the archive would inflate to {total} bytes", f"at most {allowed}",
            "raise --limit max_inflate_ratio=N if you trust the file",
        )  # fmt: skip


def _shown(name: bytes) -> str:
    return ascii(name[:200].decode("utf-8", "replace"))


def _unsupported(file: FileBytes, name: bytes, flags: int, method: int) -> CkptkitError:
    what = "is encrypted" if flags & 0x2041 else f"has flags {flags:#x} and method {method}"
    return CorruptFileError(
        file.where, f"the entry {_shown(name)} {what}", "stored or deflated entries",
        "unpack it with the program that made it",
    )  # fmt: skip


def _damaged(file: FileBytes, seen: str) -> CorruptFileError:
    return CorruptFileError(
        file.where, f"the zip archive is damaged: {seen}",
        advice="the file is damaged or was made to mislead: fetch it again",
    )  # fmt: skip
