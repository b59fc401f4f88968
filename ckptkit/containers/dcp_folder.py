"""A torch.distributed.checkpoint folder: whole tensors out of the shards of all ranks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.dcp_items import DcpItems, places_of
from ckptkit.containers.dcp_metadata import BytesItem, DcpMetadata
from ckptkit.containers.dcp_nesting import nest
from ckptkit.containers.dcp_scan import (
    METADATA,
    SHARD_SUFFIX,
    is_metadata_name,
    read_metadata,
)
from ckptkit.containers.folder_contents import FolderContents
from ckptkit.containers.folder_roles import is_dcp_folder, is_unit
from ckptkit.containers.folder_scan import FolderListing, scan_folder
from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.trace import Tracer
from ckptkit.errors import UnfinishedError
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.protocols import Check, Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits, Notice


class DcpFolderContainer:
    """``.metadata`` and ``__<rank>_<n>.distcp``, as ``torch.distributed.checkpoint.save`` writes.

    ``root`` is the nested state. Other files of the folder (Lightning's ``meta.pt``) stand in it
    under their file names, as in ``FolderContainer``; ``properties["files"]`` names them,
    ``side_files`` has the byte-exact ones, ``nested`` names subfolders that are checkpoints
    themselves and stay closed, ``metadata`` is what ``.metadata`` says of itself.
    """

    name = "dcp"
    title = "torch.distributed.checkpoint folder"
    rank = 110

    def matches(self, probe: Probe) -> bool:
        """Say whether metadata or shards lie in the folder."""
        return probe.is_dir and is_dcp_folder(probe.names)

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Read the metadata and the plain objects. Raises: ContainerError."""
        _require_whole(probe)
        listing = scan_folder(probe.path, limits, is_unit)
        others = [file for file in listing.files if not _is_ours(file.name)]
        # What lies deeper is not opened: folders inside folders could go on for ever.
        rest = listing._replace(files=tuple(others), units=())
        contents = FolderContents(rest, probe.path, limits)
        items = DcpItems(probe.path, limits)

        def close() -> None:
            items.close()
            contents.parts.close()

        try:
            with paused_gc():
                tracer = Tracer(METADATA)
                metadata = read_metadata(probe.path, limits, tracer)
                state = _state(metadata, items, str(probe.path))
            contents.read(open_file)
            files = _merge(state, contents.root)
        except BaseException:
            close()
            raise
        return Opened(
            path=probe.path,
            container=self.name,
            nbytes=sum(file.nbytes for file in listing.files),
            root=state,
            properties={
                "metadata": metadata.facts,
                "files": SeqNode(files),
                "side_files": MapNode(contents.side_files),
                "nested": SeqNode([unit.name for unit in listing.units]),
            },
            scans=(tracer.scan(), *items.scans, *contents.parts.scans()),
            notices=(
                *listing.notices,
                *_unused(metadata, listing),
                *contents.notices,
                *contents.parts.notices(),
            ),
            files=(*_files_read(metadata, probe), *contents.files),
            checks=lambda: _checks(metadata, items, contents),
            close=close,
        )

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow ``.metadata``, every item of the shards, and every other file."""
        from ckptkit.containers.scan_tree import tree_streams

        return tree_streams(probe.path, limits)


def _is_ours(name: str) -> bool:
    is_plain = "/" not in name
    return is_plain and (is_metadata_name(name) or name.endswith(SHARD_SUFFIX))


def _require_whole(probe: Probe) -> None:
    if not any(map(is_metadata_name, probe.names)):
        raise UnfinishedError(
            probe.path,
            "holds shards (.distcp), but no .metadata, which is written last",
            advice="the save did not finish: use an older checkpoint",
        )


def _state(metadata: DcpMetadata, items: DcpItems, where: str) -> MapNode:
    """Every item as a lazy tensor or a plain value, nested as it was."""
    for place, name in places_of(metadata):
        items.window(place, name)  # every byte that is promised must be there
    leaves: dict[str, Node] = {}
    for item in metadata.items:
        if isinstance(item, BytesItem):
            leaves[item.name] = items.read_object(item)
        else:
            leaves[item.name] = items.tensor(item)
    return nest(leaves, metadata.paths or {}, where)


def _merge(state: MapNode, others: MapNode) -> list[Node]:
    """Put the other files beside the state; return the names under which they stand."""
    names: list[Node] = []
    for name, node in others.items():
        key = f"./{name}" if name in state else name
        state[key] = node
        names.append(key)
    return names


def _files_read(metadata: DcpMetadata, probe: Probe) -> Iterator[FilePath]:
    """The metadata that was read, and every shard that it names."""
    names = [METADATA] if METADATA in probe.names else filter(is_metadata_name, probe.names)
    shards = dict.fromkeys(place.file for place, _ in places_of(metadata))
    yield from (probe.path / name for name in (*names, *shards))


def _unused(metadata: DcpMetadata, listing: FolderListing) -> Iterator[Notice]:
    named = {place.file for place, _ in places_of(metadata)}
    for file in listing.files:
        if file.name.endswith(SHARD_SUFFIX) and file.name not in named:
            message = "the metadata names no item in it; it was left out"
            yield Notice("warning", "shard-unused", message, file.name)
    if metadata.paths is None:
        message = "the metadata does not say how the state was nested; names are flat"
        yield Notice("info", "flat-names", message, METADATA)


def _checks(metadata: DcpMetadata, items: DcpItems, contents: FolderContents) -> Iterator[Check]:
    """Check the CRC of every entry of every item, one Check an item."""
    for place, name in places_of(metadata):
        yield items.check(place, name)
    yield from contents.checks()
