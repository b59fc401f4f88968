"""The members of a tar archive of anything, met in order, for those who only look inside.

``tar_index`` refuses what torch never wrote. Here long names, links and extended headers pass,
because an archive of checkpoints has them, and nothing is ever unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.part_scan import scan_part
from ckptkit.containers.pickle_scan import scan_tail
from ckptkit.containers.tar_index import BLOCK_NBYTES, TarMember, is_tar_header
from ckptkit.containers.tar_index import _number as number
from ckptkit.errors import ContainerError, CorruptFileError, LimitExceededError, TruncatedFileError
from ckptkit.protocols import StreamScan
from ckptkit.types import Limits

_PAX = b"x"
_LONG_NAMES = b"LK"
_EMPTY_KINDS = b"123456"  # links, devices, folders
_SIZE = re.compile(rb"\d{1,4} size=(\d{1,19})\n")
_MAX_RECORDS_NBYTES = 1 << 20


def scan_tar(
    file: FileBytes, limits: Limits, prefix: str = "", nesting: int = 0
) -> Iterator[StreamScan]:
    """Follow the pickles of every member, whatever holds them; never raises for what is broken."""
    position = 0
    try:
        for member in walk_tar(file, limits):
            position = member.stop
            part = file.part(member.start, member.stop, f"{file.where}: {member.name}")
            yield from scan_part(part, prefix + member.name, limits, nesting + 1)
    except ContainerError as exc:
        yield StreamScan(f"{prefix}archive", (), (), exc)
        yield from scan_tail(file, limits, position)


def has_member(file: FileBytes, limits: Limits, names: Collection[str]) -> bool:
    """Whether one of ``names`` is a member; if the archive is broken it might be."""
    try:
        return any(member.name in names for member in walk_tar(file, limits))
    except ContainerError:
        return True


def walk_tar(file: FileBytes, limits: Limits) -> Iterator[TarMember]:
    """The members with content, in order; names may repeat or lead anywhere.

    Raises: CorruptFileError, TruncatedFileError, LimitExceededError.
    Source: POSIX.1-2001 pax; GNU tar, "Basic Tar Format".
    """
    position = count = 0
    forced: int | None = None  # a size that an extended header gave to the next member
    while position + BLOCK_NBYTES <= file.nbytes:
        block = file.read(position, BLOCK_NBYTES)
        if not any(block):
            position += BLOCK_NBYTES  # archives that were joined go on behind the end mark
            continue
        nbytes = _size(file, block, position) if forced is None else forced
        start = position + BLOCK_NBYTES
        if start + nbytes > file.nbytes:
            seen = f"the member at {position} is cut short"
            raise TruncatedFileError(file.where, seen, advice="fetch the archive again")
        count += 1
        if count > limits.max_entries:
            raise LimitExceededError(file.where, "too many members", f"{limits.max_entries}")
        kind = block[156:157]
        forced = _forced_size(file, start, nbytes) if kind == _PAX else None
        if kind != _PAX and kind not in _LONG_NAMES:
            if kind in _EMPTY_KINDS:
                nbytes = 0  # whatever its size says: no reader skips anything for it
            elif kind != b"g":
                yield TarMember(_shown_name(block), start, start + nbytes)
        position = start + -(-nbytes // BLOCK_NBYTES) * BLOCK_NBYTES


def _size(file: FileBytes, block: bytes, position: int) -> int:
    try:
        if is_tar_header(block):
            return number(block[124:136])
    except ValueError:
        pass
    raise CorruptFileError(file.where, f"the block at {position} is no tar header")


def _forced_size(file: FileBytes, start: int, nbytes: int) -> int | None:
    if nbytes > _MAX_RECORDS_NBYTES:
        raise LimitExceededError(file.where, f"an extended header of {nbytes} bytes", "1 MiB")
    found = _SIZE.findall(file.read(start, nbytes))
    return int(found[-1]) if found else None


def _shown_name(block: bytes) -> str:
    name = block[:100].split(b"\x00")[0].decode("utf-8", "backslashreplace")
    return name.removeprefix("./") or "(no name)"
