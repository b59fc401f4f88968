"""Which file of a v2 folder each leaf goes to, under which name, at which bytes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ckptkit.containers.safetensors_header import alignment_order, dump_header
from ckptkit.nodes import BlobNode, MapNode, Node, Path, TensorNode
from ckptkit.tree import FlatSections, path_text
from ckptkit.types import MANIFEST_NAME, ByteSpan, TensorSpec
from ckptkit.verbs.side_names import SideNames

RESERVED_NAME = "__metadata__"  # a safetensors header keeps this key for itself
META_FLAVOUR = "meta"


class PlannedFile(NamedTuple):
    """One file to be: the numbers of the leaves in it, their names and spans, in file order.

    A data file has a safetensors header before its parts; a side file is one leaf, or a blob
    that the tree does not mention (``leaves`` is empty then), without any header.
    """

    name: str
    kind: str  # "data" or "side"
    header: bytes
    leaves: tuple[int, ...]
    names: tuple[str, ...]
    spans: tuple[ByteSpan, ...]
    blob: BlobNode | None = None
    aliases: tuple[tuple[str, str], ...] = ()  # other names of tied tensors: alias, stored

    @property
    def nbytes(self) -> int:
        """Bytes of the whole file."""
        if self.blob is not None:
            return self.blob.nbytes
        return self.spans[-1].stop if self.spans else len(self.header)


def plan_files(
    document: MapNode, flat: FlatSections, side_files: Sequence[BlobNode]
) -> list[PlannedFile]:
    """Give every leaf that has bytes a file and a name of its own there.

    A tensor goes to the file of the section that shows it first. Names of a state_dict's tensors
    are its keys; elsewhere the keys of the path, joined by dots.
    Source: docs/format.md section "Data files".
    """
    members: dict[str, list[int]] = {}
    blobs: list[tuple[int, BlobNode]] = []
    for number, (leaf, path) in enumerate(zip(flat.leaves, flat.paths, strict=True)):
        if isinstance(leaf, BlobNode):
            blobs.append((number, leaf))
        elif leaf.flavour != META_FLAVOUR:
            members.setdefault(str(path[0]), []).append(number)
    planned = [_plan_data(name, document[name], flat, leaves) for name, leaves in members.items()]
    side_names = SideNames([MANIFEST_NAME, *(file.name for file in planned)])
    known = {id(blob) for _, blob in blobs}
    planned += [_plan_side(number, blob, side_names) for number, blob in blobs]
    loose = [blob for blob in side_files if id(blob) not in known]
    return planned + [_plan_side(None, blob, side_names) for blob in loose]


def _plan_data(section: str, node: Node, flat: FlatSections, leaves: list[int]) -> PlannedFile:
    names = unique_names([flat.paths[number] for number in leaves])
    specs = []
    for number, name in zip(leaves, names, strict=True):
        leaf = flat.leaves[number]
        assert isinstance(leaf, TensorNode)
        specs.append(TensorSpec(name, leaf.dtype, leaf.shape))
    order = alignment_order(specs)
    stored = {flat.leaves[n].same_view(): s.name for n, s in zip(leaves, specs, strict=True)}  # type: ignore[union-attr]
    aliases = _aliases(node, stored)
    header, spans = dump_header([specs[i] for i in order], aliases)
    return PlannedFile(
        name=f"{section}.safetensors",
        kind="data",
        header=header,
        leaves=tuple(leaves[i] for i in order),
        names=tuple(names[i] for i in order),
        spans=tuple(spans),
        aliases=tuple(aliases.items()),
    )


def _plan_side(number: int | None, blob: BlobNode, side_names: SideNames) -> PlannedFile:
    name = side_names.give(blob.name)
    leaves = () if number is None else (number,)
    spans = (ByteSpan(0, blob.nbytes),) if leaves else ()
    return PlannedFile(name, "side", b"", leaves, (name,) * len(leaves), spans, blob)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Name every leaf after its path below the section; a name that is taken gets a number."""
    taken: set[str] = {RESERVED_NAME}
    counts: dict[str, int] = {}  # of a name that was taken, the last number that was tried
    names = []
    for path in paths:
        name = base = _name(path)
        count = counts.get(base, 1)
        while name in taken:
            count += 1
            name = f"{base}~{count}"
        if name != base:
            counts[base] = count
        taken.add(name)
        names.append(name)
    return names


def _name(path: Path) -> str:
    keys = path[1:] or path
    if all(type(key) is str and key.isascii() and key.isprintable() for key in keys):
        return ".".join(keys)
    return ".".join(path_text((key,)) for key in keys)


def _aliases(section: Node, stored: dict[tuple[object, ...], str]) -> dict[str, str]:
    """The other names of tied tensors in a plain state_dict: name -> the one that has the bytes."""
    found = {}
    for key, value in section.items() if isinstance(section, MapNode) else []:
        if type(key) is str and key.isascii() and type(value) is TensorNode:
            name = stored.get(value.same_view())
            if name is not None and name != key:
                found[key] = name
    return found
