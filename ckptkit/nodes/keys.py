"""What two keys of a mapping have in common when Python would call them equal."""

from __future__ import annotations

import math
from typing import Any

from ckptkit.nodes.kinds import Atom, BlobNode, GlobalName, Node, Record, SeqNode, TensorNode


def key_token(key: Node) -> Any:
    """A hashable stand-in for ``key``, equal exactly when Python would call the keys equal.

    Integers and floats of a hostile file could all collide in Python's own hash; a string
    cannot be made to (its hash is keyed), so everything but a string becomes text in a tuple.
    """
    if type(key) is str:
        return key
    if key is None:
        return ("none",)
    if isinstance(key, bool):
        return ("n", hex(int(key)))
    if isinstance(key, int):
        return ("n", hex(key))
    if isinstance(key, float):
        if key.is_integer():
            return ("n", hex(int(key)))
        return ("nan", id(key)) if math.isnan(key) else ("f", key.hex())
    if isinstance(key, complex):
        if not key.imag:
            return key_token(key.real)
        return ("c", key.real.hex(), key.imag.hex())
    if isinstance(key, bytes):
        return ("b", key)
    if isinstance(key, GlobalName):
        return ("g", key.module, key.qualname)
    return ("o", structural_key(key))


def structural_key(key: Node) -> bytes:
    """A digest of a compound key: equal for equal contents, each shared part visited once.

    Tuples and frozensets keep theirs: they cannot change, and nested or shared ones are asked
    for it again and again.
    Raises: TypeError for a cycle or an unhashable part (a list, a dict), as Python would.
    """
    done: dict[int, bytes] = {}
    open_ids: set[int] = set()
    stack: list[tuple[Node, bool]] = [(key, False)]
    while stack:
        node, children_done = stack.pop()
        if id(node) in done:
            continue
        known = node.digest if isinstance(node, SeqNode) else None
        if known is not None:
            done[id(node)] = known
            continue
        label, parts = _key_parts(node)
        if parts is None or children_done:
            open_ids.discard(id(node))
            done[id(node)] = _digest(node, label, [done[id(part)] for part in parts or ()])
        else:
            if id(node) in open_ids:
                raise TypeError("a key that contains itself")
            open_ids.add(id(node))
            stack.append((node, True))
            stack.extend((part, False) for part in parts)
    return done[id(key)]


def _digest(node: Node, label: str, parts: list[bytes]) -> bytes:
    from hashlib import blake2b  # only odd keys need it

    # An unordered collection is the same whatever order its members were named in.
    body = b"".join(sorted(parts) if label == "frozenset" else parts)
    digest = blake2b(label.encode("utf-8", "surrogatepass") + b":" + body, digest_size=16).digest()
    if isinstance(node, SeqNode):
        node.digest = digest
    return digest


def _is_scalar(node: Node) -> bool:
    return node is None or isinstance(node, (bool, int, float, complex, str, bytes, GlobalName))


def _key_parts(node: Node) -> tuple[str, list[Node] | None]:
    """The label and children of a compound key; a scalar has a label alone."""
    if _is_scalar(node):
        return repr(key_token(node)), None
    if isinstance(node, SeqNode):
        if node.kind in ("tuple", "torch.Size"):
            return "tuple", node.items
        if node.kind == "frozenset":
            return "frozenset", node.items
        raise TypeError(f"a {node.kind} cannot be a key")
    if isinstance(node, Atom):
        return f"atom {node.kind}", list(node.args)
    if isinstance(node, Record):
        parts = (node.states, node.items, node.entries, node.kwargs)
        if any(part is not None for part in parts) or not all(map(_is_scalar, node.args)):
            return f"identity {id(node)}", None  # its class alone would know what equals what
        return f"record {node.name.module} {node.name.qualname} {node.how}", list(node.args)
    if isinstance(node, (TensorNode, BlobNode)):
        return f"identity {id(node)}", None
    raise TypeError("a mapping cannot be a key")
