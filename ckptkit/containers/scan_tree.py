"""Scan every file of a folder, one by one: none hides another, and none is passed by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path as FilePath
from typing import NamedTuple

from ckptkit.containers.dcp_scan import SHARD_SUFFIX, ShardScanner, is_metadata_name
from ckptkit.containers.inner_scan import file_containers, scan_file
from ckptkit.containers.part_scan import NOT_SCANNED
from ckptkit.containers.scan_walk import FoundFile, walk_all
from ckptkit.errors import CkptkitError, ContainerError, CorruptFileError, InputError
from ckptkit.protocols import Container, StreamScan
from ckptkit.types import Limits, Notice

Progress = Callable[[int, int], None]  # bytes more, bytes of all


class FileScan(NamedTuple):
    """How the scan of one file went; ``scans`` are the pickles that were met.

    ``refusal`` is why it was not opened, ``error`` why it was not read to its end.
    """

    name: str
    scans: tuple[StreamScan, ...] = ()
    refusal: CkptkitError | None = None
    error: CkptkitError | None = None


def scan_tree(
    folder: FilePath,
    limits: Limits,
    containers: Sequence[Container] | None = None,
    progress: Progress | None = None,
) -> Iterator[FileScan]:
    """Scan the files below ``folder``; whatever is wrong with one, the others follow.

    ``containers`` open single files (default: ours). Raises: AccessDeniedError for the folder.
    """
    opened_by = file_containers() if containers is None else containers
    files = list(walk_all(folder, limits))
    total = sum(file.nbytes for file in files)
    shards: dict[FilePath, ShardScanner] = {}
    for file in files:
        yield _scan_one(file, limits, opened_by, shards)
        if progress is not None:
            progress(file.nbytes, total)
    yield from _missing(files, shards)


def _missing(
    files: Sequence[FoundFile], shards: dict[FilePath, ShardScanner]
) -> Iterator[FileScan]:
    """Shards that a ``.metadata`` names and that do not lie beside it."""
    present = {(file.path.parent, file.path.name) for file in files}
    for parent, scanner in shards.items():
        for name in sorted(scanner.names):
            if (parent, name) not in present:
                shown = ascii(name)[1:-1]
                error = CorruptFileError(parent, f"{shown} is named, but does not lie here")
                yield FileScan(shown, error=error)


def tree_streams(folder: FilePath, limits: Limits) -> Iterator[StreamScan]:
    """The streams of ``scan_tree``, with what went wrong among them."""
    for file in scan_tree(folder, limits):
        yield from file.scans
        for error in (file.error, file.refusal):
            if isinstance(error, ContainerError):
                yield StreamScan(file.name, (), (), error)
            elif error is not None:
                notice = Notice("warning", NOT_SCANNED, error.seen, file.name)
                yield StreamScan(file.name, (), (notice,))


def _scan_one(
    file: FoundFile,
    limits: Limits,
    containers: Sequence[Container],
    shards: dict[FilePath, ShardScanner],
) -> FileScan:
    if file.refusal is not None:
        return FileScan(file.name, refusal=file.refusal)
    if not file.nbytes:
        return FileScan(file.name)
    found: list[StreamScan] = []
    try:
        found.extend(_streams(file, limits, containers, shards))
    except InputError as exc:  # it could not be opened, or is gone meanwhile
        return FileScan(file.name, tuple(found), refusal=exc)
    except CkptkitError as exc:
        return FileScan(file.name, tuple(found), error=exc)
    return FileScan(file.name, tuple(found))


def _streams(
    file: FoundFile,
    limits: Limits,
    containers: Sequence[Container],
    shards: dict[FilePath, ShardScanner],
) -> Iterator[StreamScan]:
    parent, name = file.path.parent, file.path.name
    is_shard = name.endswith(SHARD_SUFFIX)
    if (is_shard or is_metadata_name(name)) and parent not in shards:
        shards[parent] = ShardScanner(parent, limits)
    if is_shard or (parent in shards and shards[parent].holds(file.path)):
        return shards[parent].scan(file.path, file.name)
    return scan_file(file.path, file.name, limits, containers)
