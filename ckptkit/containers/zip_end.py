"""Find the one directory of a zip archive from its last bytes, and believe nothing twice."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.errors import CorruptFileError, LimitExceededError, TruncatedFileError
from ckptkit.types import Limits, Notice

END_MARK = b"PK\x05\x06"
_END = Struct("<4s4H2IH")
_LOCATOR = Struct("<4sIQI")
_END64 = Struct("<4sQ2H2I4Q")
_MAX_COMMENT_NBYTES = 0xFFFF
_MIN_DIRECTORY_ENTRY_NBYTES = 46
_MAX_CANDIDATES = 64


class Directory(NamedTuple):
    """Where the central directory lies, and how many entries it promises."""

    start: int
    stop: int
    n_entries: int
    notices: tuple[Notice, ...] = ()


def find_directory(file: FileBytes, limits: Limits) -> Directory:
    """Locate the central directory of an archive that starts at byte 0.

    The last end record must be the true one: torch and every other reader take it.
    Raises: TruncatedFileError without an end record; CorruptFileError where the records
    contradict each other or the file; LimitExceededError.
    Source: APPNOTE.TXT 6.3.10, sections 4.3.14 to 4.3.16.
    """
    tail_start = max(0, file.nbytes - _MAX_COMMENT_NBYTES - _END.size)
    tail = file.read(tail_start, file.nbytes - tail_start)
    found = _positions(tail)
    if not found:
        raise TruncatedFileError(
            file.where,
            "the zip archive has no end record",
            "a directory at the end of the file",
            "the copy or the save was cut short: fetch it again, or use an older checkpoint",
        )
    directory = _directory_at(file, tail_start + found[0])
    for position in found[1:]:
        try:
            _directory_at(file, tail_start + position)
        except CorruptFileError:
            continue  # the letters of an end record in somebody's data
        raise CorruptFileError(
            file.where, "two end records each name a directory of their own", "one",
            "readers would not agree on what this file holds; do not use it",
        )  # fmt: skip
    if directory.n_entries > limits.max_entries:
        raise LimitExceededError(
            file.where, f"the archive has {directory.n_entries} entries",
            f"at most {limits.max_entries}", "raise --limit max_entries=N",
        )  # fmt: skip
    return directory


def _positions(tail: bytes) -> list[int]:
    """Where whole end records may start, the last one first."""
    found: list[int] = []
    position = tail.rfind(END_MARK)
    while position >= 0:
        if position + _END.size <= len(tail):
            found.append(position)
        position = tail.rfind(END_MARK, 0, position)
    return found


def _directory_at(file: FileBytes, position: int) -> Directory:
    """The directory that the end record at ``position`` names, if all its numbers add up."""
    fields = _END.unpack(file.read(position, _END.size))
    _, disk, directory_disk, disk_count, count, nbytes, start, comment_nbytes = fields
    stop = position
    wide = _end64(file, position)
    if wide is not None:
        record_start, *values = wide
        narrow = (disk, directory_disk, disk_count, count, nbytes, start)
        sentinels = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        for small, large, sentinel in zip(narrow, values, sentinels, strict=True):
            if small not in (large, sentinel):
                raise _contradiction(file, f"its two end records say {small} and {large}")
        disk, directory_disk, disk_count, count, nbytes, start = values
        stop = record_start
    if disk or directory_disk or disk_count != count:
        raise _contradiction(file, "it is one disk of several")
    if start + nbytes != stop:
        raise _contradiction(
            file, f"the directory is said to span bytes {start} to {start + nbytes}, not to {stop}"
        )
    if count * _MIN_DIRECTORY_ENTRY_NBYTES > nbytes:
        raise _contradiction(file, f"{count} entries cannot fit in {nbytes} bytes")
    return Directory(start, start + nbytes, count, _tail_notices(file, position, comment_nbytes))


def _end64(file: FileBytes, position: int) -> tuple[int, ...] | None:
    """Start and numbers of the zip64 end record before ``position``, if there is a locator."""
    locator_start = position - _LOCATOR.size
    if locator_start < 0:
        return None
    mark, disk, record_start, disks = _LOCATOR.unpack(file.read(locator_start, _LOCATOR.size))
    if mark != b"PK\x06\x07":
        return None
    if disk or disks > 1 or record_start + _END64.size > locator_start:
        raise _contradiction(file, "its zip64 locator points nowhere")
    record = _END64.unpack(file.read(record_start, _END64.size))
    mark, record_nbytes, _, _, *values = record
    if mark != b"PK\x06\x06" or record_start + 12 + record_nbytes != locator_start:
        raise _contradiction(file, "its zip64 end record is not where its locator says")
    return (record_start, *values)


def _tail_notices(file: FileBytes, position: int, comment_nbytes: int) -> tuple[Notice, ...]:
    after = file.nbytes - position - _END.size
    if after == comment_nbytes:
        return ()
    message = f"{after} bytes follow the end record, which announces {comment_nbytes}"
    return (Notice("warning", "trailing-bytes", message, str(file.where)),)


def _contradiction(file: FileBytes, seen: str) -> CorruptFileError:
    return CorruptFileError(
        file.where, f"the zip archive contradicts itself: {seen}",
        advice="the file is damaged or was made to mislead: fetch it again",
    )  # fmt: skip


def find_shifted_archive(file: FileBytes) -> int | None:
    """Where an archive begins that ends with this file, whatever comes before it; else None.

    Its directory must be where its end record says, counted from the archive's own start.
    """
    tail_start = max(0, file.nbytes - _MAX_COMMENT_NBYTES - _END.size)
    tail = file.read(tail_start, file.nbytes - tail_start)
    for place in _positions(tail)[:_MAX_CANDIDATES]:
        position = tail_start + place
        fields = _END.unpack(file.read(position, _END.size))
        count, nbytes, start = fields[4:7]
        for stop in (position, position - _LOCATOR.size - _END64.size):
            directory_start = stop - nbytes
            fits = count and start <= directory_start
            if fits and file.read(directory_start, 4) == b"PK\x01\x02":
                return int(directory_start - start)
    return None
