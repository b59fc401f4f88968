"""A tree as lines: what stands where, with long runs of alike children told as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ckptkit.nodes import Atom, BlobNode, GlobalName, MapNode, Node, Record, SeqNode, TensorNode
from ckptkit.tree.parts import parts
from ckptkit.tree.paths import escape_text, path_text

_MAX_TEXT_CHARS = 60
_MAX_KEYS_SHOWN = 8  # of a place, counted from its end
_MAX_ITEMS_SHOWN = 12  # children of a sequence that are told one by one


class OutlineRow(NamedTuple):
    """One line. ``depth`` counts from 0; ``kind`` groups alike leaves (dtype and shape)."""

    depth: int
    name: str
    kind: str
    text: str


def outline(
    root: Node, max_depth: int, *, every: bool = False, called: str = ""
) -> Iterator[OutlineRow]:
    """Yield a line for each node down to ``max_depth``, depth first, iteratively.

    Of a sequence the first children are told and the rest counted, unless ``every``. What was
    met before is told as "as above" and not entered again. Keys are escaped for a terminal.
    A root that has no children is one line, ``called`` so.
    """
    if not _is_container(root):  # a section that is one value
        yield OutlineRow(0, called, *describe(root))
        return
    entered: dict[int, tuple[str, ...]] = {id(root): ()}
    stack = [iter(_children(root, every))]
    lead: list[str] = []
    while stack:
        depth = len(stack) - 1
        for name, child in stack[-1]:
            if isinstance(child, _More):
                yield OutlineRow(depth, name, "more", f"{child.left_out:,} more like these")
            elif id(child) in entered and _is_container(child):
                told = "/".join(entered[id(child)]) or "/"
                yield OutlineRow(depth, name, "alias", f"the same as {told}")
            else:
                yield OutlineRow(depth, name, *describe(child))
                if _is_container(child):
                    entered[id(child)] = _ending(lead, name)
                    if depth + 1 < max_depth:
                        stack.append(iter(_children(child, every)))
                        lead.append(name)
                        break
        else:
            stack.pop()
            del lead[-1:]


def _ending(lead: list[str], name: str) -> tuple[str, ...]:
    """The place of a container, of a deep one the end of it."""
    if len(lead) < _MAX_KEYS_SHOWN:
        return (*lead, name)
    return ("…", *lead[1 - _MAX_KEYS_SHOWN :], name)


class _More(NamedTuple):
    left_out: int


def _children(node: Node, every: bool) -> Iterator[tuple[str, Node]]:
    """The named children; long sequences end in a count."""
    limit = None if every or not isinstance(node, SeqNode) else _MAX_ITEMS_SHOWN
    n_told = 0
    for below, child in parts(node):
        if below[0] == ".keys" and len(below) == 2:
            continue
        if limit is not None and n_told == limit:
            yield "…", _More(len(node) - limit)
            return
        n_told += 1
        yield path_text(below), child


def _is_container(node: Node) -> bool:
    return isinstance(node, (MapNode, SeqNode, Record))


def describe(node: Node) -> tuple[str, str]:
    """The kind of a node and one line about it, safe for a terminal."""
    if isinstance(node, TensorNode):
        dtype = node.numpy_dtype or node.dtype.name
        shape = list(node.shape)
        return f"{dtype} {shape}", f"{node.flavour} {dtype} {shape}"
    if isinstance(node, MapNode):
        return "mapping", f"{node.kind} of {len(node)}"
    if isinstance(node, SeqNode):
        return "sequence", f"{node.kind} of {len(node)}"
    if isinstance(node, Record):
        return "record", f"object of {_cut(escape_text(node.name.text))}, kept inert"
    if isinstance(node, Atom):
        inside = ", ".join(_scalar_text(arg) for arg in node.args[:4])
        return node.kind, f"{escape_text(node.kind)}({_cut(inside)})"
    if isinstance(node, GlobalName):
        return "name", f"the name {_cut(escape_text(node.text))}"
    if isinstance(node, BlobNode):
        return "file", f"file of {node.nbytes:,} bytes"
    return type(node).__name__, _scalar_text(node)


def _scalar_text(node: Node) -> str:
    """One line for a plain value; huge ones are named by their size."""
    if isinstance(node, str):
        return "'" + _cut(escape_text(node[: _MAX_TEXT_CHARS * 4])) + "'"
    if isinstance(node, bytes):
        return repr(node) if len(node) <= 16 else f"{len(node):,} bytes"
    if isinstance(node, int) and node.bit_length() > 256:
        return f"integer of {node.bit_length()} bits"
    if node is None or isinstance(node, (bool, int, float, complex)):
        return repr(node)
    return "…" if isinstance(node, Atom) else describe(node)[1]  # an atom in an atom, to no end


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT_CHARS else text[: _MAX_TEXT_CHARS - 1] + "…"
