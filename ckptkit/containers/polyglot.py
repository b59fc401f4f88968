"""Files that are two things at once: said aloud, because two readers would see two contents."""

from __future__ import annotations

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.tar_index import is_tar_header
from ckptkit.containers.zip_end import find_shifted_archive
from ckptkit.errors import ContainerError
from ckptkit.types import Notice

_HEAD_NBYTES = 512
_MAX_SAFETENSORS_HEADER_NBYTES = 100_000_000


def other_readings(file: FileBytes, own: str) -> list[str]:
    """What else than ``own`` ("zip", "tar", "pickle", "safetensors") the bytes could be read as.

    Raises: nothing; bytes that cannot be read are no second reading.
    """
    try:
        head = file.head(_HEAD_NBYTES)
        found = []
        if own != "zip" and archive_start(file) is not None:
            found.append("zip")
        if own != "tar" and is_tar_header(head):
            found.append("tar")
        if own != "safetensors" and _is_safetensors_head(head, file.nbytes):
            found.append("safetensors")
    except ContainerError:
        return []
    return found


def polyglot_notices(file: FileBytes, own: str) -> tuple[Notice, ...]:
    """One notice of level "danger" for every other reading."""
    return tuple(
        Notice(
            "danger", "polyglot",
            f"this {own} file is a {other} file as well: another reader would see other content",
            str(file.where),
        )
        for other in other_readings(file, own)
    )  # fmt: skip


def archive_start(file: FileBytes) -> int | None:
    """Where a zip archive begins whose end record lies at the tail of the file, if any."""
    return find_shifted_archive(file)


def _is_safetensors_head(head: bytes, nbytes: int) -> bool:
    header_nbytes = int.from_bytes(head[:8], "little")
    limit = min(_MAX_SAFETENSORS_HEADER_NBYTES, nbytes - 8)
    return len(head) > 8 and head[8:9] == b"{" and 2 <= header_nbytes <= limit
