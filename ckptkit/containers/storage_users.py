"""Which tensors look into a storage: what a damaged run of bytes is called in a message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ckptkit.nodes import Atom, MapNode, Node, Record, SeqNode, TensorNode

MAX_NAMES = 3  # of one storage; one name is what a person needs, three show a pattern
_Place = tuple["_Place | None", Node]


def storage_users(root: Node) -> dict[int, list[str]]:
    """The first places of the tensors of each storage, by ``id(storage)``."""
    users: dict[int, list[str]] = {}
    seen: set[int] = set()
    stack: list[tuple[Node, _Place | None]] = [(root, None)]
    while stack:
        node, place = stack.pop()
        if isinstance(node, TensorNode):
            names = users.setdefault(id(node.storage), [])
            if len(names) < MAX_NAMES:
                names.append(_spelled(place))
            children: Iterable[tuple[Node, Node]] = [("extra", node.extra)]
        elif isinstance(node, (MapNode, SeqNode, Record, Atom)):
            children = _children(node)
        else:
            continue
        if id(node) not in seen:
            seen.add(id(node))
            stack.extend(reversed([(child, (place, key)) for key, child in children]))
    return users


def named(users: list[str] | None) -> str:
    """A phrase for a message: " (tensor a, b)", or nothing."""
    return f" (tensor {', '.join(users)})" if users else ""


def _children(node: Node) -> Iterator[tuple[Node, Node]]:
    if isinstance(node, MapNode):
        yield from node.items()
        yield ".attrs", node.attrs
        yield ".factory", node.factory
    elif isinstance(node, SeqNode):
        yield from enumerate(node.items)
        yield ".attrs", node.attrs
    elif isinstance(node, Atom):
        yield from enumerate(node.args)
    else:
        parts = (node.args, node.states, node.items)
        for label, part in zip((".args", ".state", ".items"), parts, strict=True):
            yield from ((f"{label}[{i}]", child) for i, child in enumerate(part or ()))
        yield ".kwargs", node.kwargs
        yield ".entries", node.entries


def _spelled(place: _Place | None) -> str:
    keys: list[str] = []
    while place is not None:
        place, key = place
        keys.append(ascii(key)[1:-1][:100] if type(key) is str else _short(key))
        if len(keys) == 50:  # deeper than anything that a person would read
            keys.append("...")
            break
    return "/".join(reversed(keys)) or "the root"


def _short(key: Node) -> str:
    if type(key) is int and key.bit_length() < 64:
        return str(key)
    return type(key).__name__
