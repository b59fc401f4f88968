"""The state_dict of one module as the checkpoint has it: flat names, shapes, ties, versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ckptkit.match.values import Entry
from ckptkit.nodes import MapNode, Node, TensorNode
from ckptkit.wrappers import PARALLEL, WRAPPERS

_EXTRA_STATE = "_extra_state"  # torch.nn.modules.module._EXTRA_STATE_KEY_SUFFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """Every name with its node. ``source`` is the place in the checkpoint ("ema/weights")."""

    source: str
    nodes: Mapping[str, Node]
    entries: tuple[Entry, ...]
    versions: Mapping[str, int] = field(default_factory=dict)

    def version(self, path: str) -> int | None:
        """Return the ``_version`` that the submodule at ``path`` had; None where unknown."""
        found = self.versions.get(path)
        return self.versions.get(_bare(path)) if found is None else found


def read_state(source: str, node: MapNode) -> StoredState:
    """Flatten a section into a state_dict: mappings inside it are joined by dots."""
    nodes: dict[str, Node] = {}
    versions: dict[str, int] = {}
    for prefix, mapping in _mappings(node):
        for path, version in _versions(mapping):
            place = f"{prefix}{path}" if path else prefix.rstrip(".")
            versions.setdefault(place, version)
            versions.setdefault(_bare(place), version)
        for key, value in mapping.items():
            if type(value) is TensorNode or not _is_nested(key, value):
                nodes[_free(f"{prefix}{key}" if prefix else str(key), nodes)] = value
    return StoredState(
        source=source, nodes=nodes, entries=tuple(_entries(nodes)), versions=versions
    )


def _free(name: str, nodes: Mapping[str, Node]) -> str:
    """Return a name that no tensor has yet, so that one which is spelled twice is told, not lost.

    The flat spelling comes first, and keeps the name.
    """
    number = 1
    found = name
    while found in nodes:
        number += 1
        found = f"{name} ({number})"
    return found


def _mappings(node: MapNode) -> Iterator[tuple[str, MapNode]]:
    """Yield the mapping and those inside it, with the prefix of their names; each once."""
    seen: set[int] = set()
    stack: list[tuple[str, MapNode]] = [("", node)]
    while stack:
        prefix, mapping = stack.pop()
        if id(mapping) in seen:
            continue
        seen.add(id(mapping))
        yield prefix, mapping
        inner = [
            (key, value)
            for key, value in mapping.items()
            if type(value) is MapNode and _is_nested(key, value)
        ]
        stack.extend((f"{prefix}{key}.", value) for key, value in reversed(inner))


def _is_nested(key: Node, value: Node) -> bool:
    """Say whether a mapping is a part of the model by itself, and not what one name stands for.

    A module may have a mapping as its extra state; that has a name of its own, with dots.
    """
    plain = isinstance(key, str) and "." not in key and key != _EXTRA_STATE
    return plain and isinstance(value, MapNode)


def _versions(mapping: MapNode) -> Iterator[tuple[str, int]]:
    """Yield what ``_metadata`` says: path of a submodule, its version."""
    metadata = None if mapping.attrs is None else mapping.attrs.get("_metadata")
    for path, told in metadata.items() if isinstance(metadata, MapNode) else ():
        version = told.get("version") if isinstance(told, MapNode) else None
        if isinstance(path, str) and type(version) is int:
            yield path, version


def _bare(path: str) -> str:
    """Return a path without the words of wrappers."""
    words = (*WRAPPERS, PARALLEL)
    return ".".join(step for step in path.split(".") if step not in words)


def _entries(nodes: Mapping[str, Node]) -> Iterator[Entry]:
    ties = _tie_numbers(nodes)
    for name, node in nodes.items():
        is_tensor = type(node) is TensorNode
        if is_tensor and node.extra is None and node.storage.source is not None:
            plain = True  # nearly all of them
        else:
            plain = is_tensor and _has_plain_bytes(node)
        if plain:
            kind = "parameter" if node.flavour == "parameter" else "tensor"
            tie = ties.get(name, -1) if ties else -1
            yield Entry(name, node.dtype.name, node.shape, kind, tie)
        else:
            yield Entry(name, "", (), "value")


def _has_plain_bytes(node: TensorNode) -> bool:
    """Say whether its bytes mean what its dtype says; a quantized tensor's do not."""
    if node.storage.source is None and node.numel:
        return False
    return node.extra is None or "quantizer" not in node.extra


def _tie_numbers(nodes: Mapping[str, Node]) -> dict[str, int]:
    """Number the names that show the same bytes in the same way."""
    storages = {id(node.storage) for node in nodes.values() if type(node) is TensorNode}
    if len(storages) == len(nodes):
        return {}  # the usual case, and the quick one
    users: dict[int, list[str]] = {}
    for name, node in nodes.items():
        if type(node) is TensorNode:
            users.setdefault(id(node.storage), []).append(name)
    views: dict[object, list[str]] = {}
    for names in users.values():
        for name in names if len(names) > 1 else ():
            views.setdefault(nodes[name].same_view(), []).append(name)
    tied = [names for names in views.values() if len(names) > 1]
    return {name: number for number, names in enumerate(tied) for name in names}
