"""A folder of ours without a manifest: a save that died, or one that lost it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.folder_scan import FolderFile, scan_folder
from ckptkit.containers.parts import Parts
from ckptkit.containers.salvage import Findings, Gone
from ckptkit.containers.salvage_safetensors import salvage_safetensors
from ckptkit.containers.sharded import INDEX_SUFFIX
from ckptkit.containers.v2_folder import DATA_SUFFIX
from ckptkit.errors import ContainerError, LimitExceededError, UnfinishedError
from ckptkit.nodes import BlobNode, MapNode, TensorNode
from ckptkit.protocols import Opened
from ckptkit.types import MANIFEST_NAME, SEALED_CONTAINER, Limits
from ckptkit.verbs.open import Checkpoint
from ckptkit.verbs.recovering.found import Found

# What stands behind the section in the names of files that share one.
_PART = re.compile(r"-(?:frozen|trainable|\d+-of-\d+)$")
_HOLE = "lies in a hole of its file: nobody wrote it"
_ZEROS = "is all zeros in a file that was not written to its end"


def open_unsealed(path: FilePath, limits: Limits, findings: Findings) -> Found:
    """Take the data files for what their own headers say; the trees of the sections are gone.

    Each section is a flat map of the names in its files. A save allocates its files whole before
    it writes, so what was never written is told by the holes.
    Raises: UnfinishedError if no file has a readable header.
    """
    listing = scan_folder(path, limits, refused={})
    parts = Parts()
    document = MapNode()
    try:
        for file in listing.files:
            if file.name.endswith(DATA_SUFFIX) and "/" not in file.name:
                _add(document, file, parts, limits, findings)
        if not parts.files:
            raise UnfinishedError(  # noqa: TRY301
                path, "no file in it has a header that can be read", "a data file of a save",
                "use the checkpoint before it",
            )  # fmt: skip
    except BaseException:
        parts.close()
        raise
    findings.guess(
        f"there is no {MANIFEST_NAME}: names are those of their headers, no digest vouches "
        "for a byte, and what was no tensor (settings, progress, parameter groups) is gone"
    )
    findings.gone.append(Gone(MANIFEST_NAME, None, "", "it is missing or cannot be read"))
    opened = Opened(
        path=path, container=SEALED_CONTAINER, nbytes=sum(file.nbytes for file in listing.files),
        root=document, notices=listing.notices, close=parts.close,
    )  # fmt: skip
    return Found(
        checkpoint=Checkpoint(path=path, opened=opened, schema_version=2, document=document),
        side_files=tuple(_side_files(listing.files)),
    )


def _add(
    document: MapNode, file: FolderFile, parts: Parts, limits: Limits, findings: Findings
) -> None:
    try:
        opened = parts.add(file.name, salvage_safetensors(file.path, limits, findings))
    except LimitExceededError:
        raise
    except ContainerError as exc:
        findings.gone.append(Gone(file.name, None, "", exc.seen))
        return
    _lose_holes(file, opened, findings)
    name = _PART.sub("", file.name.removesuffix(DATA_SUFFIX))
    section = document.get(name)
    if section is None:
        section = document[name] = MapNode()
    for key, tensor in opened.root.items():
        if key in section:
            findings.gone.append(Gone(f"{name}/{key}", None, "", f"it is in {file.name}, too"))
        else:
            section[key] = tensor
    for alias, stored in opened.properties["metadata"].items():
        if stored in opened.root and alias not in section:
            section[alias] = opened.root[stored]  # a tie, as docs/format.md has it


def _lose_holes(file: FolderFile, opened: Opened, findings: Findings) -> None:
    """Mark what was never written: what touches a hole, and zeros beside one."""
    holes = list(_holes(file))
    if not holes:
        findings.check(opened.root)
        return
    for name, tensor in opened.root.items():
        span = _span(tensor)
        if span is None or findings.why_lost(tensor):
            continue
        if any(start < span[1] and span[0] < stop for start, stop in holes):
            findings.lose(tensor.storage, _HOLE)
        elif _is_zero(tensor):
            findings.lose(tensor.storage, f"{name!a:.100} {_ZEROS}")


def _span(tensor: TensorNode) -> tuple[int, int] | None:
    """Where the bytes of a tensor lie in its file; None if it has none."""
    source = tensor.storage.source
    return (source.base, source.base + source.nbytes) if isinstance(source, FileBytes) else None


def _is_zero(tensor: TensorNode) -> bool:
    source = tensor.storage.source
    if source is None:
        return False
    for start in range(0, source.nbytes, 1 << 20):
        out = bytearray(min(1 << 20, source.nbytes - start))
        source.read_into(start, memoryview(out))
        if any(out):
            return False
    return True


def _holes(file: FolderFile) -> Iterator[tuple[int, int]]:
    """The runs of a file that no block of the disk holds; none where the system cannot tell."""
    fd = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        position = 0
        while position < file.nbytes:
            start = os.lseek(fd, position, os.SEEK_HOLE)
            if start >= file.nbytes:
                return
            try:
                position = os.lseek(fd, start, os.SEEK_DATA)
            except OSError as exc:
                if exc.errno != errno.ENXIO:
                    return
                position = file.nbytes
            yield start, position
    except OSError:
        return
    finally:
        os.close(fd)


def _side_files(files: tuple[FolderFile, ...]) -> Iterator[BlobNode]:
    from ckptkit.containers.lazy_file import LazyFile

    for file in files:
        if not file.name.endswith((DATA_SUFFIX, INDEX_SUFFIX)) and file.name != MANIFEST_NAME:
            yield BlobNode(file.name, file.nbytes, LazyFile(file.path, file.nbytes))
