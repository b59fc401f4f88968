"""What the pickles of a torch.distributed.checkpoint folder would do: .metadata and every item."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.dcp_items import check_places, places_of
from ckptkit.containers.dcp_metadata import DcpMetadata, Place, interpret_metadata
from ckptkit.containers.folder_scan import inner_file
from ckptkit.containers.part_scan import header_scan, scan_part
from ckptkit.containers.parts import located_scan
from ckptkit.containers.pickle_scan import scan_row, scan_tail
from ckptkit.containers.pickle_sniff import HEAD_NBYTES
from ckptkit.containers.pickle_vm import read_pickle
from ckptkit.containers.safetensors import looks_like_safetensors
from ckptkit.containers.safetensors_header import shown
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


class ShardScanner:
    """Scans the ``.distcp`` files of one folder: item by item, and whatever lies between."""

    def __init__(self, folder: FilePath, limits: Limits) -> None:
        self._limits = limits
        self._items: dict[str, list[tuple[Place, str]]] = {}
        try:
            for place, item in places_of(read_metadata(folder, limits, Tracer(METADATA))):
                self._items.setdefault(place.file, []).append((place, item))
        except CkptkitError:  # the scan of .metadata itself says how far it could be followed
            self._items = {}

    @property
    def names(self) -> frozenset[str]:
        """The files that the metadata names."""
        return frozenset(self._items)

    def holds(self, path: FilePath) -> bool:
        """Whether a file that is called otherwise is archives in a row, as the metadata says."""
        if path.name not in self._items or is_metadata_name(path.name):
            return False
        with FileBytes(path) as file:
            return file.head(len(LOCAL_MARK)) == LOCAL_MARK

    def scan(self, path: FilePath, name: str) -> Iterator[StreamScan]:
        """Follow every pickle of one file; streams are called after ``name``.

        Raises: InputError if it cannot be opened.
        """
        items = self._items.get(path.name) or [
            (place, f"item {number}") for number, place in enumerate(_zips_in(path))
        ]
        with FileBytes(path) as file:
            spans: list[tuple[int, int]] = [(file.nbytes, file.nbytes)]
            for place, item in items:
                stream, stop = f"{name}: {item}", place.start + place.nbytes
                try:
                    window = file.part(place.start, stop, f"{file.where} ({shown(item)})")
                except ContainerError as exc:
                    yield StreamScan(stream, (), (), exc)
                    continue
                spans.append((place.start, stop))
                yield from _scan_item(window, stream, self._limits)
            yield from self._scan_gaps(file, spans, name)

    def _scan_gaps(
        self, file: FileBytes, spans: list[tuple[int, int]], name: str
    ) -> Iterator[StreamScan]:
        position = 0
        for start, stop in sorted(spans):
            if start > position:
                gap = file.part(position, start, f"{file.where} (bytes from {position} on)")
                stream = f"{name}: bytes from {position} on" if position else name
                found = False
                for scan in scan_part(gap, stream, self._limits):
                    found = True
                    yield scan
                if not found:
                    for scan in scan_tail(gap, self._limits, 0):
                        yield located_scan(stream, scan)
            position = max(position, stop)


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
    head = window.head(HEAD_NBYTES)
    if head.startswith(LOCAL_MARK):
        scans = scan_archive(window, limits)
    elif looks_like_safetensors(head):
        scans = header_scan(window, "item", limits)
    else:
        scans = scan_row(window, limits, "item")
    for scan in scans:
        yield located_scan(stream, scan)
