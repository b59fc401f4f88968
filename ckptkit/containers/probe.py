"""What is known of a path before anybody opens it, and who opens it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes, raise_os_error, special_file_error
from ckptkit.errors import EmptyFileError, NoCheckpointError, NotFoundError
from ckptkit.protocols import Container, Probe

HEAD_NBYTES = 4096


def make_probe(path: FilePath) -> Probe:
    """Look at a path: a file's first bytes, or a folder's names.

    Nothing blocks: pipes, sockets and devices are refused unopened.
    Raises: NotFoundError, AccessDeniedError, EmptyFileError, UnknownFormatError.
    """
    path = FilePath(path)
    try:
        status = os.stat(path)  # noqa: PTH116 - one spelling for every error below
    except OSError as exc:
        if isinstance(exc, FileNotFoundError) and _is_link(path):
            raise NotFoundError(
                path, "is a link to a file that does not exist", "an existing file or folder"
            ) from exc
        raise_os_error(path, exc)
    except ValueError as exc:  # a NUL in the path
        raise NotFoundError(ascii(str(path)), f"is no possible path ({exc})") from exc
    if stat.S_ISDIR(status.st_mode):
        return _folder_probe(path)
    refusal = special_file_error(path, status.st_mode)
    if refusal is not None:
        raise refusal
    with FileBytes(path) as file:
        if not file.nbytes:
            raise EmptyFileError(
                path, "the file is empty (0 bytes)", "a checkpoint",
                "the save or the download was cut off before its first byte: fetch it again",
            )  # fmt: skip
        return Probe(path=path, is_dir=False, nbytes=file.nbytes, head=file.head(HEAD_NBYTES))


def choose(probe: Probe, containers: Iterable[Container]) -> Container:
    """The container that opens what was probed: by content, lowest rank first.

    Raises: UnknownFormatError, or the error that names what the file is instead.
    """
    for container in sorted(containers, key=lambda one: (one.rank, one.name)):
        if container.matches(probe):
            return container
    if probe.is_dir:
        raise NoCheckpointError(
            probe.path, f"the folder holds no checkpoint ({len(probe.names)} names in it)",
            "a sealed checkpoint, or the folder of a framework",
            "name the folder or the file of one checkpoint; `ckptkit list` searches folders",
        )  # fmt: skip
    from ckptkit.containers.foreign import foreign_error

    raise foreign_error(probe)


def _folder_probe(path: FilePath) -> Probe:
    try:
        names = tuple(sorted(os.listdir(path)))  # noqa: PTH208 - names, no Path objects
    except OSError as exc:
        raise_os_error(path, exc)
    return Probe(path=path, is_dir=True, nbytes=0, names=names)


def _is_link(path: FilePath) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False
