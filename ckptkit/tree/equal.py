"""Whether two trees are the same, to the bit."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from ckptkit.nodes import Atom, BlobNode, MapNode, Node, Path, Record, SeqNode, TensorNode
from ckptkit.tree.parts import Part, parts

SameTensor = Callable[[TensorNode, TensorNode], bool]
_END = object()
_DONE: Part = ((), _END)


def equal(
    left: Node, right: Node, same_tensor: SameTensor | None = None, *, same_aliases: bool = False
) -> bool:
    """Say whether both show the same structure, types, order and bits; cycles are fine.

    ``same_tensor`` compares two tensors; without it they must be views of one storage alike.
    Floats compare by their bits, so NaN payloads and -0.0 count. With ``same_aliases`` also what
    is one object on the left must be one on the right, and the other way round.
    """
    return first_difference(left, right, same_tensor, same_aliases=same_aliases) is None


def first_difference(
    left: Node, right: Node, same_tensor: SameTensor | None = None, *, same_aliases: bool = False
) -> Path | None:
    """Return the first place, in preorder, where two trees differ; None if they are equal."""
    met = _Met(same_aliases)
    same = same_tensor or _same_view
    here: list[Path] = []
    frames: list[tuple[Iterator[Part], Iterator[Part]]] = [
        (iter([((), left)]), iter([((), right)]))
    ]
    while frames:
        ours, theirs = frames[-1]
        sub, a = next(ours, _DONE)
        other_sub, b = next(theirs, _DONE)
        if a is _END or b is _END:
            if a is not b:
                return _joined(here)
            frames.pop()
            del here[-1:]
            continue
        state = "clash"
        kind = _kind(a)
        if kind is _kind(b) and len(sub) == len(other_sub) and _same_itself(kind, a, b, same):
            state = met.meet(a, b) if kind in _COMPOUND else "known"
        if state == "clash":
            return _joined([*here, sub])
        if state == "new":
            here.append(sub)
            frames.append((parts(a), parts(b)))
    return None


def _joined(subs: list[Path]) -> Path:
    return tuple(key for sub in subs for key in sub)


class _Met:
    """The pairs that were compared, or are being compared further up."""

    def __init__(self, same_aliases: bool) -> None:
        self.same_aliases = same_aliases
        self.pairs: set[tuple[int, int]] = set()
        self.right_of: dict[int, int] = {}
        self.left_of: dict[int, int] = {}

    def meet(self, a: Node, b: Node) -> str:
        """Return "new", "known", or "clash" for a pair whose aliases differ."""
        if self.same_aliases:
            right = self.right_of.setdefault(id(a), id(b))
            if right != id(b) or self.left_of.setdefault(id(b), id(a)) != id(a):
                return "clash"
        pair = (id(a), id(b))
        if pair in self.pairs:
            return "known"
        self.pairs.add(pair)
        return "new"


def _kind(node: Node) -> type:
    kind = type(node)
    # A container's own subclass of Record is a plain one once it was written.
    return kind if kind in _SAME or not isinstance(node, Record) else Record


def _same_itself(kind: type, a: Any, b: Any, same_tensor: SameTensor) -> bool:
    """Compare two nodes of one kind, apart from their children."""
    check = _SAME.get(kind)
    if check is not None:
        return check(a, b)
    if kind is TensorNode:
        return _same_label(a, b) and same_tensor(a, b)
    return bool(a == b)


def _float_bits(value: float) -> bytes:
    return struct.pack("<d", value)


def _same_float(a: float, b: float) -> bool:
    return _float_bits(a) == _float_bits(b)


def _same_complex(a: complex, b: complex) -> bool:
    return _same_float(a.real, b.real) and _same_float(a.imag, b.imag)


def _same_map(a: MapNode, b: MapNode) -> bool:
    return (
        a.kind == b.kind
        and len(a) == len(b)
        and (a.factory is None) == (b.factory is None)
        and (a.attrs is None) == (b.attrs is None)
    )


def _same_seq(a: SeqNode, b: SeqNode) -> bool:
    same_attrs = (a.attrs is None) == (b.attrs is None)
    return a.kind == b.kind and len(a.items) == len(b.items) and same_attrs


def _same_record(a: Record, b: Record) -> bool:
    return (a.name, a.how) == (b.name, b.how) and _counts(a) == _counts(b)


def _counts(node: Record) -> tuple[int, bool, int, int, bool]:
    states = -1 if node.states is None else len(node.states)
    items = -1 if node.items is None else len(node.items)
    return len(node.args), node.kwargs is None, states, items, node.entries is None


def _same_atom(a: Atom, b: Atom) -> bool:
    return a.kind == b.kind and len(a.args) == len(b.args)


def _same_blob(a: BlobNode, b: BlobNode) -> bool:
    return a is b or (a.name == b.name and a.nbytes == b.nbytes and a.source is b.source)


def _same_label(a: TensorNode, b: TensorNode) -> bool:
    """Compare what a tensor is apart from where and how its bytes lie."""
    return (
        (a.dtype, a.shape, a.flavour, a.requires_grad, a.numpy_dtype, a.rule)
        == (b.dtype, b.shape, b.flavour, b.requires_grad, b.numpy_dtype, b.rule)
    ) and (a.extra is None) == (b.extra is None)  # fmt: skip


def _same_view(a: TensorNode, b: TensorNode) -> bool:
    return a is b or a.same_view() == b.same_view()


_SAME: dict[type, Callable[[Any, Any], bool]] = {
    float: _same_float,
    complex: _same_complex,
    MapNode: _same_map,
    SeqNode: _same_seq,
    Record: _same_record,
    Atom: _same_atom,
    BlobNode: _same_blob,
}
_COMPOUND = frozenset({MapNode, SeqNode, Record, Atom, TensorNode, BlobNode})
