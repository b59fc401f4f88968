"""The members of a tar archive: a small parser that accepts plain files only."""

from __future__ import annotations

import re
from typing import NamedTuple

from ckptkit.containers.bytesource import FileBytes
from ckptkit.errors import CorruptFileError, LimitExceededError, UnsafePathError
from ckptkit.types import Limits

BLOCK_NBYTES = 512
_PLAIN_TYPES = (b"0", b"\x00", b"7")  # 7: contiguous, on systems of long ago
_FOLDER = b"5"
# Records about the next member, or all: old torch files have some, for fractions of seconds.
_RECORD_TYPES = (b"x", b"g")
_HARMLESS_RECORDS = re.compile(
    rb"(?:\d{1,4} (?:mtime|atime|ctime|uid|gid|uname|gname|comment)=[^\n]{0,500}\n)*\x00*"
)
_MAX_RECORDS_NBYTES = 4096
_KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a character device",
    b"4": "a block device", b"6": "a named pipe",
}  # fmt: skip


class TarMember(NamedTuple):
    """A plain file of the archive: its bytes lie at ``start:stop``."""

    name: str
    start: int
    stop: int


def is_tar_header(block: bytes) -> bool:
    """Say whether a block is a tar header with a true checksum (ustar, GNU or the oldest)."""
    if len(block) < BLOCK_NBYTES or not block[0]:
        return False
    try:
        stored = _number(block[148:156])
    except ValueError:
        return False
    blanked = block[:148] + b" " * 8 + block[156:BLOCK_NBYTES]
    return stored == sum(blanked) and (block[257:262] == b"ustar" or block[156:157] in b"\x000")


def read_tar_index(file: FileBytes, limits: Limits) -> dict[str, TarMember]:
    """The plain files of a tar archive by name.

    Raises: UnsafePathError for links, devices and names that leave the archive;
    CorruptFileError for headers that are none and names that come twice; LimitExceededError.
    Source: POSIX.1-1988 ustar; GNU base-256 numbers.
    """
    members: dict[str, TarMember] = {}
    position = count = 0
    while position + BLOCK_NBYTES <= file.nbytes:
        block = file.read(position, BLOCK_NBYTES)
        if not any(block):
            break  # the end mark
        member = _parse_header(file, block, position)
        count += 1
        if count > limits.max_entries:
            raise LimitExceededError(file.where, "too many members", f"{limits.max_entries}")
        if member is not None:
            if member.name in members:
                raise _damaged(file, f"two members are called {member.name[:100]!a}")
            members[member.name] = member
        nbytes = _number(block[124:136])
        position += BLOCK_NBYTES + -(-nbytes // BLOCK_NBYTES) * BLOCK_NBYTES
    return members


def _parse_header(file: FileBytes, block: bytes, position: int) -> TarMember | None:
    """The plain file that a header begins; None for a folder."""
    if not is_tar_header(block):
        raise _damaged(file, f"the block at {position} is no header")
    try:
        nbytes = _number(block[124:136])
    except ValueError as exc:
        raise _damaged(file, f"the header at {position} has no size") from exc
    name = _name(file, block)
    kind = block[156:157]
    if kind in _KINDS:
        raise UnsafePathError(
            file.where, f"the member {name[:100]!a} is {_KINDS[kind]}", "plain files",
            "do not unpack this file",
        )  # fmt: skip
    start = position + BLOCK_NBYTES
    if start + nbytes > file.nbytes:
        raise _damaged(file, f"the member {name[:100]!a} is cut short")
    if kind == _FOLDER:
        return None
    if kind in _RECORD_TYPES:
        records = file.read(start, min(nbytes, _MAX_RECORDS_NBYTES))
        if nbytes > _MAX_RECORDS_NBYTES or not _HARMLESS_RECORDS.fullmatch(records):
            raise _damaged(file, f"the extended header at {position} renames or resizes a member")
        return None
    if kind not in _PLAIN_TYPES:
        raise _damaged(file, f"the member {name[:100]!a} is of type {kind!a}, unknown to torch")
    return TarMember(name, start, start + nbytes)


def _name(file: FileBytes, block: bytes) -> str:
    name = block[:100].split(b"\x00")[0]
    prefix = block[345:500].split(b"\x00")[0] if block[257:263] == b"ustar\x00" else b""
    raw = prefix + b"/" + name if prefix else name
    parts = raw.removesuffix(b"/").split(b"/")
    if b".." in parts or b"" in parts or any(byte < 32 or byte in b"\\\x7f" for byte in raw):
        shown = ascii(raw[:100].decode("utf-8", "replace"))
        raise UnsafePathError(
            file.where, f"the member name {shown} leaves the archive or hides",
            "plain relative names", "do not unpack this file",
        )  # fmt: skip
    text = raw.decode("utf-8", "backslashreplace")
    return text.removeprefix("./")


def _number(field: bytes) -> int:
    """An octal number, or GNU's base 256. Raises: ValueError."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\x00 ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise ValueError("not octal")
    return int(digits, 8)


def _damaged(file: FileBytes, seen: str) -> CorruptFileError:
    return CorruptFileError(
        file.where, f"the tar archive is damaged: {seen}",
        advice="the file is damaged or was made to mislead",
    )  # fmt: skip
