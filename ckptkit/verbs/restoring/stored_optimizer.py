"""The section of an optimizer in any of its forms: whose state lies where, under which name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ckptkit.errors import OptimizerMatchError
from ckptkit.match.values import Shape, StoredParameter
from ckptkit.nodes import MapNode, Node, SeqNode, TensorNode

_FLAT_STATE, _FLAT_GROUPS = "state.", "param_groups."  # flatten_optimizer_state_dict of DCP
_OWN_KEYS = ("state", "param_groups", "parameters")


class StoredOptimizer(NamedTuple):
    """One stored optimizer. ``states[n]`` is what it keeps for parameter number n, or None.

    ``sections[n]`` is the module that names parameter n ("" where unknown). ``groups`` are the
    settings of each group, its members left out. ``loose`` is state of no parameter, ``other``
    what stands beside state and groups. ``keys[n]`` is the key of parameter n in the state.
    """

    parameters: tuple[StoredParameter, ...]
    sections: tuple[str, ...]
    states: tuple[MapNode | None, ...]
    groups: tuple[dict[str, Node], ...]
    loose: tuple[tuple[Node, Node], ...] = ()
    other: tuple[tuple[Node, Node], ...] = ()
    keys: tuple[Node, ...] = ()


def is_optimizer(node: Node) -> bool:
    """Say whether a node has the form of one optimizer's state."""
    if not isinstance(node, MapNode):
        return False
    if isinstance(node.get("param_groups"), SeqNode):
        return True
    return any(isinstance(key, str) and key.startswith(_FLAT_GROUPS) for key in node)


def parse_optimizer(where: str, node: MapNode) -> StoredOptimizer:
    """Read the state of one optimizer, whoever wrote it: by number, by name, or flattened.

    Raises: OptimizerMatchError for a form that contradicts itself.
    """
    if "param_groups" not in node:
        node = _unflattened(node)
    state, groups = node.get("state"), node["param_groups"]
    state = state if isinstance(state, MapNode) else MapNode()
    members = [_members(where, group) for group in groups.items]
    keys = [(key, number) for number, group in enumerate(members) for key in group]
    told = _told_names(node.get("parameters"), groups.items, members)
    taken = MapNode([(key, None) for key, _ in keys])
    if len(taken) != len(keys):
        raise OptimizerMatchError(
            where, "a parameter is in two groups", "each parameter once", "save it again"
        )
    states = tuple(_state_of(state, key) for key, _ in keys)
    parameters = tuple(
        StoredParameter(number, group, name, shape, _state_shapes(states[number]))
        for number, ((_, group), (_, name, shape)) in enumerate(zip(keys, told, strict=True))
    )
    return StoredOptimizer(
        parameters,
        tuple(section for section, _, _ in told),
        states,
        tuple(_settings(group) for group in groups.items),
        tuple((key, value) for key, value in state.items() if key not in taken),
        tuple((key, value) for key, value in node.items() if key not in _OWN_KEYS),
        tuple(key for key, _ in keys),
    )


def _members(where: str, group: Node) -> list[Node]:
    params = group.get("params") if isinstance(group, MapNode) else None
    if not isinstance(params, SeqNode):
        raise OptimizerMatchError(
            where, "a group that lists no parameters", "a mapping with params",
            "open the file with `ckptkit inspect` to see what it holds",
        )  # fmt: skip
    return list(params.items)


def _settings(group: MapNode) -> dict[str, Node]:
    return {
        key: value
        for key, value in group.items()
        if isinstance(key, str) and key not in ("params", "param_names")
    }


def _state_of(state: MapNode, key: Node) -> MapNode | None:
    found = state.get(key)
    return found if isinstance(found, MapNode) else None


def _state_shapes(state: MapNode | None) -> Mapping[str, Shape]:
    if state is None:
        return {}
    return {
        key: value.shape
        for key, value in state.items()
        if isinstance(key, str) and isinstance(value, TensorNode)
    }


Told = tuple[str, str, Shape | None]  # section, name, shape


def _told_names(entry: Node, groups: list[Node], members: list[list[Node]]) -> list[Told]:
    """Names by our own entry, by torch's ``param_names``, or because they are the keys."""
    keys = [key for group in members for key in group]
    columns = [_column(entry, word) for word in ("sections", "names", "shapes")]
    if all(len(column) == len(keys) for column in columns[1:]):
        sections = columns[0] if len(columns[0]) == len(keys) else [""] * len(keys)
        rows = zip(sections, columns[1], columns[2], strict=True)
        return [(_text(section), _text(name), _shape(shape)) for section, name, shape in rows]
    names: list[Told] = []
    for group, own in zip(groups, members, strict=True):
        told = group.get("param_names")
        fits = isinstance(told, SeqNode) and len(told) == len(own)
        words = told.items if fits else own  # a number is no name, a text is one
        names.extend(("", _text(word), None) for word in words)
    return names


def _column(entry: Node, word: str) -> list[Node]:
    found = entry.get(word) if isinstance(entry, MapNode) else None
    return list(found.items) if isinstance(found, SeqNode) else []


def _text(node: Node) -> str:
    return node if isinstance(node, str) else ""


def _shape(node: Node) -> Shape | None:
    if not isinstance(node, SeqNode):
        return None
    whole = [size for size in node.items if isinstance(size, int) and size >= 0]
    return tuple(whole) if len(whole) == len(node) else None


def _unflattened(flat: MapNode) -> MapNode:
    """Undo ``state.<name>.<word>`` and ``param_groups.<name>.<field>``; equal ones are a group."""
    state: dict[str, dict[str, Node]] = {}
    fields: dict[str, dict[str, Node]] = {}
    for key, value in flat.items():
        for prefix, into in ((_FLAT_STATE, state), (_FLAT_GROUPS, fields)):
            if isinstance(key, str) and key.startswith(prefix) and key.count(".") > 1:
                name, _, word = key[len(prefix) :].rpartition(".")
                into.setdefault(name, {})[word] = value
    groups: dict[str, tuple[dict[str, Node], list[Node]]] = {}
    for name in fields | state:
        settings = fields.get(name, {})
        groups.setdefault(_fingerprint(settings), (settings, []))[1].append(name)
    listed = [MapNode({**own, "params": SeqNode(names)}) for own, names in groups.values()]
    nested = {name: MapNode(words) for name, words in state.items()}
    return MapNode({"state": MapNode(nested), "param_groups": SeqNode(listed)})


def _fingerprint(settings: Mapping[str, Node]) -> str:
    """Return a text that is equal for groups of equal settings; a tensor equals itself alone."""
    return repr(sorted((key, _plain(value)) for key, value in settings.items() if key != "params"))


def _plain(node: Node) -> str:
    if isinstance(node, SeqNode):
        return repr([_plain(item) for item in node.items])
    return f"{type(node).__name__} {node!r}"
