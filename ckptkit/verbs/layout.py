"""Which file of a v2 folder each leaf goes to, under which name, at which bytes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ckptkit.containers.safetensors_header import alignment_order, dump_header
from ckptkit.nodes import BlobNode, MapNode, Node, Path, TensorNode
from ckptkit.tree import FlatSections, path_text
from ckptkit.types import MANIFEST_NAME, ByteSpan, TensorSpec
from ckptkit.verbs.planned_file import PlannedFile
from ckptkit.verbs.side_names import SideNames
from ckptkit.verbs.split import plan_index, split_frozen

__all__ = ["META_FLAVOUR", "PlannedFile", "plan_files"]

RESERVED_NAME = "__metadata__"  # a safetensors header keeps this key for itself
META_FLAVOUR = "meta"


def plan_files(
    document: MapNode,
    flat: FlatSections,
    side_files: Sequence[BlobNode],
    split: Collection[str] = (),
) -> list[PlannedFile]:
    """Give every leaf that has bytes a file and a name of its own there.

    A tensor goes to a file of the section that shows it first. Names of a state_dict's tensors
    are its keys; elsewhere the keys of the path, joined by dots. ``split``: sections whose frozen
    parameters lie apart from the rest, if there is a rest.
    Source: docs/format.md section "Data files".
    """
    members: dict[str, list[int]] = {}
    blobs: list[tuple[int, BlobNode]] = []
    for number, (leaf, path) in enumerate(zip(flat.leaves, flat.paths, strict=True)):
        if isinstance(leaf, BlobNode):
            blobs.append((number, leaf))
        elif leaf.flavour != META_FLAVOUR:
            members.setdefault(str(path[0]), []).append(number)
    planned: list[PlannedFile] = []
    for section, leaves in members.items():
        halves = split_frozen(flat, leaves) if section in split else None
        planned += _plan_section(section, document[section], flat, halves or {"": leaves})
    plain = [data_name(section) for section in members]  # also of those that are split
    side_names = SideNames([MANIFEST_NAME, *plain, *(file.name for file in planned)])
    known = {id(blob) for _, blob in blobs}
    planned += [_plan_side(number, blob, side_names) for number, blob in blobs]
    loose = [blob for blob in side_files if id(blob) not in known]
    return planned + [_plan_side(None, blob, side_names) for blob in loose]


def data_name(section: str, part: str = "") -> str:
    """The name of a section's data file, or of one part of it."""
    return f"{section}{part}.safetensors"


def _plan_section(
    section: str, node: Node, flat: FlatSections, halves: Mapping[str, list[int]]
) -> list[PlannedFile]:
    """The data file of a section, or its parts and their index."""
    leaves = [number for part in halves.values() for number in part]
    names = dict(zip(leaves, unique_names([flat.paths[number] for number in leaves]), strict=True))
    stored = {flat.leaves[n].same_view(): name for n, name in names.items()}  # type: ignore[union-attr]
    aliases = _aliases(node, stored)
    files = []
    for part, members in halves.items():
        held = {names[number] for number in members}
        own = {alias: name for alias, name in aliases.items() if name in held}
        files.append(_plan_data(data_name(section, part), flat, members, names, own))
    return files if len(files) == 1 else [*files, plan_index(section, files)]


def _plan_data(
    name: str,
    flat: FlatSections,
    leaves: Sequence[int],
    names: Mapping[int, str],
    aliases: Mapping[str, str],
) -> PlannedFile:
    specs = []
    for number in leaves:
        leaf = flat.leaves[number]
        assert isinstance(leaf, TensorNode)
        specs.append(TensorSpec(names[number], leaf.dtype, leaf.shape))
    order = alignment_order(specs)
    header, spans = dump_header([specs[i] for i in order], aliases)
    return PlannedFile(
        name=name,
        kind="data",
        header=header,
        leaves=tuple(leaves[i] for i in order),
        names=tuple(specs[i].name for i in order),
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
