"""Sharded weights of which a shard is missing, damaged, or the index is: the rest of them."""

from __future__ import annotations

import re
from pathlib import Path as FilePath

from ckptkit.containers.bytesource import FileBytes
from ckptkit.containers.folder_scan import inner_file
from ckptkit.containers.parts import Parts
from ckptkit.containers.salvage import Findings, Gone
from ckptkit.containers.sharded import INDEX_SUFFIX, ShardIndex, looks_like_index
from ckptkit.errors import CkptkitError, ContainerError, CorruptFileError
from ckptkit.nodes import MapNode, Node, SeqNode
from ckptkit.protocols import Opened, OpenFile
from ckptkit.types import Limits

_HEAD_NBYTES = 4096
_NUMBERED = r"-\d+-of-\d+"


def salvage_sharded(
    path: FilePath, limits: Limits, findings: Findings, open_file: OpenFile
) -> Opened:
    """Join the shards that there are; names of a missing one are gone, each by name.

    ``open_file`` opens a shard, a damaged one too. Where the index itself cannot be read, the files
    that are numbered like its shards stand for it. Raises: ContainerError if no shard is left.
    """
    parts = Parts()
    try:
        index = _index(path, limits, findings)
        shards = list(index.shards) if index else _numbered(path)
        maps = {shard: _opened(path, shard, parts, open_file) for shard in shards}
        root = _joined(index, maps, findings)
        if not parts.files:
            raise _nothing(path)  # noqa: TRY301
    except BaseException:
        parts.close()
        raise
    properties: dict[str, Node] = {
        "metadata": index.metadata if index else MapNode(), "shards": SeqNode([*shards]),
    }  # fmt: skip
    return Opened(
        path=path, container="sharded", nbytes=parts.nbytes, root=root, properties=properties,
        notices=parts.notices(), files=(path, *parts.files), close=parts.close,
    )  # fmt: skip


def _nothing(path: FilePath) -> ContainerError:
    return CorruptFileError(path, "none of its shards can be read", "", "use another copy")


def _index(path: FilePath, limits: Limits, findings: Findings) -> ShardIndex | None:
    try:
        return ShardIndex(path, limits)
    except ContainerError as exc:
        findings.guess(f"the index {path.name} cannot be read ({exc.seen}); its numbered files are")
        return None


def _numbered(path: FilePath) -> list[str]:
    """The files beside an index that are called like shards of it."""
    stem, dot, suffix = path.name.removesuffix(INDEX_SUFFIX).rpartition(".")
    name = re.compile(re.escape(stem) + _NUMBERED + re.escape(dot + suffix))
    return sorted(found.name for found in path.parent.iterdir() if name.fullmatch(found.name))


_Shard = tuple[MapNode | None, str]  # what is in it, or why it cannot be read


def _opened(path: FilePath, shard: str, parts: Parts, open_file: OpenFile) -> _Shard:
    try:
        inner = inner_file(path.parent, shard)
        with FileBytes(inner) as file:
            if looks_like_index(file.head(_HEAD_NBYTES)):
                return None, f"its shard {shard} is an index itself"
        opened = parts.add(shard, open_file(inner))
    except CkptkitError as exc:
        return None, f"its shard {shard} cannot be read: {exc.seen}"
    if not isinstance(opened.root, MapNode):
        return None, f"its shard {shard} holds no map of names to tensors"
    return opened.root, f"its shard {shard} does not hold it"


def _joined(index: ShardIndex | None, maps: dict[str, _Shard], findings: Findings) -> MapNode:
    root = MapNode()
    for name, shard in index.shard_of.items() if index else ():
        tensors, reason = maps[shard]
        if tensors is None or name not in tensors:
            findings.gone.append(Gone(name, None, "", reason))
        else:
            root[name] = tensors[name]
    for shard, (tensors, reason) in maps.items():
        if tensors is None and index is None:
            findings.gone.append(Gone(shard, None, "", reason))
        for name, value in tensors.items() if tensors is not None else ():
            if name not in root:
                root[name] = value
    return root
