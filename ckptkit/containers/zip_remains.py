"""Local headers of a zip archive, found by their mark: what is left when the directory is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.zip_index import DEFLATED, LOCAL_MARK, LOCAL_NBYTES, STORED, widened
from ckptkit.errors import CkptkitError, LimitExceededError
from ckptkit.types import Limits

_LOCAL = Struct("<4s5H3I2H")
_STEP_NBYTES = 4 << 20
_MAX_NAME_NBYTES = 1024  # torch's names are a root and a number
_NAME = re.compile(r"[^\x00-\x1f\x7f\\]+")
_WIDE = 0xFFFFFFFF


class Remain(NamedTuple):
    """What looks like a local header: nothing vouches for it but what it leads to.

    Units: bytes; ``start`` is where its data begin. ``csize`` and ``usize`` are 0 where the header
    leaves them to a descriptor behind the data.
    """

    name: str
    header: int
    start: int
    method: int
    crc: int
    csize: int
    usize: int


def find_remains(file: FileBytes, limits: Limits) -> list[Remain]:
    """Every plausible local header, in the order of the file.

    Raises: LimitExceededError for more marks than an archive may have entries.
    """
    found: list[Remain] = []
    for count, place in enumerate(_marks(file)):
        if count >= limits.max_entries:
            raise LimitExceededError(
                file.where, f"more than {count} marks of zip entries",
                f"at most {limits.max_entries}", "raise --limit max_entries=N",
            )  # fmt: skip
        remain = _remain_at(file, place)
        if remain is not None:
            found.append(remain)
    return found


def _marks(file: FileBytes) -> Iterator[int]:
    position, kept = 0, b""
    while position < file.nbytes:
        data = kept + file.read(position, min(_STEP_NBYTES, file.nbytes - position))
        base = position - len(kept)
        place = data.find(LOCAL_MARK)
        while place >= 0:
            yield base + place
            place = data.find(LOCAL_MARK, place + len(LOCAL_MARK))
        position += _STEP_NBYTES
        kept = data[-len(LOCAL_MARK) + 1 :]


def _remain_at(file: FileBytes, header: int) -> Remain | None:
    if header + LOCAL_NBYTES > file.nbytes:
        return None
    fields = _LOCAL.unpack(file.read(header, LOCAL_NBYTES))
    _, _, _, method, _, _, crc, csize, usize, name_nbytes, extra_nbytes = fields
    start = header + LOCAL_NBYTES + name_nbytes + extra_nbytes
    is_odd = method not in (STORED, DEFLATED) or not 0 < name_nbytes <= _MAX_NAME_NBYTES
    if is_odd or start > file.nbytes:
        return None
    raw = file.read(header + LOCAL_NBYTES, name_nbytes + extra_nbytes)
    try:
        name = raw[:name_nbytes].decode("utf-8")
        if _WIDE in (csize, usize):
            usize, csize = widened(file, raw[name_nbytes:], (usize, csize))
    except (UnicodeDecodeError, CkptkitError):
        return None
    if _NAME.fullmatch(name) is None:
        return None
    return Remain(name, header, start, method, crc, csize, usize)
