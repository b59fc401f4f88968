"""What the pickles of a torch.distributed.checkpoint folder would do: .metadata and every item."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.dcp_items import DcpItems, check_places, places_of
from ckptkit.containers.dcp_metadata import DcpMetadata, Place, interpret_metadata
from ckptkit.containers.folder_scan import inner_file, scan_folder
from ckptkit.containers.inner_scan import scan_file
from ckptkit.containers.parts import located_scan
from ckptkit.containers.pickle_scan import scan_row
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.safetensors import looks_like_safetensors
from ckptkit.containers.trace import Tracer
from ckptkit.containers.zip_index import LOCAL_MARK
from ckptkit.containers.zip_scan import scan_archive
from ckptkit.errors import CkptkitError, ContainerError, CorruptFileError, LimitExceededError
from ckptkit.protocols import StreamScan
from ckptkit.types import Limits

METADATA = ".metadata"
SHARD_SUFFIX = ".distcp"
_RANK_METADATA = re.compile(r"__\d+\.metadata")  # torch: use_collectives=False
_END_MARK, _END_NBYTES = b"PK\x05\x06", 22
_BLOCK_NBYTES = 1 << 20


def read_metadata(folder: FilePath, limits: Limits, tracer: Tracer) -> DcpMetadata:
    """Read ``.metadata`` of a folder as data; ``tracer`` learns what its pickle names.

    Raises: ContainerError.
    """
    path = _metadata_file(folder)
    with FileBytes(path) as file:
        if file.nbytes > limits.max_pickle_nbytes:
            expected = f"at most {limits.max_pickle_nbytes} (max_pickle_nbytes)"
            raise LimitExceededError(file.where, f"has {file.nbytes} bytes", expected)
        data = file.read(0, file.nbytes)
    result = read_pickle(data, stream=METADATA, tracer=tracer, limits=limits)
    metadata = interpret_metadata(result.value, str(path), limits)
    check_places(metadata, str(path))
    return metadata


def is_metadata_name(name: str) -> bool:
    """Say whether a file is the metadata of all ranks, or of one rank that saved alone."""
    return name == METADATA or _RANK_METADATA.fullmatch(name) is not None


def _metadata_file(folder: FilePath) -> FilePath:
    """Find the metadata: of all ranks, or of the only one that wrote any."""
    alone = [path.name for path in folder.iterdir() if _RANK_METADATA.fullmatch(path.name)]
    if (folder / METADATA).exists() or not alone:
        return inner_file(folder, METADATA)
    if len(alone) > 1:
        seen = f"{len(alone)} ranks saved alone, each with a .metadata of its own"
        raise CorruptFileError(folder, seen, "one save of all ranks", "load it with torch")
    return inner_file(folder, alone[0])


def scan_dcp_folder(folder: FilePath, name: str, limits: Limits) -> Iterator[StreamScan]:
    """Scan a folder; ``name`` is what it is called inside a larger one, or "".

    Raises: UnsafePathError for a link or a device in it.
    """
    prefix = f"{name}/" if name else ""
    for file in scan_folder(folder, limits).files:
        if not file.name.endswith(SHARD_SUFFIX):
            yield from scan_file(file.path, f"{prefix}{file.name}", limits)
    items = DcpItems(folder, limits)
    try:
        for place, item in _places(folder, limits):
            stream = f"{prefix}{place.file}: {item}"
            try:
                window = items.window(place, item)
            except ContainerError as exc:
                yield StreamScan(stream, (), (), exc)
            else:
                yield from _scan_item(window, stream, limits)
    finally:
        items.close()


def _places(folder: FilePath, limits: Limits) -> Iterator[tuple[Place, str]]:
    """The items that the metadata names; if it cannot be read, all that the shards hold."""
    try:
        yield from list(places_of(read_metadata(folder, limits, Tracer(METADATA))))
    except CkptkitError:  # the scan of .metadata itself says how far it could be followed
        for path in sorted(folder.glob(f"*{SHARD_SUFFIX}")):
            for number, place in enumerate(_zips_in(path)):
                yield place, f"item {number}"


def _zips_in(path: FilePath) -> Iterator[Place]:
    """Find zip archives that follow each other: each ends where the next one, or nothing, begins.

    Source: APPNOTE.TXT 4.3.16; torch writes no comment, so an end record has 22 bytes.
    """
    with FileBytes(path) as file:
        first, position = 0, 0
        while position < file.nbytes:
            block = file.read(position, min(_BLOCK_NBYTES, file.nbytes - position))
            at = block.find(_END_MARK)
            if at < 0:
                position += max(len(block) - len(_END_MARK) + 1, 1)
                continue
            end = position + at + _END_NBYTES
            position += at + 1
            if end == file.nbytes or _begins_zip(file, end):
                yield Place(path.name, first, end - first)
                first = position = end


def _begins_zip(file: FileBytes, start: int) -> bool:
    mark = len(LOCAL_MARK)
    return start + mark <= file.nbytes and file.read(start, mark) == LOCAL_MARK


def _scan_item(window: FileBytes, stream: str, limits: Limits) -> Iterator[StreamScan]:
    if window.head(len(LOCAL_MARK)) == LOCAL_MARK:
        scans = scan_archive(window, limits)
    elif looks_like_safetensors(window.head(16)):
        return
    else:
        scans = scan_row(window, limits, "item")
    for scan in scans:
        yield located_scan(stream, scan)
