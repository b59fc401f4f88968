"""A Hugging Face index: one map of names to tensors, spread over several shard files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.folder_scan import checked_plain_name, inner_file
from ckptkit.containers.gc_pause import paused_gc
from ckptkit.containers.inner_scan import scan_file
from ckptkit.containers.json_file import parse_json
from ckptkit.containers.parts import Parts
from ckptkit.containers.safetensors_header import shown
from ckptkit.errors import CorruptFileError, LimitExceededError
from ckptkit.nodes import MapNode, SeqNode
from ckptkit.protocols import Check, Opened, OpenFile, Probe, StreamScan
from ckptkit.types import Limits, Notice

INDEX_SUFFIX = ".index.json"


class ShardedContainer:
    """``model.safetensors.index.json`` or ``pytorch_model.bin.index.json`` and its shards.

    ``properties``: ``metadata`` of the index, ``shards`` (file names).
    """

    name = "sharded"
    title = "sharded weights with a Hugging Face index"
    rank = 40

    def matches(self, probe: Probe) -> bool:
        """Say whether it is JSON with a weight_map."""
        return not probe.is_dir and looks_like_index(probe.head)

    def open(self, probe: Probe, limits: Limits, open_file: OpenFile) -> Opened:
        """Open the index and every shard. Raises: ContainerError."""
        index = ShardIndex(probe.path, limits)
        parts = Parts()
        try:
            root = _joined(index, probe.path.parent, parts, open_file)
        except BaseException:
            parts.close()
            raise

        def checks() -> Iterator[Check]:
            yield Check(probe.path.name, index.nbytes, "ok", "structure")
            yield from parts.checks()

        return Opened(
            path=probe.path,
            container=self.name,
            nbytes=index.nbytes + parts.nbytes,
            root=root,
            properties={"metadata": index.metadata, "shards": SeqNode(list(index.shards))},
            scans=parts.scans(),
            notices=(*index.notices, *parts.notices()),
            files=(probe.path, *parts.files),
            checks=checks,
            close=parts.close,
        )

    def scan(self, probe: Probe, limits: Limits) -> Iterator[StreamScan]:
        """Follow the pickles of the shards. Raises: ContainerError if the index is damaged."""
        for shard in ShardIndex(probe.path, limits).shards:
            yield from scan_file(inner_file(probe.path.parent, shard), shard, limits)


def looks_like_index(head: bytes) -> bool:
    """Recognise the first bytes of an index."""
    return head.lstrip()[:1] == b"{" and b'"weight_map"' in head


class ShardIndex:
    """A checked index: which shard holds which names."""

    def __init__(self, path: FilePath, limits: Limits) -> None:
        self.where, self.notices = str(path), list[Notice]()
        with FileBytes(path) as file:
            self.nbytes = file.nbytes
            if self.nbytes > limits.max_json_nbytes:
                expected = f"at most {limits.max_json_nbytes} (max_json_nbytes)"
                raise LimitExceededError(path, f"has {self.nbytes} bytes", expected)
            node = parse_json(file.read(0, self.nbytes), self.where, limits)
        weight_map = node.get("weight_map") if isinstance(node, MapNode) else None
        if not isinstance(weight_map, MapNode):
            raise CorruptFileError(path, "has no weight_map", "a map of names to shard files")
        metadata = node.get("metadata")
        self.metadata = metadata if isinstance(metadata, MapNode) else MapNode()
        self.shard_of: dict[str, str] = {
            name: checked_plain_name(shard, path) for name, shard in weight_map.items()
        }
        self.shards: dict[str, None] = dict.fromkeys(self.shard_of.values())
        if len(self.shards) > limits.max_entries:
            raise LimitExceededError(path, f"names {len(self.shards)} shards")


def _joined(index: ShardIndex, folder: FilePath, parts: Parts, open_file: OpenFile) -> MapNode:
    """One map over all shards, in the order of the index."""
    maps = {shard: _open_shard(folder, shard, parts, open_file) for shard in index.shards}
    root = MapNode()
    with paused_gc():
        for name, shard in index.shard_of.items():
            if name not in maps[shard]:
                seen = f"says that '{shown(name)}' lies in {shard}, which does not hold it"
                raise CorruptFileError(index.where, seen)
            root[name] = maps[shard][name]
        for shard, tensors in maps.items():
            _add_unnamed(index, root, shard, tensors)
    return root


def _add_unnamed(index: ShardIndex, root: MapNode, shard: str, tensors: MapNode) -> None:
    """Keep what a shard holds beyond the index, so that nothing is lost."""
    unnamed = [name for name in tensors if index.shard_of.get(name) != shard]
    for name in unnamed:
        if name in root:
            seen = f"'{shown(str(name))}' lies in {shard} and in another shard"
            raise CorruptFileError(index.where, seen, "each tensor in one shard")
        root[name] = tensors[name]
    if unnamed:
        message = f"{len(unnamed)} entries of {shard} are not named by the index; they were kept"
        index.notices.append(Notice("warning", "shard-unnamed", message, index.where))


def _open_shard(folder: FilePath, shard: str, parts: Parts, open_file: OpenFile) -> MapNode:
    path = inner_file(folder, shard)
    with FileBytes(path) as file:
        if looks_like_index(file.head(4096)):
            raise CorruptFileError(path, "is an index itself", "a file with tensors")
    opened = parts.add(shard, open_file(path))
    if not isinstance(opened.root, MapNode):
        raise CorruptFileError(path, "holds no map of names to tensors")
    return opened.root
