"""Files that travel beside the tensors: a config.json, a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import MemoryBytes
from ckptkit.containers.lazy_file import LazyFile
from ckptkit.errors import NotFoundError
from ckptkit.nodes import BlobNode
from ckptkit.schema.validate import check_file_name
from ckptkit.storage.linking import identity_of

SideFile = bytes | str | PathLike[str]


def side_blobs(side_files: Mapping[str, SideFile]) -> list[BlobNode]:
    """Return a blob for each file: its bytes, or those of the file at a path.

    Raises: UnsafePathError for a name that the format forbids; NotFoundError, AccessDeniedError.
    """
    return [_blob(name, content) for name, content in side_files.items()]


def _blob(name: str, content: SideFile) -> BlobNode:
    check_file_name(name, "side_files")
    if isinstance(content, bytes):
        return BlobNode(name, len(content), MemoryBytes(content))
    path = FilePath(content)
    identity = identity_of(path.resolve())
    if identity is None:
        raise NotFoundError(path, "is no file", "bytes, or the path of a regular file")
    return BlobNode(name, identity.nbytes, LazyFile(path.resolve(), identity.nbytes))
