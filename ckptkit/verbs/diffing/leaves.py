"""The leaves of a section at every place where they stand, named so that both sides agree. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ckptkit.nodes import (
    BlobNode,
    MapNode,
    Node,
    Path,
    Record,
    SeqNode,
    Storage,
    TensorNode,
    key_token,
)
from ckptkit.tree import path_text
from ckptkit.tree.parts import SCALARS, parts
from ckptkit.types import DTYPES

ATTRIBUTES = ".attrs"
FILE_DTYPE = "file"
_COMPOUND = (MapNode, SeqNode, Record)


class Leaf(NamedTuple):
    """A leaf of a section: a tensor, or a value. ``key`` is its path in a form to compare by."""

    section: str
    path: Path
    node: Node

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for the same place of both checkpoints."""
        return (self.section, *map(key_token, self.path))

    @property
    def name(self) -> str:
        """The path below the section, for people."""
        return path_text(self.path)


def section_leaves(section: str, node: Node, budget: int) -> Iterator[Leaf]:
    """Yield every leaf below ``node``, at every place where it stands.

    What several places share is told at each of them, so that a copy equals an alias; after
    ``budget`` leaves only at the first. Sequences of plain scalars are one leaf, as are empty
    containers; a Record's class is a leaf at ".class", a side file is a tensor of bytes.
    """
    open_ids: set[int] = set()
    met: set[int] = set()
    n_told = 0
    frames: list[tuple[Iterator[tuple[Path, Node]], Path, int]] = [(iter([((), node)]), (), 0)]
    while frames:
        children, above, owner = frames[-1]
        for below, child in children:
            if below[:1] == (".keys",) or below == (".factory",):
                continue
            path = above + below
            if not _is_entered(child):
                n_told += 1
                yield Leaf(section, path, file_tensor(child))
                if not (isinstance(child, TensorNode) and child.extra is not None):
                    continue
            if id(child) in open_ids or (n_told > budget and id(child) in met):
                continue
            open_ids.add(id(child))
            met.add(id(child))
            if isinstance(child, Record):
                yield Leaf(section, (*path, ".class"), child.name)
            frames.append((iter(parts(child)), path, id(child)))
            break
        else:
            frames.pop()
            open_ids.discard(owner)


def file_tensor(node: Node) -> Node:
    """A side file as a tensor of its bytes; anything else as it is."""
    if not isinstance(node, BlobNode):
        return node
    return TensorNode(
        dtype=DTYPES["uint8"], shape=(node.nbytes,), strides=(1,), offset=0,
        storage=Storage(node.name, node.nbytes, node.source), numpy_dtype=FILE_DTYPE,
    )  # fmt: skip


def _is_entered(node: Node) -> bool:
    if not isinstance(node, _COMPOUND):
        return False
    if isinstance(node, SeqNode):
        return any(type(item) not in SCALARS for item in node.items)
    return isinstance(node, Record) or len(node) > 0


def with_parameter_names(section: str, one: Node, other: Node) -> tuple[Node, Node]:
    """Key the states of two optimizers by the names of their parameters, where both know them.

    Where one of them does not, both stay keyed by number.
    """
    if section != "optimizer" or not isinstance(one, MapNode) or not isinstance(other, MapNode):
        return one, other
    if "param_groups" in one and "param_groups" in other:
        names, theirs = _names_of(one), _names_of(other)
        if names and theirs:
            return _renamed(one, names), _renamed(other, theirs)
        return _without_names(one), _without_names(other)
    ours, others = MapNode(one.items()), MapNode(other.items())
    for role in one:  # several optimizers, each under its role
        if role in other and _is_optimizer(one[role]) and _is_optimizer(other[role]):
            ours[role], others[role] = with_parameter_names(section, one[role], other[role])
    return ours, others


def _is_optimizer(node: Node) -> bool:
    return isinstance(node, MapNode) and "param_groups" in node


def _names_of(optimizer: MapNode) -> dict[Any, str]:
    """Parameter number -> name, of those that have one which no other has."""
    known = optimizer.get("parameters")
    names = known.get("names") if isinstance(known, MapNode) else None
    groups = optimizer["param_groups"]
    if not isinstance(names, SeqNode) or not isinstance(groups, SeqNode):
        return {}
    numbers = [
        number
        for group in groups.items
        if isinstance(group, MapNode) and isinstance(params := group.get("params"), SeqNode)
        for number in params.items
    ]
    if len(numbers) != len(names.items) or any(type(name) is not str for name in names.items):
        return {}
    found = {
        number: name
        for number, name in zip(numbers, names.items, strict=True)
        if type(number) is int and name
    }
    return found if len(set(found.values())) == len(found) else {}


def _renamed(optimizer: MapNode, names: dict[Any, str]) -> MapNode:
    renamed = MapNode(optimizer.items(), optimizer.kind, optimizer.attrs)
    state, groups = optimizer.get("state"), optimizer["param_groups"]
    if isinstance(state, MapNode):
        pairs = [(_name(names, number), slots) for number, slots in state.items()]
        renamed["state"] = MapNode(pairs, state.kind)
    renamed["param_groups"] = SeqNode([_renamed_group(group, names) for group in groups.items])
    return _without_names(renamed)


def _renamed_group(group: Node, names: dict[Any, str]) -> Node:
    params = group.get("params") if isinstance(group, MapNode) else None
    if not isinstance(params, SeqNode):
        return group
    changed = MapNode(group.items(), group.kind)
    changed["params"] = SeqNode(sorted(str(_name(names, number)) for number in params.items))
    return changed


def _name(names: dict[Any, str], number: Node) -> Node:
    return names.get(number, number) if type(number) is int else number


def _without_names(optimizer: MapNode) -> MapNode:
    """The list of names is a key to the rest; by itself it is no state."""
    kept = [pair for pair in optimizer.items() if pair[0] != "parameters"]
    return MapNode(kept, optimizer.kind, optimizer.attrs)
