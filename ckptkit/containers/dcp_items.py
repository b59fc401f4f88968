"""The items inside .distcp files, each a whole torch.save or safetensors file of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.dcp_assemble import Box, GatheredBytes, check_tiling
from ckptkit.containers.dcp_metadata import BytesItem, Chunk, DcpMetadata, Place, TensorItem
from ckptkit.containers.folder_scan import inner_file
from ckptkit.containers.logical import logical_source
from ckptkit.containers.parts import require_descriptors
from ckptkit.containers.safetensors import (
    looks_like_safetensors,
    read_header,
    tensors_of,
)
from ckptkit.containers.safetensors_header import shown
from ckptkit.containers.torch_zip import read_record
from ckptkit.containers.zip_archive import PICKLE_NAME, ZipArchive
from ckptkit.containers.zip_index import LOCAL_MARK
from ckptkit.errors import CkptkitError, CorruptFileError, TensorBoundsError
from ckptkit.nodes import BlobNode, ByteSource, MapNode, Node, Storage, TensorNode
from ckptkit.protocols import Check, StreamScan
from ckptkit.types import Limits, contiguous_strides

MAX_TENSOR_NBYTES = (1 << 63) - 1
_CACHED_NBYTES = 4096  # items of equal bytes are equal scalars: thousands of learning rates
_SCALARS = (type(None), bool, int, float, str, bytes)


class DcpItems:
    """The .distcp files of a folder, each opened when its first item is wanted."""

    def __init__(self, folder: FilePath, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.scans: list[StreamScan] = []
        self._files: dict[str, FileBytes] = {}
        self._scalars: dict[bytes, Node] = {}

    def close(self) -> None:
        """Give all descriptors back."""
        for file in self._files.values():
            file.close()

    def window(self, place: Place, name: str) -> FileBytes:
        """The bytes of one item as a file. Raises: TruncatedFileError, UnsafePathError."""
        file = self._files.get(place.file)
        if file is None:
            require_descriptors(len(self._files) + 1, self.folder)
            file = self._files[place.file] = FileBytes(inner_file(self.folder, place.file))
        where = f"{file.where} ({shown(name)})"
        return file.part(place.start, place.start + place.nbytes, where)

    def read_object(self, item: BytesItem) -> Node:
        """The tree of a plain object; bytes that nobody can name stay as they are."""
        window = self.window(item.place, item.name)
        data = window.read(0, window.nbytes) if window.nbytes <= _CACHED_NBYTES else b""
        if data in self._scalars:
            return self._scalars[data]
        if window.head(len(LOCAL_MARK)) != LOCAL_MARK:
            return BlobNode(item.name, window.nbytes, window)
        content = read_record(ZipArchive(window, self.limits), PICKLE_NAME, "data/")
        if data and type(content.value) in _SCALARS:
            self._scalars[data] = content.value
        if content.scan.uses or content.scan.notices:
            self.scans.append(content.scan._replace(stream=f"{item.place.file}: {item.name}"))
        return content.value

    def check(self, place: Place, name: str) -> Check:
        """Read an item to its end and hold every entry against its CRC-32; never raises."""
        label = f"{place.file}: {name}"
        try:
            window = self.window(place, name)
            if window.head(len(LOCAL_MARK)) != LOCAL_MARK:
                return Check(label, place.nbytes, "unverifiable", "structure")
            checks = list(ZipArchive(window, self.limits).checks())
        except CkptkitError as exc:
            return Check(label, place.nbytes, "damaged", "structure", str(exc))
        worst = next((check for check in checks if check.outcome != "ok"), checks[0])
        return worst._replace(name=label, nbytes=place.nbytes)

    def tensor(self, item: TensorItem) -> TensorNode:
        """The whole tensor, its boxes checked to tile it; no box is opened yet.

        Raises: TensorBoundsError, CorruptFileError.
        """
        where = f"{self.folder} ({shown(item.name)})"
        # Counted as if no dimension were zero, because strides are.
        if math.prod([n or 1 for n in item.shape]) * item.dtype.nbytes > MAX_TENSOR_NBYTES:
            raise TensorBoundsError(where, "the tensor's size overflows 63 bits")
        boxes = [Box(c.offsets, c.sizes, self._opener(item, c, where)) for c in item.chunks]
        check_tiling(item.shape, boxes, where)
        gathered = GatheredBytes(item.shape, item.dtype.nbytes, boxes)
        return TensorNode(
            dtype=item.dtype,
            shape=item.shape,
            strides=contiguous_strides(item.shape),
            offset=0,
            storage=Storage(item.name, gathered.nbytes, gathered),
            requires_grad=item.requires_grad,
        )

    def _opener(self, item: TensorItem, chunk: Chunk, where: str) -> _ChunkOpener:
        needed = math.prod(chunk.sizes) * item.dtype.nbytes
        # Items are stored, never compressed: one that is shorter than its tensor lies.
        if chunk.place is not None and needed > chunk.place.nbytes:
            seen = f"a chunk of {needed:#x} bytes in an item of {chunk.place.nbytes:#x}"
            raise TensorBoundsError(where, seen, "an item that can hold it")
        return _ChunkOpener(self, item, chunk)

    def read_chunk(self, item: TensorItem, place: Place) -> Node:
        """The tree of one chunk's own file."""
        window = self.window(place, item.name)
        if looks_like_safetensors(window.head(16)):
            header, data_start = read_header(window, self.limits)
            values = tensors_of(window, header, data_start).values()
            return values[0] if len(values) == 1 else MapNode()
        return read_record(ZipArchive(window, self.limits), PICKLE_NAME, "data/").value


class _ChunkOpener:
    """Opens the bytes of one chunk, and holds its own file against the metadata."""

    __slots__ = ("_chunk", "_item", "_items")

    def __init__(self, items: DcpItems, item: TensorItem, chunk: Chunk) -> None:
        self._items, self._item, self._chunk = items, item, chunk

    def __call__(self) -> ByteSource:
        place = self._chunk.place
        if place is None:  # checked before: only a box without elements has none
            raise CorruptFileError(self._items.folder, "a chunk lies nowhere")
        node = self._items.read_chunk(self._item, place)
        where = f"{self._items.folder / place.file} ({shown(self._item.name)})"
        if not isinstance(node, TensorNode):
            raise CorruptFileError(where, "the chunk holds no tensor")
        if node.shape != self._chunk.sizes or node.dtype != self._item.dtype:
            seen = f"the chunk holds {node.dtype.name} {node.shape}"
            expected = f"{self._item.dtype.name} {self._chunk.sizes}, as .metadata says"
            raise CorruptFileError(where, seen, expected)
        return logical_source(node)


def check_places(metadata: DcpMetadata, where: str) -> None:
    """Refuse items that share bytes of a file.

    Raises: CorruptFileError.
    """
    ends: dict[str, int] = {}
    for place, name in sorted(places_of(metadata)):
        if place.start < ends.get(place.file, 0):
            raise CorruptFileError(where, f"'{shown(name)}' overlaps another item")
        ends[place.file] = place.start + place.nbytes


def places_of(metadata: DcpMetadata) -> Iterator[tuple[Place, str]]:
    """Every item's place, with the name that it belongs to."""
    for item in metadata.items:
        if isinstance(item, BytesItem):
            yield item.place, item.name
        else:
            for chunk in item.chunks:
                if chunk.place is not None:
                    yield chunk.place, item.name
